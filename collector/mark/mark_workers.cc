// The workers' loop and their choice of mode; see mark_workers.h.
#include "collector/mark/mark_workers.h"

#include <pthread.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "allocator/base/clock.h"
#include "allocator/base/futex.h"
#include "allocator/base/machine.h"
#include "allocator/base/out_of_memory.h"
#include "allocator/base/race_points.h"

namespace keel {
namespace {
// How long a worker without work waits before it looks again, and a resting one at least sleeps.
constexpr int64_t kLookAgainNs = 1'000'000;
constexpr int64_t kShortestRestNs = 100'000;
// A fractional worker may run ahead of its share by this much, so that it works in useful pieces.
constexpr int64_t kFractionalSlackNs = 50'000;
// Time slices asked for. The system's own is 3 ms, and its bounds are 0.1 and 100 ms.
constexpr int64_t kShortSliceNs = 100'000;
constexpr int64_t kLongSliceNs = 100'000'000;
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

MarkWorkers::MarkWorkers(HeapMemory& memory, GreyPool& pool, World& world, AssistQueue& assists, int cores,
                         uint32_t count)
    : pool_(pool), world_(world), assists_(assists), cores_(cores) {
  const WorkerShares shares = worker_shares(cores);
  fractional_share_ = shares.fractional_share;
  count_ = std::min<uint32_t>(std::max(1U, count), static_cast<uint32_t>(cores));
  dedicated_ = std::min(shares.dedicated, count_);
  for (uint32_t i = 0; i < count_; ++i) {
    workers_.push_back(std::make_unique<Worker>(memory, pool, i));
    workers_.back()->stretches.reserve(kMostStretches / count_);
  }
  try {
    for (auto& worker : workers_) {
      worker->thread = Thread([this, w = worker.get()] { or_give_up([&] { run(*w); }); });
    }
  } catch (...) {
    stop();  // those that did start
    throw;
  }
}

MarkWorkers::~MarkWorkers() { stop(); }

void MarkWorkers::stop() {
  stopping_.store(true, std::memory_order_relaxed);
  // release: who sees the gate move sees stopping_.
  gate_.fetch_add(2, std::memory_order_acq_rel);
  futex_wake_all(gate_);
  hurry();
  for (auto& worker : workers_) {
    if (worker->thread.joinable()) worker->thread.join();
  }
}

void MarkWorkers::begin() {
  for (auto* sum : {&scanned_, &scanned_bytes_, &marked_bytes_, &marked_objects_}) {
    sum->store(0, std::memory_order_relaxed);
  }
  for (auto* sum : {&dedicated_ns_, &fractional_ns_, &idle_ns_, &share_wall_ns_, &idle_wall_ns_}) {
    sum->store(0, std::memory_order_relaxed);
  }
  used_idle_.store(0, std::memory_order_relaxed);
  begin_ns_.store(now_ns(), std::memory_order_relaxed);
  // release [worker.gate].
  gate_.fetch_add(1, std::memory_order_acq_rel);
  futex_wake_all(gate_);
}

void MarkWorkers::end() {
  gate_.fetch_add(1, std::memory_order_acq_rel);
  pool_.wake_all();
  hurry();
}

MarkCounts MarkWorkers::counts() const {
  MarkCounts counts;
  counts.scanned_bytes = scanned_bytes_.load(std::memory_order_relaxed);
  counts.marked_bytes = marked_bytes_.load(std::memory_order_relaxed);
  counts.marked_objects = marked_objects_.load(std::memory_order_relaxed);
  return counts;
}

WorkerTimes MarkWorkers::times() const {
  WorkerTimes times;
  times.dedicated_ns = dedicated_ns_.load(std::memory_order_relaxed);
  times.fractional_ns = fractional_ns_.load(std::memory_order_relaxed);
  times.idle_ns = idle_ns_.load(std::memory_order_relaxed);
  times.share_wall_ns = share_wall_ns_.load(std::memory_order_relaxed);
  times.idle_wall_ns = idle_wall_ns_.load(std::memory_order_relaxed);
  return times;
}

void MarkWorkers::set_all_out(bool on) {
  all_out_.store(on, std::memory_order_seq_cst);
  if (on) hurry();
}

void MarkWorkers::hurry() {
  if (resting_.load(std::memory_order_seq_cst) == 0) return;
  news_.fetch_add(1, std::memory_order_seq_cst);
  futex_wake_all(news_);
}

bool MarkWorkers::goes_all_out() const {
  return all_out_.load(std::memory_order_seq_cst) || assists_.waiting();
}

void MarkWorkers::ask_for_slice(Worker& worker, int64_t ns) {
  if (worker.slice_ns == ns) return;
  worker.slice_ns = ns;
  set_time_slice(ns);
}

void MarkWorkers::run(Worker& worker) {
  pthread_setname_np(pthread_self(), ("keel-mark-" + std::to_string(worker.index)).c_str());
  ask_for_slice(worker, kShortSliceNs);
  uint32_t left = 0;  // the gate it has been through
  for (;;) {
    const uint32_t gate = gate_.load(std::memory_order_acquire);
    if (stopping_.load(std::memory_order_relaxed)) return;
    if (!is_open(gate) || gate == left) {
      futex_wait(gate_, gate);
      continue;
    }
    worker.marker.begin_cycle();
    worker.fractional_used_ns = 0;
    worker.used_idle = false;
    mark(worker, gate);
    left = gate;
  }
}

MarkWorkers::Mode MarkWorkers::choose(const Worker& worker) {
  if (worker.index < dedicated_ || all_out_.load(std::memory_order_relaxed)) return Mode::kDedicated;
  if (fractional_share_ > 0) {
    const auto allowed = static_cast<int64_t>(
        fractional_share_ * static_cast<double>(now_ns() - begin_ns_.load(std::memory_order_relaxed)));
    if (worker.fractional_used_ns < allowed + kFractionalSlackNs) return Mode::kFractional;
  }
  if (assists_.waiting()) return Mode::kIdle;
  const bool room = world_.running() + idle_running_.load(std::memory_order_relaxed) < cores_;
  return room ? Mode::kIdle : Mode::kRest;
}

void MarkWorkers::note_stretch(Worker& worker) {
  if (worker.stretches.size() == worker.stretches.capacity()) return;
  const WorkerTimes& t = worker.times;
  const WorkerKind kind = t.idle_ns > t.fractional_ns + t.dedicated_ns ? WorkerKind::kIdle
                          : t.fractional_ns > t.dedicated_ns           ? WorkerKind::kFractional
                                                                       : WorkerKind::kDedicated;
  const int64_t cpu_ns = t.dedicated_ns + t.fractional_ns + t.idle_ns;
  worker.stretches.push_back({worker.index, kind, worker.busy_since_ns, worker.wall_ns, cpu_ns});
}

void MarkWorkers::take_stretches(FunctionRef<void(const WorkerRecord&)> take) {
  for (auto& worker : workers_) {
    for (const WorkerRecord& stretch : worker->stretches) take(stretch);
    worker->stretches.clear();
  }
}

// The worker holds nothing any more: grey objects to the pool, sums to the cycle, then idle.
void MarkWorkers::hand_in(Worker& worker) {
  worker.marker.flush();
  const MarkCounts counts = worker.marker.take_counts();
  const WorkerTimes& times = worker.times;
  scanned_bytes_.fetch_add(counts.scanned_bytes, std::memory_order_relaxed);
  marked_bytes_.fetch_add(counts.marked_bytes, std::memory_order_relaxed);
  marked_objects_.fetch_add(counts.marked_objects, std::memory_order_relaxed);
  dedicated_ns_.fetch_add(times.dedicated_ns, std::memory_order_relaxed);
  fractional_ns_.fetch_add(times.fractional_ns, std::memory_order_relaxed);
  idle_ns_.fetch_add(times.idle_ns, std::memory_order_relaxed);
  share_wall_ns_.fetch_add(times.share_wall_ns, std::memory_order_relaxed);
  idle_wall_ns_.fetch_add(times.idle_wall_ns, std::memory_order_relaxed);
  if (times.idle_ns > 0 && !worker.used_idle) {
    worker.used_idle = true;
    used_idle_.fetch_add(1, std::memory_order_relaxed);
  }
  note_stretch(worker);
  worker.times = {};
  pool_.become_idle();
}

// Sleeps until the fractional share has grown by what was used beyond it, or there is a reason to go all out.
void MarkWorkers::rest(const Worker& worker, uint32_t gate) {
  int64_t ns = kLookAgainNs;
  if (fractional_share_ > 0) {
    const double allowed =
        fractional_share_ * static_cast<double>(now_ns() - begin_ns_.load(std::memory_order_relaxed));
    const double beyond = static_cast<double>(worker.fractional_used_ns) - allowed;
    ns = std::clamp(static_cast<int64_t>(beyond / fractional_share_), kShortestRestNs, kLookAgainNs);
  }
  resting_.fetch_add(1, std::memory_order_seq_cst);
  const uint32_t seen = news_.load(std::memory_order_seq_cst);
  if (gate_.load(std::memory_order_seq_cst) == gate && !goes_all_out()) {
    race_point(RacePoint::kWorkerAboutToRest);
    futex_wait(news_, seen, ns);
  }
  resting_.fetch_sub(1, std::memory_order_relaxed);
}

// Busy, and in the cycle it means to be in; else neither.
bool MarkWorkers::start(Worker& worker, uint32_t gate) {
  race_point(RacePoint::kWorkerBecomesBusy);
  const bool busy = pool_.try_become_busy();
  race_point(RacePoint::kWorkerIsBusy);
  if (!busy) return false;
  if (gate_.load(std::memory_order_acquire) != gate) {
    pool_.become_idle();
    return false;
  }
  worker.busy_since_ns = worker.wall_ns = now_ns();
  worker.cpu_ns = thread_cpu_ns();
  return true;
}

void MarkWorkers::run_quantum(Worker& worker, Mode mode) {
  ask_for_slice(worker, mode == Mode::kIdle && !assists_.waiting() ? kLongSliceNs : kShortSliceNs);
  if (mode == Mode::kIdle) idle_running_.fetch_add(1, std::memory_order_relaxed);
  const uint64_t done = worker.marker.drain(mode == Mode::kIdle ? kIdleQuantumBytes : kQuantumBytes);
  if (mode == Mode::kIdle) idle_running_.fetch_sub(1, std::memory_order_relaxed);
  scanned_.fetch_add(done, std::memory_order_relaxed);
  assists_.add_credit(done);
  const int64_t cpu = thread_cpu_ns();
  const int64_t wall = now_ns();
  const int64_t used = cpu - worker.cpu_ns;
  (mode == Mode::kIdle ? worker.times.idle_wall_ns : worker.times.share_wall_ns) += wall - worker.wall_ns;
  worker.cpu_ns = cpu;
  worker.wall_ns = wall;
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
}

void MarkWorkers::mark(Worker& worker, uint32_t gate) {
  bool busy = false;
  while (gate_.load(std::memory_order_acquire) == gate) {
    const Mode mode = choose(worker);
    if (mode == Mode::kRest) {
      if (busy) hand_in(worker);
      busy = false;
      rest(worker, gate);
      continue;
    }
    if (!busy) {
      if (pool_.empty()) {
        pool_.wait_for_work(kLookAgainNs);
        continue;
      }
      busy = start(worker, gate);
      continue;
    }
    run_quantum(worker, mode);
    if (!worker.marker.holds_work() && pool_.empty()) {
      hand_in(worker);
      busy = false;
    }
  }
  if (busy) hand_in(worker);
}

}  // namespace keel
