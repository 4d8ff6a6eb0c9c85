// The workers' loop and their choice of mode; see mark_workers.h.
#include "collector/mark/mark_workers.h"

#include <pthread.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "allocator/base/clock.h"
#include "allocator/base/machine.h"

namespace keel {
namespace {
// How long a worker without work waits before it looks again, and a resting one at least sleeps.
constexpr int64_t kLookAgainNs = 1'000'000;
constexpr int64_t kShortestRestNs = 100'000;
// A fractional worker may run ahead of its share by this much, so that it works in useful pieces.
constexpr int64_t kFractionalSlackNs = 50'000;
}  // namespace

MarkWorkers::MarkWorkers(HeapMemory& memory, GreyPool& pool, World& world, Pacer& pacer,
                         std::vector<int> cores, uint32_t count)
    : pool_(pool), world_(world), pacer_(pacer), cores_(std::move(cores)) {
  const double all = static_cast<double>(cores_.size());
  const double wanted = all * kGoalUtilization;
  // Go's startCycle(): round to whole cores; if that is off by more than 30 %, round down and make up the
  // rest with fractional workers on every core.
  dedicated_ = static_cast<uint32_t>(wanted + 0.5);
  const double error = dedicated_ / wanted - 1;
  if (std::abs(error) > 0.3) {
    if (dedicated_ > wanted) --dedicated_;
    fractional_share_ = (wanted - dedicated_) / all;
  }
  const uint32_t n = std::min<uint32_t>(std::max(1U, count), static_cast<uint32_t>(cores_.size()));
  dedicated_ = std::min(dedicated_, n);
  for (uint32_t i = 0; i < n; ++i) workers_.push_back(std::make_unique<Worker>(memory, pool));
  for (uint32_t i = 0; i < n; ++i) {
    workers_[i]->thread = std::thread([this, i] { run(*workers_[i], i); });
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
    inside_ = static_cast<uint32_t>(workers_.size());
    counts_ = {};
    times_ = {};
    used_idle_ = 0;
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

void MarkWorkers::run(Worker& worker, uint32_t index) {
  pthread_setname_np(pthread_self(), ("keel-mark-" + std::to_string(index)).c_str());
  pin_to_core(cores_[index]);
  uint64_t seen = 0;
  for (;;) {
    {
      MutexLock lock(mu_);
      while (epoch_ == seen && !stopping_) wake_.wait(mu_);
      if (stopping_) return;
      seen = epoch_;
    }
    worker.marker.begin_cycle();
    worker.fractional_used_ns = 0;
    worker.times = {};
    worker.used_idle = false;
    mark(worker, index);
    MutexLock lock(mu_);
    --inside_;
    wake_.notify_all();
  }
}

MarkWorkers::Mode MarkWorkers::choose(const Worker& worker, uint32_t index) {
  if (index < dedicated_) return Mode::kDedicated;
  if (fractional_share_ > 0) {
    const auto allowed = static_cast<int64_t>(fractional_share_ * static_cast<double>(now_ns() - begin_ns_));
    if (worker.fractional_used_ns < allowed + kFractionalSlackNs) return Mode::kFractional;
  }
  // A mutator that could run has the core; the count is a hint, looked at again after the next quantum.
  return world_.running() + idle_running_.load(std::memory_order_relaxed) < cores() ? Mode::kIdle
                                                                                    : Mode::kRest;
}

// The worker holds nothing any more: grey objects to the pool, sums to the cycle, then idle.
void MarkWorkers::hand_in(Worker& worker) {
  worker.marker.flush();
  {
    MutexLock lock(mu_);
    counts_.add(worker.marker.take_counts());
    times_.dedicated_ns += worker.times.dedicated_ns;
    times_.fractional_ns += worker.times.fractional_ns;
    times_.idle_ns += worker.times.idle_ns;
    if (worker.times.idle_ns > 0 && !worker.used_idle) ++used_idle_;
    worker.used_idle = worker.used_idle || worker.times.idle_ns > 0;
    worker.times = {};
  }
  pool_.become_idle();
}

// Sleeps until the fractional share has grown by what was used beyond it.
void MarkWorkers::rest(const Worker& worker) {
  int64_t ns = kLookAgainNs;
  if (fractional_share_ > 0) {
    const double allowed = fractional_share_ * static_cast<double>(now_ns() - begin_ns_);
    const double beyond = static_cast<double>(worker.fractional_used_ns) - allowed;
    ns = std::clamp(static_cast<int64_t>(beyond / fractional_share_), kShortestRestNs, kLookAgainNs);
  }
  MutexLock lock(mu_);
  if (active_.load(std::memory_order_relaxed)) wake_.wait_for(mu_, ns);
}

void MarkWorkers::mark(Worker& worker, uint32_t index) {
  bool busy = false;
  auto become_idle = [&] {
    if (busy) hand_in(worker);
    busy = false;
  };
  while (active_.load(std::memory_order_relaxed)) {
    const Mode mode = choose(worker, index);
    if (mode == Mode::kRest) {
      become_idle();
      rest(worker);
      continue;
    }
    if (!busy) {
      if (pool_.empty()) {
        pool_.wait_for_work(kLookAgainNs);
        continue;
      }
      pool_.become_busy();
      busy = true;
    }
    if (mode == Mode::kIdle) idle_running_.fetch_add(1, std::memory_order_relaxed);
    const int64_t before = thread_cpu_ns();
    const uint64_t done = worker.marker.drain(kQuantumBytes);
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
    if (!worker.marker.holds_work() && pool_.empty()) become_idle();
  }
  become_idle();
}

}  // namespace keel
