// The CPU limiter: what keeps a program running when its memory limit is too small for its live heap.
//
// A leaky bucket. Collection time fills it, mutator time drains it; it holds one CPU-second per core. Full:
// the limiter is on and mutators do not assist, so that the heap may pass its goal; drained below full: off.
// Over a window of 2 CPU-seconds a core the collector thus takes at most about one half.
//
//   fill' = clamp(fill + gc - (total - idle - gc), 0, capacity)        all in CPU nanoseconds
//   gc    = background share of the window while marking + assists (+ the whole window in world stops)
//
// Looked at every 10 ms, a full bucket would let half of each window's excess go by (Go's does: 62 % in the
// worst case of the test); so the excess is owed and drained first. Of assists at most two windows' is, which
// is what they can take before they are told; of stops all is: a mark inside one stop fills the bucket many
// times over, and the program gets as long before the next (without that: 82 % for the collector with
// --barrier none and a limit below the live heap). While the limiter is on no cycle begins that the heap's
// size asks for. Source: Go mgclimit.go, proposal 48409. Threads: guarded by its owner's lock, except
// limiting().
#pragma once

#include <cstdint>

#include "allocator/base/atomic.h"

namespace keel {

class CpuLimiter {
 public:
  /// CPU time that one core adds to the bucket's capacity.
  static constexpr int64_t kCapacityPerCoreNs = 1'000'000'000;
  /// How often the bucket is looked at while nothing else happens.
  static constexpr int64_t kPeriodNs = 10'000'000;

  CpuLimiter(int64_t now_ns, int cores) : cores_(cores), last_ns_(now_ns) {}

  /// True while mutators are not to assist. Threads: any. relaxed [pace.counters].
  [[nodiscard]] bool limiting() const { return limiting_.load(std::memory_order_relaxed); }
  /// Accounts for the time since the last call. `assist_ns`: CPU time of assists since then; `idle_ns`: core
  /// time in which neither the program nor the collector ran, and idle marking.
  void update(int64_t now_ns, int64_t assist_ns, int64_t idle_ns);
  /// The world stands from `begin_ns` to `end_ns`: all cores are the collector's. Marking is `on` after it.
  void stop(int64_t begin_ns, int64_t end_ns, bool on);

  [[nodiscard]] int64_t last_update_ns() const { return last_ns_; }
  [[nodiscard]] int64_t capacity_ns() const { return kCapacityPerCoreNs * cores_; }
  [[nodiscard]] int64_t fill_ns() const { return fill_; }
  /// Collection time that did not fit the bucket.
  [[nodiscard]] int64_t overflow_ns() const { return overflow_; }

 private:
  void accumulate(int64_t mutator_ns, int64_t gc_ns, int64_t most_owed_ns);

  const int64_t cores_;
  int64_t last_ns_;
  int64_t fill_ = 0;
  int64_t overflow_ = 0;
  int64_t owed_ = 0;  // part of it that must drain before the bucket does
  bool marking_ = false;
  Atomic<bool> limiting_{false};
};

}  // namespace keel
