// Points, decisions, waiting and waking; see scheduler.h.
#include "allocator/base/explore/scheduler.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "allocator/base/check.h"

namespace keel::explore {
namespace {
// Set by the thread that begins a session, before its threads exist.
Scheduler* g_current = nullptr;

void token_futex(const std::atomic<uint32_t>& word, int operation, uint32_t value) {
  syscall(SYS_futex, &word, operation, value, nullptr, nullptr, 0);
}
// The callers of a function, by the chain of frame pointers, which the explore build keeps. A library's
// functions have none: the walk ends where the chain no longer leads up in small steps.
void walk(void* frame, std::array<void*, 4>& places) {
  constexpr uintptr_t kLargestFrame = 16 * 1024;
  for (void*& place : places) {
    auto** at = static_cast<void**>(frame);
    place = at == nullptr ? nullptr : at[1];
    if (at == nullptr) continue;
    const auto here = reinterpret_cast<uintptr_t>(at);
    const auto next = reinterpret_cast<uintptr_t>(at[0]);
    const bool leads_up = next > here && next - here < kLargestFrame && next % sizeof(void*) == 0;
    frame = leads_up ? at[0] : nullptr;
  }
}
}  // namespace

Scheduler::Scheduler(const SessionOptions& options) : options_(options), strategy_(make_strategy(options)) {}

Scheduler* Scheduler::current() { return g_current; }

void Scheduler::begin() {
  KEEL_CHECK(g_current == nullptr, "explore: a session runs already");
  g_current = this;
  ThreadRecord* main = add_thread();
  main->handle = pthread_self();
  main->system_id = static_cast<int>(syscall(SYS_gettid));
  decide_at_ = strategy_->until_next(0);
  t_self = main;
}

SessionResult Scheduler::end() {
  for (const auto& thread : threads_) {
    if (thread->id != 0 && thread->state != ThreadState::kDone)
      fail("a thread of the session has not been joined");
  }
  t_self = nullptr;
  g_current = nullptr;
  SessionResult result;
  result.points = points_;
  result.steps = steps_;
  result.switches = switches_;
  result.decisions = decisions_;
  result.trace_hash = hash_;
  result.virtual_ns = now_ns_;
  result.threads = static_cast<uint32_t>(threads_.size());
  return result;
}

void Scheduler::note(ThreadRecord& self, Point point, const void* object, void* frame) {
  ++points_;
  now_ns_ += kPointNs;
  self.cpu_ns += kPointNs;
  mix(self.id << 8 | static_cast<uint64_t>(point));
  PassedPoint& passed = self.passed[self.passed_count++ % ThreadRecord::kRemembered];
  passed.point = point;
  passed.object = object;
  passed.number = points_;
  walk(frame, passed.places);
}

void Scheduler::reach(Point point, const void* object, void* frame) {
  ThreadRecord& self = *t_self;
  note(self, point, object, frame);
  if (!may_switch_at(point) && points_ < forced_at_) return;
  ++steps_;
  const bool asked = point == Point::kRace && strategy_->on_race_point(race_kind(object), steps_);
  if (asked || steps_ >= decide_at_ || points_ >= forced_at_ || now_ns_ >= next_deadline_ns_)
    decide(self, Reason::kPoint);
}

bool Scheduler::may_switch_at(Point point) const {
  switch (options_.switch_at) {
    case SwitchAt::kEveryPoint:
      return true;
    case SwitchAt::kOrdered:
      return point != Point::kRelaxed;
    case SwitchAt::kSync:
      return point != Point::kRelaxed && point != Point::kOrdered && point != Point::kClock;
  }
  return true;
}

void Scheduler::yield(void* frame) {
  note(*t_self, Point::kYield, nullptr, frame);
  decide(*t_self, Reason::kYield);
}

// Who can run, who of them does, and the token to it. Returns when the caller has the token again.
void Scheduler::decide(ThreadRecord& self, Reason reason) {
  if (points_ > options_.most_points) fail("livelock: more points than a run may have");
  for (;;) {
    if (now_ns_ >= next_deadline_ns_) expire();
    if (reason == Reason::kPoint) jump_early();
    runnable_.clear();
    for (const auto& thread : threads_) {
      const bool sits_out = reason == Reason::kYield && thread.get() == &self;
      if (thread->state == ThreadState::kRunnable && !sits_out) runnable_.push_back(thread.get());
    }
    if (!runnable_.empty()) break;
    const bool jumped = jump_to_next();
    if (reason == Reason::kYield) {
      reason = Reason::kPoint;  // nobody else: it goes on
    } else if (!jumped) {
      fail("deadlock: nobody can run");
    }
  }
  ThreadRecord* next = strategy_->choose(runnable_, self, reason, steps_);
  ++decisions_;
  mix(uint64_t{next->id} << 32 | points_);
  decide_at_ = steps_ + strategy_->until_next(steps_);
  forced_at_ = points_ + kMostUndecided;
  if (next != &self) hand_over(self, *next);
}

void Scheduler::make_runnable(ThreadRecord& thread, bool woken) {
  thread.state = ThreadState::kRunnable;
  thread.woken = woken;
  thread.deadline_ns = ThreadRecord::kNever;
  if (strategy_->on_wake()) decide_at_ = 0;
}

// Threads whose time has come can run.
void Scheduler::expire() {
  next_deadline_ns_ = ThreadRecord::kNever;
  for (const auto& thread : threads_) {
    const bool waits = thread->state != ThreadState::kRunnable && thread->state < ThreadState::kDone;
    if (waits && thread->deadline_ns <= now_ns_) make_runnable(*thread, false);
    if (thread->state != ThreadState::kRunnable)
      next_deadline_ns_ = std::min(next_deadline_ns_, thread->deadline_ns);
  }
}

// The threads that could run may be kept from it for a while, until somebody's time has come.
void Scheduler::jump_early() {
  if (next_deadline_ns_ == ThreadRecord::kNever) return;
  std::array<int64_t, 16> deadlines;
  size_t count = 0;
  for (const auto& thread : threads_) {
    if (thread->state != ThreadState::kRunnable && thread->deadline_ns <= now_ns_ + kEarlyJumpNs &&
        count < deadlines.size()) {
      deadlines[count++] = thread->deadline_ns;
    }
  }
  if (count == 0) return;
  const size_t chosen = strategy_->jump(count);
  if (chosen >= count) return;
  now_ns_ = std::max(now_ns_, deadlines[chosen]);
  expire();
}

// Everybody waits: time goes on to the next deadline. False if there is none.
bool Scheduler::jump_to_next() {
  if (next_deadline_ns_ == ThreadRecord::kNever) return false;
  if (++idle_jumps_ > options_.most_idle_jumps) fail("livelock: everybody only ever waits for time to pass");
  now_ns_ = std::max(now_ns_, next_deadline_ns_);
  expire();
  return true;
}

bool Scheduler::wait(ThreadState state, const void* object, int64_t deadline_ns) {
  ThreadRecord& self = *t_self;
  self.state = state;
  self.waits_for = object;
  self.deadline_ns = deadline_ns;
  self.woken = false;
  next_deadline_ns_ = std::min(next_deadline_ns_, deadline_ns);
  decide(self, Reason::kBlocked);
  self.waits_for = nullptr;
  return self.woken;
}

void Scheduler::wake(ThreadState state, const void* object) {
  for (const auto& thread : threads_) {
    if (thread->state == state && thread->waits_for == object) make_runnable(*thread, true);
  }
}

// The caller is queued before it gives its lock back, as if both were one step.
void Scheduler::begin_wait(const void* condition, int64_t deadline_ns) {
  ThreadRecord& self = *t_self;
  self.condition = condition;
  self.queued = ++waits_;
  self.woken = false;
  self.deadline_ns = ThreadRecord::kNever;
  self.wait_deadline_ns = deadline_ns;
}

bool Scheduler::finish_wait() {
  ThreadRecord& self = *t_self;
  // Notified while it gave the lock back; or spuriously.
  if (self.condition == nullptr) return true;
  const void* condition = self.condition;
  bool woken = true;
  if (!strategy_->wakes_spuriously()) {
    woken = wait(ThreadState::kWaitsOnCondition, condition, self.wait_deadline_ns);
  }
  // Notified between its time-out and now: then the notification is its own.
  if (self.condition == nullptr) woken = true;
  self.condition = nullptr;
  return woken;
}

void Scheduler::notify(const void* condition, bool all) {
  std::vector<ThreadRecord*> waiters;
  for (const auto& thread : threads_) {
    if (thread->condition == condition && thread->state < ThreadState::kDone) waiters.push_back(thread.get());
  }
  if (waiters.empty()) return;
  std::sort(waiters.begin(), waiters.end(), [](auto* a, auto* b) { return a->queued < b->queued; });
  if (!all) {
    const size_t chosen = waiters.size() == 1 ? 0 : strategy_->pick_waiter(waiters.size());
    waiters = {waiters[chosen]};
  }
  for (ThreadRecord* thread : waiters) {
    thread->condition = nullptr;
    if (thread->state == ThreadState::kWaitsOnCondition) make_runnable(*thread, true);
  }
}

ThreadRecord* Scheduler::add_thread() {
  auto thread = std::make_unique<ThreadRecord>();
  thread->id = static_cast<uint32_t>(threads_.size());
  strategy_->on_new_thread(*thread);
  threads_.push_back(std::move(thread));
  return threads_.back().get();
}

void Scheduler::enter(ThreadRecord& self) {
  wait_for_token(self);
  t_self = &self;
}

void Scheduler::leave(ThreadRecord& self) {
  note(self, Point::kExit, nullptr, __builtin_frame_address(0));
  self.state = ThreadState::kDone;
  wake(ThreadState::kJoins, &self);
  decide(self, Reason::kBlocked);
  t_self = nullptr;
}

void Scheduler::hand_over(ThreadRecord& self, ThreadRecord& next) {
  ++switches_;
  const bool leaves = self.state == ThreadState::kDone;
  give_token(next, ThreadRecord::kRun);
  if (!leaves) wait_for_token(self);
}

void Scheduler::give_token(ThreadRecord& next, uint32_t token) {
  // release [explore.token]: what the giver did is visible to the thread that takes it (acquire).
  next.token.store(token, std::memory_order_release);
  token_futex(next.token, FUTEX_WAKE_PRIVATE, 1);
}

void Scheduler::forget_others() {
  for (const auto& thread : threads_) {
    if (thread.get() != t_self && thread->state != ThreadState::kDone) thread->state = ThreadState::kGone;
  }
  next_deadline_ns_ = ThreadRecord::kNever;
  child_ = true;
}

const ThreadRecord* Scheduler::find(int system_id) const {
  for (const auto& thread : threads_) {
    if (thread->system_id == system_id && thread->state < ThreadState::kDone) return thread.get();
  }
  return nullptr;
}

int64_t Scheduler::process_cpu_ns() const {
  int64_t sum = 0;
  for (const auto& thread : threads_) sum += thread->cpu_ns;
  return sum;
}

}  // namespace keel::explore
