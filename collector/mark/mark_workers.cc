// The workers' loop and their choice of mode; see mark_workers.h.
#include "collector/mark/mark_workers.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "allocator/base/clock.h"
#include "allocator/base/machine.h"
#include "allocator/base/race_points.h"

namespace keel {
namespace {
// How long a worker without work waits before it looks again, and a resting one at least sleeps.
constexpr int64_t kLookAgainNs = 1'000'000;
constexpr int64_t kShortestRestNs = 100'000;
// A fractional worker may run ahead of its share by this much, so that it works in useful pieces.
constexpr int64_t kFractionalSlackNs = 50'000;
}  // namespace

WorkerShares worker_shares(int cores) {
  WorkerShares shares;
  const double wanted = cores * kGoalUtilization;
  // Rounded to whole cores; if that is off by more than 30 %, rounded down, and fractional workers on the
  // other cores make up the rest.
  shares.dedicated = static_cast<uint32_t>(wanted + 0.5);
  if (std::abs(shares.dedicated / wanted - 1) > 0.3) {
    if (shares.dedicated > wanted) --shares.dedicated;
    shares.fractional_share = (wanted - shares.dedicated) / cores;
  }
  return shares;
}

MarkWorkers::MarkWorkers(HeapMemory& memory, GreyPool& pool, World& world, Pacer& pacer,
                         std::vector<int> cores, uint32_t count)
    : pool_(pool), world_(world), pacer_(pacer), cores_(std::move(cores)) {
  const WorkerShares shares = worker_shares(static_cast<int>(cores_.size()));
  dedicated_ = shares.dedicated;
  fractional_share_ = shares.fractional_share;
  count_ = std::min<uint32_t>(std::max(1U, count), static_cast<uint32_t>(cores_.size()));
  dedicated_ = std::min(dedicated_, count_);
  {
    MutexLock lock(mu_);
    stretches_.reserve(kMostStretches);
  }
  for (bool idle : {false, true}) {
    for (uint32_t i = 0; i < count_; ++i) workers_.push_back(std::make_unique<Worker>(memory, pool, i, idle));
  }
  for (auto& worker : workers_) {
    worker->thread = Thread([this, w = worker.get()] { run(*w); });
  }
}

MarkWorkers::~MarkWorkers() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (auto& worker : workers_) worker->thread.join();
}

void MarkWorkers::begin() {
  {
    MutexLock lock(mu_);
    ++epoch_;
    for (auto& worker : workers_) {
      if (worker->raised) lower_class(*worker);
    }
    counts_ = {};
    times_ = {};
    used_idle_ = 0;
    stretches_.clear();
    begin_ns_ = now_ns();
    scanned_.store(0, std::memory_order_relaxed);
    active_.store(true, std::memory_order_relaxed);
  }
  wake_.notify_all();
}

void MarkWorkers::end() {
  active_.store(false, std::memory_order_relaxed);
  pool_.wake_all();
  wake_.notify_all();
}

void MarkWorkers::wait_until_left() {
  MutexLock lock(mu_);
  while (inside_ != 0) wake_.wait(mu_);
}

MarkCounts MarkWorkers::counts() {
  MutexLock lock(mu_);
  return counts_;
}

WorkerTimes MarkWorkers::times() {
  MutexLock lock(mu_);
  return times_;
}

uint32_t MarkWorkers::used_idle() {
  MutexLock lock(mu_);
  return used_idle_;
}

void MarkWorkers::set_all_out(bool on) {
  all_out_.store(on, std::memory_order_relaxed);
  if (on) wake_.notify_all();
}

void MarkWorkers::help_idle_threads() {
  for (auto& worker : workers_) {
    if (worker->idle && worker->holds.load(std::memory_order_relaxed) && !worker->raised) {
      worker->raised = ThisThread::set_class(worker->thread.native_handle(), SCHED_OTHER) == 0;
    }
  }
}

void MarkWorkers::lower_class(Worker& worker) {
  ThisThread::set_class(worker.thread.native_handle(), SCHED_IDLE);
  worker.raised = false;
}

void MarkWorkers::run(Worker& worker) {
  pthread_setname_np(pthread_self(),
                     ((worker.idle ? "keel-idle-" : "keel-mark-") + std::to_string(worker.index)).c_str());
  pin_to_core(cores_[worker.index]);
  if (worker.idle) ThisThread::set_class(pthread_self(), SCHED_IDLE);
  uint64_t seen = 0;
  for (;;) {
    {
      MutexLock lock(mu_);
      // An idle thread comes and goes while a cycle marks; it is not inside while it rests, so nobody waits
      // for it.
      if (worker.idle && epoch_ == seen && active_.load(std::memory_order_relaxed))
        wake_.wait_for(mu_, kLookAgainNs);
      while (!stopping_ && !(active_.load(std::memory_order_relaxed) && (epoch_ != seen || worker.idle))) {
        wake_.wait(mu_);
      }
      if (stopping_) return;
      ++inside_;
      if (epoch_ != seen) {
        seen = epoch_;
        worker.marker.begin_cycle();
        worker.fractional_used_ns = 0;
        worker.times = {};
        worker.used_idle = false;
      }
    }
    mark(worker);
    MutexLock lock(mu_);
    --inside_;
    wake_.notify_all();
  }
}

