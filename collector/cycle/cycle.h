// The cycle: off -> mark -> off, with sweeping in between, and the thread that runs it.
//
// What happens, who does it, and what each step promises to the next (`--transitions stw`):
//
//  1. Finish the sweep (cycle thread; mutators run). Every span has been swept: mark bits are clear, and
//  allocation
//     bits say which slots the last mark kept. [rule 3]
//  2. Stop: sweep termination (cycle thread, world stopped). Each mutator publishes its holes, allocates
//  black from
//     here on, and its barrier is on. After this stop the invariant of the hybrid barrier holds: a pointer
//     that is hidden from the marker by a store is shaded by that store.
//  3. Stacks (each mutator for itself, before anything else after the stop; the cycle thread for blocked
//  ones). Each
//     stack is scanned once and is black from then on. Meanwhile the others run: no instant snapshot is
//     needed.
//  4. Mark (workers, assists; mutators run). Grey objects go through the pool. The cycle thread scans the
//  Root table,
//     revises the assist ratio every millisecond, and waits until the pool is empty and nobody is busy.
//  5. Ragged flush (handshake): every mutator hands in what its barrier and marker hold. Any work: back to 4.
//  6. Stop: mark termination (cycle thread, world stopped). Everyone hands in once more; any work: restart,
//  back to
//     4. None: nothing is grey anywhere, for the pool is empty, nobody is busy, and every buffer is empty
//     with its owner stopped. Barriers go off, live bytes are exact, bits and lists change roles
//     (HeapMemory::finish_mark).
//  7. Caches go back (each mutator for itself, before anything else after the stop): the span a thread held
//  over the
//     end of the mark is swept by its owner. [rule 3]
//  8. Sweep (lazily by allocation, proportionally, by the background thread). The next trigger is set so that
//  it is
//     over by then; if it is not, step 1 finishes it.
//
// Papers: Dijkstra et al., "On-the-fly garbage collection", CACM 1978; Yuasa, "Real-time garbage collection
// on general-purpose machines", 1990; Clements and Hudson, Go proposal 17503; Go mgc.go.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>

#include "allocator/base/mutex.h"
#include "collector/api/events.h"
#include "collector/mark/marker.h"

namespace keel {

class HeapCore;

class Cycle {
 public:
  explicit Cycle(HeapCore& core);
  ~Cycle();
  /// Lets a running cycle end and joins the thread, while every part of the heap still exists. Idempotent.
  void stop();

  /// Asks for a cycle; returns at once. Threads: any.
  void request(CycleTrigger trigger);
  /// Returns after a cycle that began after the call, and its sweep. Threads: any that is not running in the
  /// heap (blocked or not attached).
  void collect();
  /// Runs `work` with the world stopped, between cycles, on the cycle thread. Threads: as collect().
  void run_stopped(const std::function<void()>& work);
  /// Runs `work` between cycles on the cycle thread, world running. Threads: as collect().
  void run_between(const std::function<void()>& work);

  // relaxed [stats]: figures of completed cycles, for live statistics.
  [[nodiscard]] uint32_t completed() const { return completed_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint32_t forced() const { return forced_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t pause_total_ns() const { return pause_total_ns_.load(std::memory_order_relaxed); }
  [[nodiscard]] int64_t last_gc_unix_ns() const { return last_gc_unix_ns_.load(std::memory_order_relaxed); }
  [[nodiscard]] double gc_cpu_fraction() const { return gc_cpu_fraction_.load(std::memory_order_relaxed); }

 private:
  void run();
  void run_cycle(CycleTrigger trigger);
  void start_mark(CycleRecord& record);
  void mark_until_quiet(CycleRecord& record);
  bool try_terminate(CycleRecord& record);
  void rescan_overflowed();
  void finish(CycleRecord& record);
  void measure(CycleRecord& record);
  [[nodiscard]] uint64_t retained_bytes(const CycleRecord& record) const;
  void report_stop(uint32_t cycle, PauseKind kind, int64_t begin_ns, int64_t end_ns, int64_t time_to_stop_ns);

  HeapCore& core_;
  Marker marker_;  // the cycle thread's own
  uint64_t root_bytes_ = 0;
  const int64_t born_ns_;
  int64_t gc_cpu_ns_ = 0;  // all cycles, idle marking excluded

  Mutex mu_{LockRank::kCollect};
  ConditionVariable wake_;  // the cycle thread
  ConditionVariable done_;  // whoever waits for a cycle or a task
  bool requested_ KEEL_GUARDED_BY(mu_) = false;
  CycleTrigger trigger_ KEEL_GUARDED_BY(mu_) = CycleTrigger::kHeap;
  bool stopping_ KEEL_GUARDED_BY(mu_) = false;
  uint64_t begun_ KEEL_GUARDED_BY(mu_) = 0;
  uint64_t swept_ KEEL_GUARDED_BY(mu_) = 0;  // cycles whose sweep is over
  uint32_t waiters_ KEEL_GUARDED_BY(mu_) = 0;
  const std::function<void()>* task_ KEEL_GUARDED_BY(mu_) = nullptr;

  // relaxed [cycle.request]: saves mutators the lock once a request is in; the lock decides.
  std::atomic<bool> request_pending_{false};
  std::atomic<uint32_t> completed_{0};
  std::atomic<uint32_t> forced_{0};
  std::atomic<uint64_t> pause_total_ns_{0};
  std::atomic<int64_t> last_gc_unix_ns_{0};
  std::atomic<double> gc_cpu_fraction_{0};
  std::thread thread_;
};

}  // namespace keel
