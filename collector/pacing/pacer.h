// Pacer: joins goal, trigger and assist ratio, and holds the few numbers that mutators read.
//
// Once a cycle, on the cycle thread: begin_cycle(), revise() now and then, end_cycle(). Mutators add what
// they allocate (add_live), compare with the trigger, and settle what they owe against the credit of
// background workers. The pacer knows no heap: the simulation (pacer_simulation_test.cc) drives the same
// object through rates alone.
//
// Threads: the cycle thread, and mutators through the functions that say so; one leaf lock (kLeaf) around
// goal and trigger, which change when memory figures do.
#pragma once

#include <cstdint>

#include "allocator/base/atomic.h"
#include "allocator/base/defects.h"
#include "allocator/base/mutex.h"
#include "collector/api/config.h"
#include "collector/pacing/assist_ratio.h"
#include "collector/pacing/goal.h"
#include "collector/pacing/membalancer.h"
#include "collector/pacing/memory_limit.h"
#include "collector/pacing/trigger.h"

namespace keel {

struct PacerConfig {
  GoalRule rule = GoalRule::kGogc;
  int64_t gogc_percent = 100;
  uint64_t fixed_bytes = 0;      // of GoalRule::kFixed
  double membalancer_price = 0;  // of GoalRule::kMembalancer, 1 / byte
  uint64_t memory_limit_bytes = kNoGoal;
};

/// What roots a cycle may have to scan, at most, as far as is known when it begins.
struct RootSizes {
  uint64_t stack_bytes = 0;
  uint64_t global_bytes = 0;
};

/// What the pacer learns from one cycle.
struct CycleMeasurements {
  uint64_t live_bytes = 0;  // marked
  uint64_t scanned_heap_bytes = 0;
  uint64_t stack_bytes = 0;
  uint64_t global_bytes = 0;
  double utilization = 0;  // share of the cores while marking, assists included, idle marking not
  double idle_utilization = 0;
  uint64_t new_bytes = 0;  // allocated since marking ended, by threads that were told so first
  // For membalancer; 0: not measured.
  uint64_t allocated_bytes = 0;  // since the last cycle ended
  double elapsed_seconds = 0;    // since then
  double mark_cpu_seconds = 0;
};

class Pacer {
 public:
  explicit Pacer(const PacerConfig& config);

