// Mark workers: one per usable core, in three modes.
//
//   dedicated    marks all the time; as many workers as 25 % of all cores give whole ones
//   fractional   marks until it has used its share of a core, then sleeps; with the dedicated ones 25 %
//   idle         marks beyond that while fewer mutators run than there are cores, and while a mutator waits
//   for
//                credit (assist_queue.h)
// On two cores none is dedicated and each worker is fractional at 25 % of a core, as in Go (mgcpacer.go,
// startCycle()). While the world is stopped (marking inside a stop) every worker marks all the time.
//
// [rule 9] A worker looks at its mode after every quantum of scan work, holds no lock, and hands its grey
// objects in before it sleeps. All are of the normal scheduling class: one that is starved (SCHED_IDLE, a
// high nice value) would still hold a quantum while it waits for a core, and nothing that sets mark bits can
// be left behind. How soon the system gives a woken thread a core is asked for by its time slice instead,
// which any thread may change: short for a share, so that it comes at once, long in idle mode, so that a
// mutator that wakes up takes its place (docs/loaded.md has the latencies). Nobody is pinned: on a machine
// with other load the system knows best which core is free.
//
// The cycle thread never waits for a worker: marking is over when the pool is quiet, a worker can only be
// busy while it is not, and one that comes late finds another gate [worker.gate]. So there is no lock here.
// Threads: begin(), end() from the cycle thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "allocator/base/atomic.h"
#include "allocator/base/function_ref.h"
#include "allocator/base/thread.h"
#include "collector/api/events.h"
#include "collector/mark/marker.h"
#include "collector/pacing/assist_queue.h"
#include "collector/world/world.h"

namespace keel {

struct WorkerTimes {
  int64_t dedicated_ns = 0;  // CPU time
  int64_t fractional_ns = 0;
  int64_t idle_ns = 0;
  // Time on the clock of the same, waiting for a core included: what the pacer takes for a share of the
  // cores, as Go does, so that a machine with other load is seen as a slow collector.
  int64_t share_wall_ns = 0;
  int64_t idle_wall_ns = 0;
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
  /// `count` workers, at most one per core; the share of 25 % is of all `cores`.
  MarkWorkers(HeapMemory& memory, GreyPool& pool, World& world, AssistQueue& assists, int cores,
              uint32_t count);
  ~MarkWorkers();

  /// Marking may begin. Threads: the cycle thread, every barrier on.
  void begin();
  /// Marking is over: workers leave when they next look. Precondition: the pool is quiet. Threads: the cycle
  /// thread, also inside a stop: it waits for nobody.
  void end();

  /// Scan work of all workers so far in this cycle. relaxed [stats].
  [[nodiscard]] uint64_t scanned_bytes() const { return scanned_.load(std::memory_order_relaxed); }
  // Of this cycle, exact once the pool is quiet: a worker adds its sums before it becomes idle [grey.state].
  [[nodiscard]] MarkCounts counts() const;
  [[nodiscard]] WorkerTimes times() const;
  [[nodiscard]] uint32_t used_idle() const { return used_idle_.load(std::memory_order_relaxed); }
  /// Calls take(stretch) for what workers did when since begin(), the first kMostStretches; leaves none.
  /// After end().
  void take_stretches(FunctionRef<void(const WorkerRecord&)> take);

  [[nodiscard]] uint32_t dedicated() const { return dedicated_; }
  [[nodiscard]] uint32_t fractional() const { return count_ - dedicated_; }
  /// Every worker marks all the time while this is on. Threads: the cycle thread.
  void set_all_out(bool on);
  /// Workers that rest look again: somebody waits for credit. Threads: any.
  void hurry();
  [[nodiscard]] int cores() const { return cores_; }

 private:
  static constexpr uint64_t kQuantumBytes = 64 * kKiB;
  static constexpr uint64_t kIdleQuantumBytes = 16 * kKiB;
  static constexpr size_t kMostStretches = 4096;
  enum class Mode { kDedicated, kFractional, kIdle, kRest };

  struct Worker {
    Worker(HeapMemory& memory, GreyPool& pool, uint32_t i) : marker(memory, pool), index(i) {}
    Marker marker;
    const uint32_t index;
    int64_t fractional_used_ns = 0;  // in this cycle
    WorkerTimes times;               // since it became busy
    int64_t busy_since_ns = 0;
    int64_t cpu_ns = 0;  // clocks at the end of the last quantum
    int64_t wall_ns = 0;
    int64_t slice_ns = 0;
    bool used_idle = false;
    std::vector<WorkerRecord> stretches;  // never grows beyond what was reserved
    Thread thread;
  };
  /// Cycles that began times 2, plus 1 while marking. [worker.gate] A worker that is busy and then reads the
  /// gate it came through knows that the cycle cannot end before it is idle: quiet comes before end().
  /// acquire, with the release in begin(): the marker then reads this cycle's bits.
  static bool is_open(uint32_t gate) { return (gate & 1) != 0; }

  void stop();
  void run(Worker& worker);
  void mark(Worker& worker, uint32_t gate);
  bool start(Worker& worker, uint32_t gate);
  void run_quantum(Worker& worker, Mode mode);
  void hand_in(Worker& worker);
  void note_stretch(Worker& worker);
  void rest(const Worker& worker, uint32_t gate);
  Mode choose(const Worker& worker);
  [[nodiscard]] bool goes_all_out() const;
  void ask_for_slice(Worker& worker, int64_t ns);

  GreyPool& pool_;
  World& world_;
  AssistQueue& assists_;
  const int cores_;
  uint32_t count_ = 0;
  uint32_t dedicated_ = 0;
  double fractional_share_ = 0;  // of a core, per fractional worker

  Atomic<uint32_t> gate_{0};  // futex word [worker.gate]
  Atomic<bool> stopping_{false};
  Atomic<bool> all_out_{false};
  // [grey.wait], as in the pool: who rests, and the futex word it rests on.
  Atomic<uint32_t> resting_{0};
  Atomic<uint32_t> news_{0};
  // relaxed [worker.idle]: a hint; two that come at once may both stay away, or both go on for one quantum.
  Atomic<int> idle_running_{0};
  Atomic<int64_t> begin_ns_{0};  // relaxed [worker.idle]: a late worker may see the next one
  // relaxed [stats], sums of this cycle: ordered by the pool's word, see counts().
  Atomic<uint64_t> scanned_{0};
  Atomic<uint64_t> scanned_bytes_{0};
  Atomic<uint64_t> marked_bytes_{0};
  Atomic<uint64_t> marked_objects_{0};
  Atomic<int64_t> dedicated_ns_{0};
  Atomic<int64_t> fractional_ns_{0};
  Atomic<int64_t> idle_ns_{0};
  Atomic<int64_t> share_wall_ns_{0};
  Atomic<int64_t> idle_wall_ns_{0};
  Atomic<uint32_t> used_idle_{0};
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace keel
