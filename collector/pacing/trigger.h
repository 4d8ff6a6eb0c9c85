// When must marking start so that it ends at the goal? The runway rule, a pure function.
//
//   runway  = c * (1 - u) / u * scan        bytes the program allocates while the next mark runs
//   trigger = clamp(goal - runway)
//
// c: cons/mark, bytes allocated per byte scanned at equal CPU shares (no unit); u: the share of the cores the
// collector aims at, 0.25; scan: bytes of heap, stacks and globals the next mark is expected to scan.
// c of one cycle = (end - begin) * (u' + i) / (scan' * (1 - u')), where begin and end are live bytes at the
// start and end of marking, u' the share measured (assists included), i the share of idle marking; smoothed
// by the maximum of this and the last four cycles. The trigger stays within [45/64, 61/64] (0.70, 0.95) of
// the way from live to goal, or up to goal - 4 MiB for large heaps; and, unless a memory limit sets the goal,
// at least 1 MiB above what lived, so that sweeping has time to end. Source: Go mgcpacer.go (trigger(),
// heapGoalInternal(), endCycle()), proposal 44167.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "allocator/base/defects.h"
#include "collector/pacing/goal.h"

namespace keel {

/// Share of the usable cores that background marking aims at (gcGoalUtilization).
inline constexpr double kGoalUtilization = 0.25;
/// Room for allocation that every mark has, even if it began beyond the goal (minRunway, heapGoalInternal()).
inline constexpr uint64_t kMinRunway = 64 * kKiB;
/// Allocation that sweeping has before the next mark (sweepMinHeapDistance, mgc.go).
inline constexpr uint64_t kSweepDistance = kMiB;

struct TriggerInputs {
  uint64_t goal_bytes = 0;
  uint64_t live_bytes = 0;
  double cons_mark = 0;
  uint64_t expected_scan_bytes = 0;
  uint64_t least_bytes = 0;  // not before this many live bytes
};

/// Bytes. kNoGoal if there is no goal.
inline uint64_t trigger_point(const TriggerInputs& in) {
  if (in.goal_bytes >= kNoGoal) return kNoGoal;
  if (in.goal_bytes <= in.live_bytes) return in.goal_bytes;
  const uint64_t room = in.goal_bytes - in.live_bytes;
  const uint64_t lowest = std::max({in.live_bytes, in.least_bytes, in.live_bytes + room / 64 * 45});
  uint64_t highest = in.live_bytes + room / 64 * 61;
  if (in.goal_bytes > kHeapMinimum) highest = std::max(highest, in.goal_bytes - kHeapMinimum);
  highest = std::max(lowest, highest);
  const double runway =
      in.cons_mark * (1 - kGoalUtilization) / kGoalUtilization * static_cast<double>(in.expected_scan_bytes);
  const double wanted = static_cast<double>(in.goal_bytes) - (defect(Defect::kTriggerTooLate) ? 0 : runway);
  const uint64_t trigger = wanted <= 0 ? lowest : static_cast<uint64_t>(wanted);
  return std::min(in.goal_bytes, std::clamp(trigger, lowest, highest));
}

struct ConsMarkInputs {
  uint64_t allocated_bytes = 0;  // while marking
  uint64_t scanned_bytes = 0;
  double utilization = 0;  // share of the cores, assists included
  double idle_utilization = 0;
};

/// c of one cycle; 0 when nothing was measured.
inline double cons_mark_of(const ConsMarkInputs& in) {
  if (in.scanned_bytes == 0 || in.utilization >= 1) return 0;
  return static_cast<double>(in.allocated_bytes) * (in.utilization + in.idle_utilization) /
         (static_cast<double>(in.scanned_bytes) * (1 - in.utilization));
}

/// The maximum of the current and the last four values.
class ConsMarkWindow {
 public:
  double add(double value) {
    const double result = std::max(value, *std::max_element(last_.begin(), last_.end()));
    last_[next_] = value;
    next_ = (next_ + 1) % last_.size();
    return result;
  }

 private:
  std::array<double, 4> last_{};
  size_t next_ = 0;
};

}  // namespace keel
