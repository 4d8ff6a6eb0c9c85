// The cycle: off -> mark -> off, with sweeping in between, and the thread that runs it.
//
// What happens, who does it, and what each step promises to the next (`--transitions stw`):
//
//  1. Finish the sweep (cycle thread; mutators run). Every span has been swept: mark bits are clear,
//     and allocation bits say which slots the last mark kept. [rule 3]
//  2. Stop: sweep termination (cycle thread, world stopped). Each mutator publishes its holes,
//     allocates black from here on, and its barrier is on. After this stop the invariant of the
//     hybrid barrier holds: a pointer that a store hides from the marker is shaded by that store.
//  3. Stacks (each mutator for itself, before anything else after the stop; the cycle thread for
//     blocked ones). Each stack is scanned once and is black from then on. Meanwhile the others run:
//     no instant snapshot is needed.
//  4. Mark (workers, assists; mutators run). Grey objects go through the pool. The cycle thread scans
//     the Root table and what finalizable objects reach, revises the assist ratio every millisecond,
//     and waits until the pool is empty and nobody is busy.
//  5. Ragged flush (handshake): every mutator hands in what its barrier and marker hold. Any work:
//     back to 4.
//  6. Stop: mark termination (cycle thread, world stopped). Everyone hands in once more; any work:
//     restart, back to 4. None: nothing is grey anywhere, for the pool is empty, nobody is busy, and
//     every buffer is empty with its owner stopped. From here on a weak pointer is answered for by its
//     object's mark [rule 7]. Barriers go off, live bytes are exact, bits and lists change roles
//     (HeapMemory::finish_mark). Nothing here grows with the heap, its spans or its finalizers.
//  7. Caches go back (each mutator for itself, before anything else after the stop): the spans a
//     thread held over the end of the mark are unswept from now on, and whoever takes one sweeps it.
//     [rule 3]
//  8. Sweep (lazily by allocation, proportionally, by the background thread). What hangs on a span's dead
//  objects
//     is decided with it: weak pointers are cleared, finalizers queued [rule 7]. The next trigger is set
//     so that it is over by then; if it is not, step 1 finishes it.
//
// With `--transitions handshake` steps 2, 3, 6 and 7 are rounds of handshakes instead of stops;
// ragged_transition.cc says which and why. What a barrier needs changes the steps: `dijkstra` rescans stacks
// in 6 (or in every round of 5), `yuasa` scans all of them within 2, `none` runs 2 to 7 inside one stop
// (stopped_transition.cc).
//
// Papers: Dijkstra et al., "On-the-fly garbage collection", CACM 1978; Yuasa, "Real-time garbage collection
// on general-purpose machines", 1990; Clements and Hudson, Go proposal 17503; Go mgc.go.
#pragma once

#include <array>
#include <cstdint>
#include <exception>

