// The pacer's state between cycles; see pacer.h.
#include "collector/pacing/pacer.h"

#include <algorithm>

#include "allocator/base/defects.h"

namespace keel {
namespace {
// With GOGC off, a forced cycle is paced as if GOGC were this (Go mgcpacer.go, revise()).
constexpr double kGrowthWhenOff = 1000;
// While the CPU limiter is on a goal counts as if it were at least GOGC=100's of the heap.
constexpr uint64_t kLeastGrowthWhenLimited = 2;
// More than any credit, and a whole number of bytes that fits the type.
constexpr double kMostCredit = 4e18;
}  // namespace

Pacer::Pacer(const PacerConfig& config)
    : config_(config), gogc_percent_(config.gogc_percent), memory_limit_(config.memory_limit_bytes) {
  MutexLock lock(mu_);
  recompute_locked();
}

uint64_t Pacer::rule_goal_locked() const {
  switch (config_.rule) {
    case GoalRule::kFixed:
      return fixed_goal(config_.fixed_bytes, inputs_.live_bytes);
    case GoalRule::kMembalancer:
      return membalancer_goal(
          {inputs_.live_bytes, allocation_rate_.value(), mark_speed_.value(), config_.membalancer_price});
    case GoalRule::kGogc:
      break;
  }
  GoalInputs inputs = inputs_;
  inputs.gogc_percent = gogc_percent();
  return gogc_goal(inputs);
}

void Pacer::recompute_locked() {
  const bool marking = triggered_ != kNoGoal;
  uint64_t goal = rule_goal_locked();
  uint64_t least = 0;
  const uint64_t limit_goal = memory_limit_goal(memory_limit_bytes(), memory_, inputs_.live_bytes);
  const bool limited = limit_goal < goal;
  if (limited) {
    goal = limit_goal;
  } else if (goal < kNoGoal) {
    least = least_trigger_;
    goal = std::max(goal, least);
    if (marking) goal = std::max(goal, triggered_ + kMinRunway);
  }
  const uint64_t trigger = trigger_point(
      {goal, inputs_.live_bytes, cons_mark_, last_heap_scan_ + last_stack_scan_ + globals_, least});
  limited_.store(limited, std::memory_order_relaxed);
  put_off_until_.store(limited ? kNoGoal : std::max(goal, kLeastGrowthWhenLimited * inputs_.live_bytes),
                       std::memory_order_relaxed);
  goal_.store(goal, std::memory_order_relaxed);
  trigger_.store(trigger, std::memory_order_relaxed);
  active_trigger_.store(marking ? kNoGoal : trigger, std::memory_order_relaxed);
}

double Pacer::steal_credit(double wanted) {
  int64_t available = credit_.load(std::memory_order_relaxed);
  while (available > 0) {
    const int64_t take = std::min(available, static_cast<int64_t>(std::min(wanted, kMostCredit)) + 1);
    if (credit_.compare_exchange_weak(available, available - take, std::memory_order_relaxed)) {
      return static_cast<double>(take);
    }
  }
  return 0;
}

void Pacer::begin_cycle(const RootSizes& most) {
  {
    MutexLock lock(mu_);
    triggered_ = live_bytes();
    most_stack_scan_ = most.stack_bytes;
    globals_ = most.global_bytes;
    recompute_locked();
  }
  credit_.store(0, std::memory_order_relaxed);
  revise(0);
}

void Pacer::revise(uint64_t done_scan_bytes) {
  MutexLock lock(mu_);
  if (triggered_ == kNoGoal) return;  // the cycle is over: a mutator comes late
  AssistInputs in;
  in.expected_scan_bytes = last_heap_scan_ + last_stack_scan_ + globals_;
  in.most_scan_bytes = scannable_.load(std::memory_order_relaxed) + most_stack_scan_ + globals_;
  in.done_scan_bytes = done_scan_bytes;
  in.goal_bytes = goal_bytes();
  in.triggered_bytes = triggered_;
  in.live_bytes = live_bytes();
  if (config_.rule == GoalRule::kGogc) {
    const int64_t percent = gogc_percent();
    in.growth = percent < 0 ? kGrowthWhenOff : static_cast<double>(percent) / 100;
  }
  ratio_.store(assist_ratio(in), std::memory_order_relaxed);
}

void Pacer::end_cycle(const CycleMeasurements& m) {
  MutexLock lock(mu_);
  const uint64_t now = live_bytes();
  const uint64_t end = now - std::min(now, m.new_bytes);
  if (end > triggered_) {
    const uint64_t scanned = m.scanned_heap_bytes + m.stack_bytes + m.global_bytes;
    cons_mark_ = window_.add(cons_mark_of({end - triggered_, scanned, m.utilization, m.idle_utilization}));
  }
  allocation_rate_.add(static_cast<double>(m.allocated_bytes), m.elapsed_seconds);
  mark_speed_.add(static_cast<double>(m.live_bytes), m.mark_cpu_seconds);
  last_heap_scan_ = m.scanned_heap_bytes;
  last_stack_scan_ = m.stack_bytes;
  globals_ = m.global_bytes;
  inputs_ = {m.live_bytes, m.stack_bytes, m.global_bytes, gogc_percent()};
  least_trigger_ = m.live_bytes + kSweepDistance;
  triggered_ = kNoGoal;
  // By difference: with handshakes mutators allocate meanwhile.
  const uint64_t kept = defect(Defect::kNewBytesForgotten) ? 0 : m.new_bytes;
  live_.fetch_add(m.live_bytes + kept - now, std::memory_order_relaxed);
  scannable_.store(m.scanned_heap_bytes, std::memory_order_relaxed);
  ratio_.store(0, std::memory_order_relaxed);
  recompute_locked();
}

void Pacer::update_memory(const MemoryFigures& memory) {
  MutexLock lock(mu_);
  memory_ = memory;
  recompute_locked();
}

void Pacer::set_gogc_percent(int64_t percent) {
  MutexLock lock(mu_);
  gogc_percent_.store(percent, std::memory_order_relaxed);
  recompute_locked();
}

void Pacer::set_memory_limit(uint64_t bytes) {
  MutexLock lock(mu_);
  memory_limit_.store(bytes, std::memory_order_relaxed);
  recompute_locked();
}

}  // namespace keel
