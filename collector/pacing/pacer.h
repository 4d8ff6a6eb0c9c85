// Pacer: joins goal, trigger and assist ratio, and holds the few numbers that mutators read.
//
// Once a cycle, on the cycle thread: begin_cycle(), revise() now and then, end_cycle(). Mutators add what
// they allocate (add_live), compare with the trigger, and settle what they owe against the credit of
// background workers.
#pragma once

#include <atomic>
#include <cstdint>

#include "collector/pacing/assist_ratio.h"
#include "collector/pacing/goal.h"
#include "collector/pacing/trigger.h"

namespace keel {

/// What the pacer learns from one cycle.
struct CycleMeasurements {
  uint64_t live_bytes = 0;  // marked
  uint64_t scanned_heap_bytes = 0;
  uint64_t stack_bytes = 0;
  uint64_t global_bytes = 0;
  double utilization = 0;
  double idle_utilization = 0;
};

class Pacer {
 public:
  explicit Pacer(int64_t gogc_percent) : gogc_percent_(gogc_percent) { recompute(); }

  // relaxed [pace.counters]: sums and thresholds that decide only when something happens, never whether it is
  // sound; a stale value starts a cycle or an assist a span earlier or later.
  [[nodiscard]] uint64_t live_bytes() const { return live_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t trigger_bytes() const { return trigger_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t goal_bytes() const { return goal_.load(std::memory_order_relaxed); }
  [[nodiscard]] double ratio() const { return ratio_.load(std::memory_order_relaxed); }
  /// True if the allocation crossed the trigger. Threads: mutators. Cost: one atomic add.
  bool add_live(uint64_t bytes) {
    return live_.fetch_add(bytes, std::memory_order_relaxed) + bytes >=
           active_trigger_.load(std::memory_order_relaxed);
  }
  /// Taken for a hole and given back unused.
  void subtract_live(uint64_t bytes) { live_.fetch_sub(bytes, std::memory_order_relaxed); }

  /// Credit from background scan work; may be taken by debtors.
  void add_credit(uint64_t scan_bytes) {
    credit_.fetch_add(static_cast<int64_t>(scan_bytes), std::memory_order_relaxed);
  }
  /// Takes up to `wanted` bytes of credit.
  double steal_credit(double wanted);

  /// Marking begins; triggers are off until end_cycle(). Threads: the cycle thread.
  void begin_cycle();
  /// Scan work done so far: adjusts the ratio. Threads: the cycle thread.
  void revise(uint64_t done_scan_bytes);
  void end_cycle(const CycleMeasurements& measured);

  [[nodiscard]] int64_t gogc_percent() const { return gogc_percent_; }
  /// Threads: the cycle thread, or under the lock that keeps cycles away.
  void set_gogc_percent(int64_t percent) {
    gogc_percent_ = percent;
    recompute();
  }
  /// Pages the sweeper must sweep for each byte allocated so that it is done before the trigger.
  [[nodiscard]] double sweep_ratio() const { return sweep_ratio_.load(std::memory_order_relaxed); }
  void set_sweep_ratio(double spans_per_byte) {
    sweep_ratio_.store(spans_per_byte, std::memory_order_relaxed);
  }

 private:
  void recompute();

  int64_t gogc_percent_;
  GoalInputs inputs_;
  uint64_t last_scan_bytes_ = 0;  // heap, stacks and globals of the last cycle
  uint64_t begin_live_ = 0;       // when marking began
  ConsMarkWindow window_;
  double cons_mark_ = 0;

  std::atomic<uint64_t> live_{0};
  std::atomic<uint64_t> goal_{0};
  std::atomic<uint64_t> trigger_{0};
  std::atomic<uint64_t> active_trigger_{0};  // kNoGoal while a cycle runs
  std::atomic<double> ratio_{0};
  std::atomic<double> sweep_ratio_{0};
  std::atomic<int64_t> credit_{0};
};

}  // namespace keel