#include "allocator/base/atomic.h"
#include "allocator/base/function_ref.h"
#include "allocator/base/mutex.h"
#include "allocator/base/thread.h"
#include "collector/api/events.h"
#include "collector/api/heap.h"
#include "collector/cycle/memory_keeper.h"
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
  /// A cycle is asked for, or runs. relaxed [cycle.request].
  [[nodiscard]] bool requested() const { return request_pending_.load(std::memory_order_relaxed); }
  /// Returns when marking has begun, or no cycle is asked for, or after `limit_ns`. Threads: as collect().
  void wait_until_marking(int64_t limit_ns);
  /// The limiter puts off a cycle that the heap's size has asked for or would; the heap may grow meanwhile.
  /// Threads: any.
  [[nodiscard]] bool put_off() const;
  /// Cycles begun ever, and the last of them whose sweep is over as well, if somebody waited for that: cycle
  /// n began after begun() returned less than n. Threads: any.
  [[nodiscard]] uint64_t begun();
  [[nodiscard]] uint64_t swept();
  /// Runs `work` with the world stopped, between cycles, on the cycle thread; what leaves it as an exception
  /// is thrown here, when the world runs again. Threads: as collect().
  void run_stopped(FunctionRef<void()> work);
  /// Runs `work` between cycles on the cycle thread, world running; what leaves it as an exception is thrown
  /// here. Threads: as collect().
  void run_between(FunctionRef<void()> work);

  // relaxed [stats]: figures of completed cycles, for live statistics.
  [[nodiscard]] uint32_t completed() const { return completed_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint32_t forced() const { return forced_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t pause_total_ns() const { return pause_total_ns_.load(std::memory_order_relaxed); }
  [[nodiscard]] int64_t last_gc_unix_ns() const { return last_gc_unix_ns_.load(std::memory_order_relaxed); }
  /// The last 256 cycles' pauses, most recent first; without quantiles. Threads: any.
  [[nodiscard]] GcStats recent_pauses() const;
  /// Of recent_pauses(); held across fork(), so that the child finds them whole.
  [[nodiscard]] Mutex& fork_lock() { return recent_mu_; }
  /// Of the cycle thread, for the crash report.
  [[nodiscard]] const RecentEvents& recent() const { return events_; }
  [[nodiscard]] int64_t total_cpu_ns() const { return total_cpu_ns_.load(std::memory_order_relaxed); }
  [[nodiscard]] double gc_cpu_fraction() const { return gc_cpu_fraction_.load(std::memory_order_relaxed); }

 private:
  // Of a thread that waits in run_between().
  struct Task {
    FunctionRef<void()> work;
    std::exception_ptr error;  // what left it
  };
  struct Stop {
    int64_t begin_ns = 0;  // the request
    int64_t time_to_stop_ns = 0;
  };

  void run();
  [[nodiscard]] bool must_wait() const KEEL_REQUIRES(mu_);
  bool wait_while_put_off(int64_t last_end_ns) KEEL_REQUIRES(mu_);
  void run_cycle(CycleTrigger trigger, bool was_put_off);
  // Shared by all transitions (cycle.cc).
  void prepare(CycleRecord& record, bool was_put_off);
  void begin_pacing(CycleRecord& record);
  void scan_root_table();
  bool mark_until_quiet(CycleRecord& record);
  void revise(CycleRecord& record);
  void tell_sweeping();
  void tell_news();
  void help_marking();
  void drain_stopped(CycleRecord& record);
  void rescan_overflowed();
  void check_nothing_is_grey();
  void stop_world(CycleRecord& record, Stop& stop);
  /// The last thing in every stop of a cycle.
  void before_restart(CycleRecord& record);
  void report_stop(CycleRecord& record, PauseKind kind, const Stop& stop, int64_t end_ns);
  // stopped_transition.cc
  void start_stopped(CycleRecord& record);
  bool terminate_stopped(CycleRecord& record);
  void end_stopped(CycleRecord& record);
  void mark_in_one_stop(CycleRecord& record);
  // ragged_transition.cc
  void start_ragged(CycleRecord& record);
  bool terminate_ragged(CycleRecord& record, bool quiet_round);
  void end_ragged(CycleRecord& record);
  [[nodiscard]] bool ragged() const;
  /// Stacks that stay grey are scanned again in every round, where there is no last stop to do it in.
  [[nodiscard]] bool rescans_in_rounds() const;
  // measurement.cc
  void note_end(CycleRecord& record);
  void check_marks(CycleRecord& record);
  void settle(CycleRecord& record);
  void remember_pause(const CycleRecord& record);
  void account_between_cycles(CycleRecord& record);
  void measure(CycleRecord& record);
  [[nodiscard]] uint64_t retained_bytes(const CycleRecord& record) const;
  [[nodiscard]] uint64_t retained_below_limit() const;

  HeapCore& core_;
  Marker marker_;  // the cycle thread's own
  RecentEvents events_;
  uint64_t specials_visited_at_stop_ = 0;
  int64_t told_sweep_ns_ = 0;  // of the sweeper's, what the limiter knows
  StandingTime stood_;         // the stop that goes on, or the last one
  // Of the last cycle.
  uint64_t root_bytes_ = 0;
  uint64_t last_stack_bytes_ = 0;
  uint64_t last_total_alloc_bytes_ = 0;
  struct Totals {
    int64_t sweep_ns = 0;
    int64_t scavenge_ns = 0;
    uint64_t background_released_bytes = 0;
    uint64_t eager_released_bytes = 0;
  };
  Totals totals_;
  const int64_t born_ns_;
  int64_t last_measured_ns_;
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
  Task* task_ KEEL_GUARDED_BY(mu_) = nullptr;

  // Go's ring: cycle n at (n + 255) % 256.
  static constexpr size_t kRecent = 256;
  struct RecentPause {
    int64_t pause_ns = 0;
    int64_t end_unix_ns = 0;
  };
  mutable Mutex recent_mu_{LockRank::kLeaf};
  std::array<RecentPause, kRecent> recent_ KEEL_GUARDED_BY(recent_mu_);
  uint32_t recent_count_ KEEL_GUARDED_BY(recent_mu_) = 0;  // cycles ever
  int64_t recent_total_ns_ KEEL_GUARDED_BY(recent_mu_) = 0;

  // relaxed [cycle.request]: saves mutators the lock once a request is in; the lock decides.
  Atomic<bool> request_pending_{false};
  Atomic<uint32_t> news_{0};  // futex word: marking has begun, or a request is over
  Atomic<uint32_t> completed_{0};
  Atomic<uint32_t> forced_{0};
  Atomic<uint64_t> pause_total_ns_{0};
  Atomic<int64_t> last_gc_unix_ns_{0};
  Atomic<int64_t> total_cpu_ns_{0};  // idle marking included
  Atomic<double> gc_cpu_fraction_{0};
  Thread thread_;
};

}  // namespace keel
