// Handshakes and stops; see world.h for the states and the orders.
#include "collector/world/world.h"

#include <algorithm>
#include <cstdio>

#include "allocator/base/atomic.h"
#include "allocator/base/check.h"
#include "allocator/base/clock.h"
#include "allocator/base/defects.h"
#include "allocator/base/futex.h"
#include "allocator/base/machine.h"
#include "allocator/base/out_of_memory.h"
#include "allocator/base/race_points.h"
#include "collector/world/probes.h"

namespace keel {
namespace {
// How long the collector waits before the watchdog names a mutator that has not answered.
constexpr int64_t kWatchdogNs = 10'000'000;
}  // namespace

World::World() = default;
World::~World() {
  if (mutators_.empty()) return;
  const Mutator& first = *mutators_.front();
  misuse(first.where(), 0, "the heap closes with %zu mutators attached, the first one '%s' here",
         mutators_.size(), first.name());
}

size_t World::mutators() {
  MutexLock lock(registry_mu_);
  return mutators_.size();
}

void World::attach(std::unique_ptr<Mutator> mutator, Action prepare) {
  MutexLock lock(registry_mu_);
  make_room(mutators_);
  missing_.reserve(mutators_.capacity());
  prepare(*mutator);
  // relaxed [world.state]: nobody else knows the mutator before the lock is released.
  mutator->state_.store(kRunning, std::memory_order_relaxed);
  running_.fetch_add(1, std::memory_order_relaxed);
  mutators_.push_back(std::move(mutator));
  race_point(RacePoint::kMutatorAttaching);
}

void World::detach(Mutator& self, Action leave) {
  // Blocked while waiting for the lock: a stop or handshake in flight must not wait for us.
  enter_blocked(self);
  MutexLock lock(registry_mu_);
  // Whatever was pending has been done for us, since the lock is ours and rounds hold it to their end.
  leave(self);
  const auto at =
      std::find_if(mutators_.begin(), mutators_.end(), [&](const auto& m) { return m.get() == &self; });
  KEEL_CHECK(at != mutators_.end(), "world: an unknown mutator leaves");
  mutators_.erase(at);
}

void World::wake_collector() {
  // release [world.progress]: pairs with the acquire in run_everywhere() and stop(): what was done is
  // visible.
  progress_.fetch_add(1, std::memory_order_release);
  futex_wake_all(progress_);
}

// One wait of the collector, in a stop or a round.
struct World::Wait {
  explicit Wait(Atomic<int64_t>& sum) : away_ns(sum) {}
  ~Wait() { away_ns.store(0, std::memory_order_relaxed); }
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;
  Atomic<int64_t>& away_ns;
  int64_t looked_ns = 0;  // at `thread`; 0: not yet
  int thread = 0;
  int64_t cpu_ns = 0;
};

// The collector sleeps until a mutator has acknowledged or blocked, or it is time to look what keeps
// `missing`: the time since the last look counts as away unless the thread was waiting for a core.
void World::wait_for_progress(uint32_t seen, const Mutator& missing, Wait& wait) {
  const int64_t now = now_ns();
  if (wait.looked_ns == 0) wait.looked_ns = now;
  if (now - wait.looked_ns >= kWatchdogNs) {
    const ThreadActivity activity = thread_activity(missing.thread_id());
    const int64_t elapsed = now - wait.looked_ns;
    const int64_t ran = activity.cpu_ns - wait.cpu_ns;
    const bool same = wait.thread == missing.thread_id();
    const bool waited = activity.runnable && ran < elapsed / 2;
    if (same && !waited) wait.away_ns.fetch_add(elapsed, std::memory_order_relaxed);
    wait.looked_ns = now;
    wait.thread = missing.thread_id();
    wait.cpu_ns = activity.cpu_ns;
  }
  futex_wait(progress_, seen, kWatchdogNs);
}

void World::run_action(Mutator& mutator) {
  // The mutator may be in the middle of anything, and the collector counts on it.
  or_give_up([&] { (*action_)(mutator); });
  // release [world.pending]: pairs with the acquire in run_everywhere(); the action's effects are visible.
  mutator.pending_.fetch_and(~uint32_t{kHandshake}, std::memory_order_release);
}

bool World::try_hold(Mutator& mutator) {
  uint32_t expected = kBlocked;
  // seq_cst [world.dekker], acquire [world.state].
  return mutator.state_.compare_exchange_strong(expected, kHeld, std::memory_order_seq_cst);
}

void World::unhold(Mutator& mutator) {
  // release [world.state]: what the collector did for the thread is visible when it runs again.
  mutator.state_.store(kBlocked, std::memory_order_release);
  if (!defect(Defect::kHeldNotWoken)) futex_wake_all(mutator.state_);
}

void World::handshake(const Action& action, FunctionRef<void()> then) {
  MutexLock lock(registry_mu_);
  KEEL_PROBE1(round_begin, mutators_.size());
  action_ = &action;
  // seq_cst [world.dekker]; releases action_ to the mutator [world.pending].
  for (auto& m : mutators_) {
    if (defect(Defect::kAcknowledgementSkipped) && m == mutators_.back()) continue;
    m->pending_.fetch_or(kHandshake, std::memory_order_seq_cst);
  }
  run_everywhere();
  KEEL_PROBE(round_end);
  if (then) then();
}

void World::run_everywhere() {
  const int64_t start = now_ns();
  bool warned = false;
  Wait wait(away_ns_);
  for (;;) {
    // acquire [world.progress].
    const uint32_t seen = progress_.load(std::memory_order_acquire);
    Mutator* missing = nullptr;
    for (auto& m : mutators_) {
      // acquire [world.pending]: a cleared bit shows the action's effects.
      if ((m->pending_.load(std::memory_order_acquire) & kHandshake) == 0) continue;
      if (try_hold(*m)) {
        if (defect(Defect::kBlockedThreadNotActedFor)) m->pending_.fetch_and(~uint32_t{kHandshake});
        if ((m->pending_.load(std::memory_order_acquire) & kHandshake) != 0) run_action(*m);
        unhold(*m);
      } else {
        missing = m.get();
      }
    }
    if (missing == nullptr) return;
    wait_for_progress(seen, *missing, wait);
    if (!warned && now_ns() - start > 100 * kWatchdogNs) {
      std::fprintf(stderr, "keel: mutator %u (%s) has not reached a safepoint for %.1f s\n", missing->id_,
                   missing->name_.c_str(), static_cast<double>(now_ns() - start) / 1e9);
      warned = true;
    }
  }
}

World::StopTimes World::stop() {
  registry_mu_.lock();
  StopTimes times;
  times.requested_ns = now_ns();
  // seq_cst [world.dekker].
  for (auto& m : mutators_) m->pending_.fetch_or(kStop, std::memory_order_seq_cst);
  for (auto& m : mutators_) {
    if (!try_hold(*m)) missing_.push_back(m.get());  // there is room
  }
  if (defect(Defect::kStopMissesOne) && !missing_.empty()) missing_.pop_back();
  Wait wait(away_ns_);
  while (!missing_.empty()) {
    const uint32_t seen = progress_.load(std::memory_order_acquire);
    std::erase_if(missing_, [&](Mutator* m) {
      if (!try_hold(*m)) return false;
      times.slowest_thread = m->id_;
      return true;
    });
    if (!missing_.empty()) wait_for_progress(seen, *missing_.front(), wait);
  }
  times.stopped_ns = now_ns();
  KEEL_PROBE1(stop_begin, times.stopped_ns - times.requested_ns);
  return times;
}

void World::for_each_stopped(const Action& action) {
  for (auto& m : mutators_) action(*m);
}

void World::resume(const Action& action, FunctionRef<void()> on_restart, FunctionRef<void()> meanwhile) {
  action_ = &action;
  for (auto& m : mutators_) {
    // release [world.pending]: publishes action_; the thread runs it before it leaves its safepoint.
    m->pending_.fetch_or(kHandshake, std::memory_order_release);
    m->state_.store(kBlocked, std::memory_order_release);
  }
  KEEL_PROBE(stop_end);
  on_restart();
  // release [world.state]: all that happened in the stop is visible to whoever sees kStop gone.
  for (auto& m : mutators_) m->pending_.fetch_and(~uint32_t{kStop}, std::memory_order_release);
  // One call wakes them all, so that none stays behind if the first one takes this thread's core.
  stops_.fetch_add(1, std::memory_order_release);
  if (!defect(Defect::kStoppedNotWoken)) futex_wake_all(stops_);
  if (meanwhile) meanwhile();
  run_everywhere();
  registry_mu_.unlock();
}

void World::enter_blocked(Mutator& self) {
  running_.fetch_sub(1, std::memory_order_relaxed);
  // seq_cst [world.dekker], release [world.state].
  self.state_.store(kBlocked, std::memory_order_seq_cst);
  if (self.pending_.load(std::memory_order_seq_cst) != 0) wake_collector();
}

int64_t World::leave_blocked(Mutator& self) {
  race_point(RacePoint::kLeavingBlocking);
  int64_t since = 0;
  auto wait_on = [&since](Atomic<uint32_t>& word, uint32_t value) {
    if (since == 0) since = now_ns();
    futex_wait(word, value);
  };
  for (;;) {
    // acquire [world.state]: see resume(). The count is read before the flag, so a wake-up between the two is
    // not lost.
    const uint32_t stops = stops_.load(std::memory_order_acquire);
    if ((self.pending_.load(std::memory_order_acquire) & kStop) != 0) {
      wait_on(stops_, stops);
      continue;
    }
    uint32_t expected = kBlocked;
    if (self.state_.compare_exchange_strong(expected, kRunning, std::memory_order_seq_cst)) break;
    wait_on(self.state_, expected);
  }
  running_.fetch_add(1, std::memory_order_relaxed);
  return since == 0 ? 0 : now_ns() - since;
}

void World::abandon(Mutator& self, bool in_region) {
  // relaxed [world.state], [world.pending]: no other thread exists.
  self.pending_.store(0, std::memory_order_relaxed);
  self.state_.store(in_region ? kBlocked : kRunning, std::memory_order_relaxed);
}

int64_t World::poll(Mutator& self) {
  int64_t waited = 0;
  for (;;) {
    // acquire [world.pending]: pairs with handshake(), stop() and resume(): action_ is visible.
    const uint32_t pending = self.pending_.load(std::memory_order_acquire);
    if ((pending & kHandshake) != 0) {
      run_action(self);
      wake_collector();
    } else if ((pending & kStop) != 0) {
      enter_blocked(self);
      waited += leave_blocked(self);
    } else {
      return waited;
    }
  }
}

}  // namespace keel
