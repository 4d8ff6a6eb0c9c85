// Mark workers: one pinned to each usable core, in three modes.
//
//   dedicated    marks all the time; as many cores as 25 % of all give whole ones
//   fractional   marks until it has used its share of its core, then sleeps; with the dedicated ones 25 %
//   idle         marks beyond that only while fewer mutators run than there are cores
// On two cores none is dedicated and each worker is fractional at 25 % of its core, as in Go (mgcpacer.go,
// startCycle()). A worker is two threads: one for its share, and one of the lowest scheduling class
// (SCHED_IDLE) for idle time, so that the system takes the core from it the moment a mutator wakes up; no
// permission is needed to enter that class, but one to leave it, hence two threads.
//
// A worker looks at its mode after every quantum of scan work, holds no lock while scanning, and hands its
// grey objects in before it sleeps. [rule 9] An idle thread that is starved holds at most one small quantum,
// everything else of its is in the pool, for others; the class gets a little of a busy core, so the quantum
// ends. If marking waits for idle threads alone, they are raised to the normal class where that is permitted.
// While the world is stopped (marking inside a stop) every worker marks all the time. Threads: begin(), end()
// from the cycle thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "allocator/base/atomic.h"
#include "allocator/base/thread.h"
#include "collector/api/events.h"
#include "collector/mark/marker.h"
#include "collector/pacing/pacer.h"
#include "collector/world/world.h"

namespace keel {

struct WorkerTimes {
  int64_t dedicated_ns = 0;  // CPU time
  int64_t fractional_ns = 0;
  int64_t idle_ns = 0;
};

/// How many workers are dedicated, and which share of its core each other one has, so that both together take
/// a quarter of `cores` cores. Source: Go mgcpacer.go (startCycle()).
struct WorkerShares {
  uint32_t dedicated = 0;
  double fractional_share = 0;  // 0: the others do nothing but idle marking
};
WorkerShares worker_shares(int cores);

class MarkWorkers {
 public:
  /// `count` workers, at most one per core in `cores`; the share of 25 % is of all `cores`.
  MarkWorkers(HeapMemory& memory, GreyPool& pool, World& world, Pacer& pacer, std::vector<int> cores,
              uint32_t count);
  ~MarkWorkers();

  /// Marking may begin. Threads: the cycle thread, every barrier on.
  void begin();
  /// Marking is over: workers leave when they next look. Precondition: the pool is quiet. Threads: the cycle
  /// thread, also inside a stop: it waits for nobody.
  void end();
  /// Returns when every worker has left. Outside a stop, before the next begin().
  void wait_until_left();

  /// Scan work of all workers so far in this cycle. relaxed [stats].
  [[nodiscard]] uint64_t scanned_bytes() const { return scanned_.load(std::memory_order_relaxed); }
  /// Exact when the pool is quiet: a worker adds its sums before it becomes idle.
  [[nodiscard]] MarkCounts counts();
  [[nodiscard]] WorkerTimes times();
  /// What workers did when since begin(), the first kMostStretches; leaves none. After wait_until_left().
  [[nodiscard]] std::vector<WorkerRecord> take_stretches();
  [[nodiscard]] uint32_t dedicated() const { return dedicated_; }
  [[nodiscard]] uint32_t fractional() const { return count_ - dedicated_; }
  /// Every worker marks all the time while this is on. Threads: the cycle thread.
  void set_all_out(bool on);
  /// Marking waits for idle threads alone: lets them finish what they hold at normal class, if that is
  /// permitted. Threads: the cycle thread.
  void help_idle_threads();
  [[nodiscard]] uint32_t used_idle();
  [[nodiscard]] int cores() const { return static_cast<int>(cores_.size()); }

 private:
  static constexpr uint64_t kQuantumBytes = 64 * kKiB;
  static constexpr uint64_t kIdleQuantumBytes = 16 * kKiB;
  static constexpr size_t kMostStretches = 4096;
  enum class Mode { kDedicated, kFractional, kIdle, kRest };

  struct Worker {
    Worker(HeapMemory& memory, GreyPool& pool, uint32_t i, bool is_idle)
        : marker(memory, pool), index(i), idle(is_idle) {}
    Marker marker;
    int64_t fractional_used_ns = 0;
    WorkerTimes times;
    int64_t busy_since_ns = 0;
    const uint32_t index;  // of its core
    const bool idle;       // the thread for idle time
    bool used_idle = false;
    // relaxed [mark.active]: a hint for help_idle_threads().
    Atomic<bool> holds{false};
    bool raised = false;  // cycle thread only
    Thread thread;
  };

  void run(Worker& worker);
  void mark(Worker& worker);
  void hand_in(Worker& worker);
  void note_stretch(const Worker& worker) KEEL_REQUIRES(mu_);
  void rest(const Worker& worker);
  Mode choose(const Worker& worker);
  void lower_class(Worker& worker);

  GreyPool& pool_;
  World& world_;
  Pacer& pacer_;
  const std::vector<int> cores_;
  uint32_t count_ = 0;  // workers: half as many as threads
  uint32_t dedicated_ = 0;
  double fractional_share_ = 0;  // of its core, per fractional worker

  Mutex mu_{LockRank::kWorkers};
  ConditionVariable wake_;
  uint64_t epoch_ KEEL_GUARDED_BY(mu_) = 0;
  uint32_t inside_ KEEL_GUARDED_BY(mu_) = 0;  // workers between begin() and end()
  bool stopping_ KEEL_GUARDED_BY(mu_) = false;
  // relaxed [mark.active]: end() also takes the lock each worker leaves through.
  Atomic<bool> active_{false};
  Atomic<bool> all_out_{false};
  Atomic<uint64_t> scanned_{0};
  Atomic<int> idle_running_{0};
  int64_t begin_ns_ = 0;
  MarkCounts counts_ KEEL_GUARDED_BY(mu_);
  WorkerTimes times_ KEEL_GUARDED_BY(mu_);
  std::vector<WorkerRecord> stretches_ KEEL_GUARDED_BY(mu_);  // never grows beyond what was reserved
  uint32_t used_idle_ KEEL_GUARDED_BY(mu_) = 0;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace keel
