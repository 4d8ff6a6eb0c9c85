// How much must a mutator help? Bytes of scan work owed for each byte allocated, a pure function.
//
//   ratio = (expected - done) / (goal - live)
//
// expected: scan work the cycle should take (what the last one scanned); done: scan work so far; goal, live:
// bytes. When the work or the heap has run past what was expected, the bounds move to the most the cycle can
// need: all scannable bytes, and 1.1 times the goal. Source: Go mgcpacer.go (revise()).
#pragma once

#include <algorithm>
#include <cstdint>

namespace keel {

struct AssistInputs {
  uint64_t expected_scan_bytes = 0;
  uint64_t scannable_bytes = 0;  // upper bound of the scan work: everything live when marking began
  uint64_t done_scan_bytes = 0;
  uint64_t goal_bytes = 0;
  uint64_t live_bytes = 0;  // now
};

inline double assist_ratio(const AssistInputs& in) {
  uint64_t expected = in.expected_scan_bytes;
  uint64_t goal = in.goal_bytes;
  if (in.live_bytes > goal || in.done_scan_bytes > expected || expected == 0) {
    goal = std::max(goal, static_cast<uint64_t>(static_cast<double>(in.goal_bytes) * 1.1));
    expected = std::max(expected, in.scannable_bytes);
  }
  // Never below 1000 bytes of work or one byte of room, so that the ratio stays positive and finite (as in
  // Go).
  const uint64_t work = expected > in.done_scan_bytes + 1000 ? expected - in.done_scan_bytes : 1000;
  const uint64_t room = goal > in.live_bytes ? goal - in.live_bytes : 1;
  return static_cast<double>(work) / static_cast<double>(room);
}

}  // namespace keel