MarkWorkers::Mode MarkWorkers::choose(const Worker& worker) {
  const bool all_out = all_out_.load(std::memory_order_relaxed);
  if (worker.idle) {
    // A mutator that could run has the core; the count is a hint, looked at again after the next quantum.
    const bool room = world_.running() + idle_running_.load(std::memory_order_relaxed) < cores();
    return room && !all_out ? Mode::kIdle : Mode::kRest;
  }
  if (worker.index < dedicated_ || all_out) return Mode::kDedicated;
  if (fractional_share_ > 0) {
    const auto allowed = static_cast<int64_t>(fractional_share_ * static_cast<double>(now_ns() - begin_ns_));
    if (worker.fractional_used_ns < allowed + kFractionalSlackNs) return Mode::kFractional;
  }
  return Mode::kRest;
}

void MarkWorkers::note_stretch(const Worker& worker) {
  if (stretches_.size() == stretches_.capacity()) return;
  const WorkerTimes& t = worker.times;
  const int64_t cpu_ns = t.dedicated_ns + t.fractional_ns + t.idle_ns;
  const WorkerKind kind = worker.idle                        ? WorkerKind::kIdle
                          : t.fractional_ns > t.dedicated_ns ? WorkerKind::kFractional
                                                             : WorkerKind::kDedicated;
  stretches_.push_back({worker.index, kind, worker.busy_since_ns, now_ns(), cpu_ns});
}

std::vector<WorkerRecord> MarkWorkers::take_stretches() {
  MutexLock lock(mu_);
  std::vector<WorkerRecord> taken(stretches_);
  stretches_.clear();
  return taken;
}

// The worker holds nothing any more: grey objects to the pool, sums to the cycle, then idle.
void MarkWorkers::hand_in(Worker& worker) {
  worker.marker.flush();
  worker.holds.store(false, std::memory_order_relaxed);
  {
    MutexLock lock(mu_);
    counts_.add(worker.marker.take_counts());
    times_.dedicated_ns += worker.times.dedicated_ns;
    times_.fractional_ns += worker.times.fractional_ns;
    times_.idle_ns += worker.times.idle_ns;
    note_stretch(worker);
    if (worker.times.idle_ns > 0 && !worker.used_idle) ++used_idle_;
    worker.used_idle = worker.used_idle || worker.times.idle_ns > 0;
    worker.times = {};
  }
  pool_.become_idle();
}

// Sleeps until the fractional share has grown by what was used beyond it.
void MarkWorkers::rest(const Worker& worker) {
  int64_t ns = kLookAgainNs;
  if (fractional_share_ > 0 && !worker.idle) {
    const double allowed = fractional_share_ * static_cast<double>(now_ns() - begin_ns_);
    const double beyond = static_cast<double>(worker.fractional_used_ns) - allowed;
    ns = std::clamp(static_cast<int64_t>(beyond / fractional_share_), kShortestRestNs, kLookAgainNs);
  }
  MutexLock lock(mu_);
  if (active_.load(std::memory_order_relaxed)) wake_.wait_for(mu_, ns);
}

void MarkWorkers::mark(Worker& worker) {
  bool busy = false;
  auto become_idle = [&] {
    if (busy) hand_in(worker);
    busy = false;
  };
  while (active_.load(std::memory_order_relaxed)) {
    const Mode mode = choose(worker);
    if (mode == Mode::kRest) {
      become_idle();
      if (worker.idle) return;
      rest(worker);
      continue;
    }
    if (!busy) {
      if (pool_.empty()) {
        if (worker.idle) return;
        pool_.wait_for_work(kLookAgainNs);
        continue;
      }
      race_point(RacePoint::kWorkerBecomesBusy);
      pool_.become_busy();
      race_point(RacePoint::kWorkerIsBusy);
      worker.holds.store(true, std::memory_order_relaxed);
      worker.busy_since_ns = now_ns();
      busy = true;
    }
    if (mode == Mode::kIdle) idle_running_.fetch_add(1, std::memory_order_relaxed);
    const int64_t before = thread_cpu_ns();
    const uint64_t done = worker.marker.drain(worker.idle ? kIdleQuantumBytes : kQuantumBytes);
    const int64_t used = thread_cpu_ns() - before;
    if (mode == Mode::kIdle) idle_running_.fetch_sub(1, std::memory_order_relaxed);
    scanned_.fetch_add(done, std::memory_order_relaxed);
    pacer_.add_credit(done);
    switch (mode) {
      case Mode::kDedicated:
        worker.times.dedicated_ns += used;
        break;
      case Mode::kFractional:
        worker.times.fractional_ns += used;
        worker.fractional_used_ns += used;
        break;
      default:
        worker.times.idle_ns += used;
    }
    // What an idle thread has found is everybody's at once: it may not run again for a while.
    if (worker.idle || (!worker.marker.holds_work() && pool_.empty())) become_idle();
  }
  become_idle();
}

}  // namespace keel
