// The square-root rule: how big the heap should be if memory and collection time are both paid for.
//
//   M = L + sqrt(L * g / (c * s))
//
//   M  heap goal                                                        bytes
//   L  live bytes found by the last mark                                bytes
//   g  allocation rate of the program                                   bytes / second
//   s  mark speed: live bytes marked per second of collection           bytes / second
//   c  price of memory: seconds of collection per second of run that
//      one more byte must save                                          1 / byte (given in 1 / MiB)
//
// Why: between two collections M - L bytes are allocated, so a second of run has g / (M - L) collections, of
// L / s seconds each: the cost is L * g / (s * (M - L)). Its derivative by M, -L * g / (s * (M - L)^2), is
// what one more byte saves; heaps that all have the same derivative -c cannot trade a byte for less
// collection. Solved for M this is the rule. Source: Kirisame, Shenoy, Panchekha, "Optimal heap limits for
// reducing browser memory use", OOPSLA 2022, section 3. The paper smooths g and s at each heartbeat; here
// they are measured once a cycle and smoothed by half (MovingRate), which is our choice.
#pragma once

#include <cmath>
#include <cstdint>

#include "collector/pacing/goal.h"

namespace keel {

struct MembalancerInputs {
  uint64_t live_bytes = 0;
  double allocation_rate = 0;  // g, bytes / second
  double mark_speed = 0;       // s, bytes / second
  double price = 0;            // c, 1 / byte
};

/// Bytes; never below the heap minimum of GOGC=100. Before anything was measured: that minimum, or twice the
/// live bytes.
inline uint64_t membalancer_goal(const MembalancerInputs& in) {
  const auto live = static_cast<double>(in.live_bytes);
  const bool measured = in.allocation_rate > 0 && in.mark_speed > 0 && in.price > 0;
  const double extra = measured ? std::sqrt(live * in.allocation_rate / (in.price * in.mark_speed)) : live;
  const double goal = std::max(live + extra, static_cast<double>(kHeapMinimum));
  return goal >= static_cast<double>(kNoGoal) ? kNoGoal : static_cast<uint64_t>(goal);
}

/// A rate measured once a cycle; each new value counts half.
class MovingRate {
 public:
  void add(double amount, double seconds) {
    if (seconds <= 0 || amount <= 0) return;
    const double rate = amount / seconds;
    value_ = value_ == 0 ? rate : (value_ + rate) / 2;
  }
  [[nodiscard]] double value() const { return value_; }

 private:
  double value_ = 0;
};

}  // namespace keel
