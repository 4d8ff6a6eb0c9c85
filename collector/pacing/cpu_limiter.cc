// The bucket; see cpu_limiter.h.
#include "collector/pacing/cpu_limiter.h"

#include <algorithm>

#include "collector/pacing/trigger.h"

namespace keel {

int64_t stop_cost_ns(const StopUse& use, int cores) {
  const auto wall = static_cast<double>(std::max<int64_t>(0, use.wall_ns));
  const double awake = wall - static_cast<double>(use.slept_ns);
  const double share = awake > 0 ? std::min(1.0, static_cast<double>(use.cycle_cpu_ns) / awake) : 1.0;
  const double alone = std::min(wall * share, static_cast<double>(use.process_cpu_ns));
  return static_cast<int64_t>(alone * cores);
}

void CpuLimiter::update(int64_t now_ns, int64_t assist_ns, int64_t idle_ns) {
  if (now_ns <= last_ns_) return;
  const int64_t window = (now_ns - last_ns_) * cores_;
  last_ns_ = now_ns;
  int64_t gc = assist_ns;
  if (marking_) gc += static_cast<int64_t>(static_cast<double>(window) * kGoalUtilization);
  // Shares are shares of the clock: of a window in which the process did not run nobody had any.
  const int64_t used = std::max<int64_t>(0, window - idle_ns);
  gc = std::min(gc, used);
  const int64_t change = gc - (used - gc);
  if (change < 0) {
    drain(-change);
  } else {
    const int64_t excess = fill(change);
    assists_owed_ = std::max(assists_owed_, std::min(assists_owed_ + excess, 2 * kPeriodNs * cores_));
  }
}

void CpuLimiter::stop(int64_t begin_ns, int64_t end_ns, int64_t cost_ns, bool on) {
  update(begin_ns, 0, 0);
  stop_owed_ = std::max(stop_owed_, fill(cost_ns));
  puts_off_.store(stop_owed_ > 0, std::memory_order_relaxed);
  last_ns_ = std::max(last_ns_, end_ns);
  marking_ = on;
}

int64_t CpuLimiter::fill(int64_t change_ns) {
  const int64_t room = capacity_ns() - fill_;
  fill_ += std::min(change_ns, room);
  if (change_ns > 0) limiting_.store(change_ns >= room, std::memory_order_relaxed);
  const int64_t excess = std::max<int64_t>(0, change_ns - room);
  overflow_ += excess;
  return excess;
}

void CpuLimiter::drain(int64_t change_ns) {
  for (int64_t* owed : {&stop_owed_, &assists_owed_}) {
    const int64_t paid = std::min(*owed, change_ns);
    *owed -= paid;
    change_ns -= paid;
  }
  puts_off_.store(stop_owed_ > 0, std::memory_order_relaxed);
  fill_ = std::max<int64_t>(0, fill_ - change_ns);
  if (change_ns != 0) limiting_.store(false, std::memory_order_relaxed);
}

}  // namespace keel
