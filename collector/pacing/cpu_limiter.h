// The CPU limiter: what keeps a program running when its memory limit is too small for its live heap.
//
// A leaky bucket. Collection time fills it, mutator time drains it; it holds one CPU-second per core. Full:
// the limiter is on and mutators do not assist, so that the heap may pass its goal; drained below full: off.
// Over a window of 2 CPU-seconds a core the collector thus takes at most about one half.
//
//   fill' = clamp(fill + gc - (total - idle - gc), 0, capacity)        all in CPU nanoseconds
//   gc    = min(background share of the window while marking + assists, total - idle), and what stops cost
//
// Looked at every 10 ms, a full bucket would let half of each window's excess go by (Go's does: 62 % in the
// worst case of the test); so the excess is owed and drained first. Of assists at most two windows' is, which
// is what they can take before they are told. Of the last stop all is: a mark inside one stop fills the
// bucket many times over, and the program gets as long before the next (without that: 82 % for the collector
// with no barrier and a limit below the live heap). Until that is paid no cycle begins that the heap's size
// asks for (puts_off(); how far the heap may grow meanwhile is the pacer's to say). Stops that come all the
// same do not add up: who collects by hand is not made to pay for it later.
//
// A stop costs all cores for as long as it would have taken with the machine to itself, whatever else has
// kept the world standing: a mutator that comes late (that is before the stop as it is meant here), other
// programs, a stopped process. Source: Go mgclimit.go, proposal 48409; Go charges wall time. Threads: guarded
// by its owner's lock, except limiting() and puts_off().
#pragma once

#include <cstdint>

#include "allocator/base/atomic.h"

namespace keel {

/// What is known of the time in which the world stood, from the last mutator's stop to the restart.
struct StopUse {
  int64_t wall_ns = 0;
  int64_t slept_ns = 0;        // of it the cycle thread slept, while workers marked
  int64_t cycle_cpu_ns = 0;    // CPU time of the cycle thread
  int64_t process_cpu_ns = 0;  // of all threads
};

/// CPU time that a stop costs: `cores` times as long as it would have taken on an otherwise idle machine. The
/// share of a core that the cycle thread got while it was not asleep says how much slower it was for the
/// others; and at no time is nobody at work, so it would not have been longer than the CPU time used.
int64_t stop_cost_ns(const StopUse& use, int cores);

class CpuLimiter {
 public:
  /// CPU time that one core adds to the bucket's capacity.
  static constexpr int64_t kCapacityPerCoreNs = 1'000'000'000;
  /// How often the bucket is looked at while nothing else happens.
  static constexpr int64_t kPeriodNs = 10'000'000;

  CpuLimiter(int64_t now_ns, int cores) : cores_(cores), last_ns_(now_ns) {}

  /// True while mutators are not to assist. Threads: any. relaxed [pace.counters].
  [[nodiscard]] bool limiting() const { return limiting_.load(std::memory_order_relaxed); }
  /// True while the last stop is not paid for: a cycle that the heap's size asks for is put off. Threads:
  /// any. relaxed [pace.counters].
  [[nodiscard]] bool puts_off() const { return puts_off_.load(std::memory_order_relaxed); }
  /// Accounts for the time since the last call. `assist_ns`: time of assists since then; `idle_ns`: core time
  /// in which neither the program nor the collector ran, and idle marking.
  void update(int64_t now_ns, int64_t assist_ns, int64_t idle_ns);
  /// The world stood from `begin_ns` to `end_ns`, at `cost_ns` (stop_cost_ns()). Marking is `on` after it.
  void stop(int64_t begin_ns, int64_t end_ns, int64_t cost_ns, bool on);

  [[nodiscard]] int64_t last_update_ns() const { return last_ns_; }
  [[nodiscard]] int64_t capacity_ns() const { return kCapacityPerCoreNs * cores_; }
  [[nodiscard]] int64_t fill_ns() const { return fill_; }
  /// Collection time that did not fit the bucket.
  [[nodiscard]] int64_t overflow_ns() const { return overflow_; }

 private:
  /// Puts `change` into the bucket; returns what did not fit.
  int64_t fill(int64_t change_ns);
  void drain(int64_t change_ns);

  const int64_t cores_;
  int64_t last_ns_;
  int64_t fill_ = 0;
  int64_t overflow_ = 0;
  // Parts of it that must drain before the bucket does: of stops first, then of assists.
  int64_t stop_owed_ = 0;
  int64_t assists_owed_ = 0;
  bool marking_ = false;
  Atomic<bool> limiting_{false};
  Atomic<bool> puts_off_{false};
};

}  // namespace keel