  // relaxed [pace.counters]: sums and thresholds that decide only when something happens, never whether it is
  // sound; a stale value starts a cycle or an assist a span earlier or later.
  [[nodiscard]] uint64_t live_bytes() const { return live_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t trigger_bytes() const { return trigger_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t goal_bytes() const { return goal_.load(std::memory_order_relaxed); }
  [[nodiscard]] double ratio() const { return ratio_.load(std::memory_order_relaxed); }
  /// Takes `bytes` for allocation, `scannable` of which may hold pointers. True if that crossed the trigger.
  /// Threads: mutators. Cost: two atomic adds.
  bool add_live(uint64_t bytes, uint64_t scannable) {
    if (scannable != 0) scannable_.fetch_add(scannable, std::memory_order_relaxed);
    return live_.fetch_add(bytes, std::memory_order_relaxed) + bytes >=
           active_trigger_.load(std::memory_order_relaxed);
  }
  /// Taken for a hole and given back unused.
  void subtract_live(uint64_t bytes) { live_.fetch_sub(bytes, std::memory_order_relaxed); }

  /// Credit from background scan work; may be taken by debtors. seq_cst [assist.wait].
  void add_credit(uint64_t scan_bytes) {
    credit_.fetch_add(static_cast<int64_t>(scan_bytes) * (defect(Defect::kCreditCountedTwice) ? 2 : 1),
                      std::memory_order_seq_cst);
  }
  /// Takes up to `wanted` bytes of credit.
  double steal_credit(double wanted);
  [[nodiscard]] int64_t credit() const { return credit_.load(std::memory_order_seq_cst); }

  /// Marking begins; triggers are off until end_cycle(). Threads: the cycle thread.
  void begin_cycle(const RootSizes& most);
  /// Scan work done so far, of heap, stacks and globals: adjusts the ratio; nothing between cycles. Threads:
  /// any.
  void revise(uint64_t done_scan_bytes);
  void end_cycle(const CycleMeasurements& measured);

  /// What memory looks like now: moves the goal of a memory limit. Threads: any. Cost: a lock.
  void update_memory(const MemoryFigures& memory);
  [[nodiscard]] bool has_memory_limit() const {
    return memory_limit_.load(std::memory_order_relaxed) < kNoGoal;
  }
  [[nodiscard]] uint64_t memory_limit_bytes() const { return memory_limit_.load(std::memory_order_relaxed); }
  /// The heap may grow to this, at most, before a cycle begins that the CPU limiter puts off: without a bound
  /// while a memory limit sets the goal, for it may be one that cannot be kept; else to the goal, or to twice
  /// what lived if the goal is lower. Threads: any.
  [[nodiscard]] uint64_t put_off_until_bytes() const {
    return put_off_until_.load(std::memory_order_relaxed);
  }
  /// True if the limit and not the rule sets the goal.
  [[nodiscard]] bool limited() const { return limited_.load(std::memory_order_relaxed); }

  [[nodiscard]] int64_t gogc_percent() const { return gogc_percent_.load(std::memory_order_relaxed); }
  /// Threads: the cycle thread, between cycles.
  void set_gogc_percent(int64_t percent);
  void set_memory_limit(uint64_t bytes);

  /// Pages the sweeper must sweep for each byte allocated so that it is done before the trigger.
  [[nodiscard]] double sweep_ratio() const { return sweep_ratio_.load(std::memory_order_relaxed); }
  void set_sweep_ratio(double spans_per_byte) {
    sweep_ratio_.store(spans_per_byte, std::memory_order_relaxed);
  }

  // Of the last completed cycle, and for the trace of the next. Threads: the cycle thread.
  [[nodiscard]] uint64_t marked_bytes() const KEEL_NO_THREAD_SAFETY_ANALYSIS { return inputs_.live_bytes; }
  [[nodiscard]] uint64_t triggered_bytes() const KEEL_NO_THREAD_SAFETY_ANALYSIS { return triggered_; }
  [[nodiscard]] uint64_t expected_scan_bytes() const KEEL_NO_THREAD_SAFETY_ANALYSIS {
    return last_heap_scan_ + last_stack_scan_ + globals_;
  }
  [[nodiscard]] double cons_mark() const KEEL_NO_THREAD_SAFETY_ANALYSIS { return cons_mark_; }

 private:
  [[nodiscard]] uint64_t rule_goal_locked() const KEEL_REQUIRES(mu_);
  void recompute_locked() KEEL_REQUIRES(mu_);

  const PacerConfig config_;
  Atomic<int64_t> gogc_percent_;
  Atomic<uint64_t> memory_limit_;

  Mutex mu_{LockRank::kLeaf};
  GoalInputs inputs_ KEEL_GUARDED_BY(mu_);
  MemoryFigures memory_ KEEL_GUARDED_BY(mu_);
  MovingRate allocation_rate_ KEEL_GUARDED_BY(mu_);
  MovingRate mark_speed_ KEEL_GUARDED_BY(mu_);
  uint64_t last_heap_scan_ KEEL_GUARDED_BY(mu_) = 0;
  uint64_t last_stack_scan_ KEEL_GUARDED_BY(mu_) = 0;
  uint64_t globals_ KEEL_GUARDED_BY(mu_) = 0;
  uint64_t most_stack_scan_ KEEL_GUARDED_BY(mu_) = 0;
  uint64_t least_trigger_ KEEL_GUARDED_BY(mu_) = 0;
  uint64_t triggered_ KEEL_GUARDED_BY(mu_) = kNoGoal;  // live when marking began; kNoGoal between cycles
  ConsMarkWindow window_ KEEL_GUARDED_BY(mu_);
  double cons_mark_ KEEL_GUARDED_BY(mu_) = 0;

  Atomic<uint64_t> live_{0};
  Atomic<uint64_t> scannable_{0};  // bytes that may hold pointers: Go's heapScan
  Atomic<uint64_t> goal_{0};
  Atomic<uint64_t> trigger_{0};
  Atomic<uint64_t> active_trigger_{0};  // kNoGoal while a cycle runs
  Atomic<uint64_t> put_off_until_{0};
  Atomic<bool> limited_{false};
  Atomic<double> ratio_{0};
  Atomic<double> sweep_ratio_{0};
  Atomic<int64_t> credit_{0};
};

}  // namespace keel
