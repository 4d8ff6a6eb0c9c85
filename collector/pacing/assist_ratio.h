// How much must a mutator help? Bytes of scan work owed for each byte allocated, a pure function.
//
//   ratio = (expected - done) / (goal - live)
//
// expected: scan work the cycle should take, if the heap is as it was; done: scan work so far; goal, live:
// bytes. If more was scanned than expected, the heap grows: all that may have to be scanned is expected, and
// the goal moves in proportion, so that the ratio stays what it was and the runway is stretched instead,
//   goal' = triggered + (goal - triggered) / expected * most
// but no further than the next cycle would go anyway, (1 + percent/100) * goal. If the heap has passed the
// goal all the same, 1.1 times the goal is the bound and the worst case the work.
// Source: Go mgcpacer.go (revise()).
#pragma once

#include <algorithm>
#include <cstdint>

namespace keel {

struct AssistInputs {
  uint64_t expected_scan_bytes = 0;
  uint64_t most_scan_bytes = 0;  // upper bound of the scan work: everything scannable now is live
  uint64_t done_scan_bytes = 0;
  uint64_t goal_bytes = 0;
  uint64_t triggered_bytes = 0;  // live when marking began
  uint64_t live_bytes = 0;       // now
  double growth = 1;             // percent / 100
};

/// Positive and finite: never less than 1000 bytes of work, nor less than one byte of room (as in Go).
inline double assist_ratio(const AssistInputs& in) {
  auto goal = static_cast<double>(in.goal_bytes);
  auto expected = static_cast<double>(in.expected_scan_bytes);
  const auto most = static_cast<double>(in.most_scan_bytes);
  const auto triggered = static_cast<double>(in.triggered_bytes);
  const auto live = static_cast<double>(in.live_bytes);
  const auto done = static_cast<double>(in.done_scan_bytes);
  if (done > expected) {
    const double stretched = expected > 0 ? (goal - triggered) / expected * most + triggered : goal;
    goal = std::min(stretched, (1 + in.growth) * goal);
    expected = most;
  }
  if (live > goal) {
    goal *= 1.1;
    expected = most;
  }
  return std::max(1000.0, expected - done) / std::max(1.0, goal - live);
}

}  // namespace keel
