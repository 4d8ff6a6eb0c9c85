// How big may the heap get? The rules for the heap goal, all pure functions of measurements.
//
//   gogc         goal = live + (live + stacks + globals) * percent / 100, at least 4 MiB * percent / 100
//   fixed        goal = size, at least live
//   membalancer  membalancer.h
// Any of them may be wrapped by a memory limit (memory_limit.h).
//
// live: bytes marked by the last cycle; stacks, globals: bytes of roots scanned by it; percent: GOGC.
// Source: Go mgcpacer.go (commit(); stacks and globals counted since 1.18); heapMinimum 4 MiB.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "allocator/base/defects.h"
#include "allocator/base/units.h"

namespace keel {

inline constexpr uint64_t kNoGoal = std::numeric_limits<int64_t>::max();
inline constexpr uint64_t kHeapMinimum = 4 * kMiB;

struct GoalInputs {
  uint64_t live_bytes = 0;
  uint64_t stack_bytes = 0;
  uint64_t global_bytes = 0;
  int64_t gogc_percent = 100;  // < 0: off
};

/// Bytes. kNoGoal when GOGC is off.
inline uint64_t gogc_goal(const GoalInputs& in) {
  if (in.gogc_percent < 0) return kNoGoal;
  const auto percent = static_cast<double>(in.gogc_percent);
  const double growth =
      static_cast<double>(in.live_bytes + in.stack_bytes + in.global_bytes) * percent / 100.0;
  const double goal = static_cast<double>(in.live_bytes) * (defect(Defect::kGoalTooHigh) ? 1.5 : 1) + growth;
  const double minimum = static_cast<double>(kHeapMinimum) * percent / 100.0;
  const double chosen = std::max(goal, minimum);
  return chosen >= static_cast<double>(kNoGoal) ? kNoGoal : static_cast<uint64_t>(chosen);
}

/// Bytes. The control of experiments: the same heap whatever the program does, but never below what lives.
inline uint64_t fixed_goal(uint64_t size_bytes, uint64_t live_bytes) {
  return std::max(size_bytes, live_bytes);
}

}  // namespace keel
