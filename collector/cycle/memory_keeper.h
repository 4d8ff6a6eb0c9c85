// Memory keeper: holds the process below its memory limit, and the collector below half of the CPU.
//
// Mutators tell it what they allocate; every 64 KiB one of them looks at the memory figures, moves the
// pacer's goal, and, if more is mapped than the limit allows, gives free pages back at once (*eager*; the
// sweeper's thread does the same in the background, towards the retained goal). The CPU limiter learns of
// stops, assists and idle time here. Threads: as each function says; one leaf lock (kLeaf) around the
// limiter.
#pragma once

#include <cstdint>

#include "allocator/base/atomic.h"
#include "allocator/base/mutex.h"
#include "allocator/memory/heap_memory.h"
#include "collector/pacing/cpu_limiter.h"
#include "collector/pacing/pacer.h"

namespace keel {

/// A world stop from when the world stood to when it runs again, on three clocks.
struct StandingTime {
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
  int64_t begin_process_cpu_ns = 0;
  int64_t end_process_cpu_ns = 0;
  int64_t cycle_cpu_ns = 0;  // of the cycle thread, in between, and in the time to stop
  int64_t slept_ns = 0;      // by it
};

class MemoryKeeper {
 public:
  /// How much one mutator allocates between two looks at the figures.
  static constexpr uint64_t kLookBytes = 64 * kKiB;

  MemoryKeeper(HeapMemory& memory, Pacer& pacer, const Atomic<uint64_t>& allocated_bytes, int cores);

  /// Looks at the figures, moves the goal, scavenges what is over the limit. Threads: any without locks.
  void look();
  /// The goal's share of the same, without scavenging. Threads: the cycle thread, also inside a stop.
  void update_goal();

  /// True while mutators are not to assist. Threads: any.
  [[nodiscard]] bool limiting() const { return limiter_.limiting(); }
  /// True while a stop is not paid for; see CpuLimiter. Threads: any.
  [[nodiscard]] bool puts_off() const { return limiter_.puts_off(); }
  void add_assist(int64_t ns) { assist_ns_.fetch_add(ns, std::memory_order_relaxed); }
  void add_idle_marking(int64_t ns) { idle_mark_ns_.fetch_add(ns, std::memory_order_relaxed); }
  /// CPU time of sweeping since the last call, whoever did it: not the program's; the next stop is charged
  /// for it. Threads: the cycle thread, before it accounts for time.
  void add_sweeping(int64_t ns);
  /// Accounts for the time since the last call, at most every 10 ms. Threads: the cycle thread.
  void update_limiter();
  /// A world stop, after which marking is on or off. Threads: the cycle thread.
  void record_stop(const StandingTime& stood, bool marking);
  /// Marking is on or off from now on, without a stop. Threads: the cycle thread.
  void record_marking(bool marking);

  // relaxed [stats].
  [[nodiscard]] uint64_t eager_released_bytes() const { return eager_.load(std::memory_order_relaxed); }
  [[nodiscard]] int64_t scavenge_ns() const { return scavenge_ns_.load(std::memory_order_relaxed); }

 private:
  [[nodiscard]] MemoryFigures figures() const;
  void update_limiter_locked(int64_t now, int64_t process_cpu) KEEL_REQUIRES(mu_);

  HeapMemory& memory_;
  Pacer& pacer_;
  const Atomic<uint64_t>& allocated_bytes_;
  const int cores_;
  Mutex mu_{LockRank::kLeaf};
  CpuLimiter limiter_;
  int64_t last_process_cpu_ns_ KEEL_GUARDED_BY(mu_);
  int64_t new_sweep_ns_ KEEL_GUARDED_BY(mu_) = 0;        // of the window that is not accounted for
  int64_t uncharged_sweep_ns_ KEEL_GUARDED_BY(mu_) = 0;  // since the last stop
  // relaxed [stats]: sums, taken by the limiter.
  Atomic<int64_t> assist_ns_{0};
  Atomic<int64_t> idle_mark_ns_{0};
  Atomic<uint64_t> eager_{0};
  Atomic<int64_t> scavenge_ns_{0};
};

}  // namespace keel
