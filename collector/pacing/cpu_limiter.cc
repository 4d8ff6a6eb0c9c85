// The bucket; see cpu_limiter.h.
#include "collector/pacing/cpu_limiter.h"

#include <algorithm>
#include <limits>

#include "collector/pacing/trigger.h"

namespace keel {

void CpuLimiter::update(int64_t now_ns, int64_t assist_ns, int64_t idle_ns) {
  if (now_ns <= last_ns_) return;
  const int64_t window = (now_ns - last_ns_) * cores_;
  last_ns_ = now_ns;
  int64_t gc = assist_ns;
  if (marking_) gc += static_cast<int64_t>(static_cast<double>(window) * kGoalUtilization);
  accumulate(std::max<int64_t>(0, window - idle_ns - gc), gc, 2 * kPeriodNs * cores_);
}

void CpuLimiter::stop(int64_t begin_ns, int64_t end_ns, bool on) {
  update(begin_ns, 0, 0);
  accumulate(0, std::max<int64_t>(0, end_ns - begin_ns) * cores_, std::numeric_limits<int64_t>::max());
  last_ns_ = std::max(last_ns_, end_ns);
  marking_ = on;
}

void CpuLimiter::accumulate(int64_t mutator_ns, int64_t gc_ns, int64_t most_owed_ns) {
  int64_t change = gc_ns - mutator_ns;
  const int64_t room = capacity_ns() - fill_;
  if (change > 0 && change >= room) {
    overflow_ += change - room;
    owed_ = std::max(owed_, std::min(owed_ + change - room, most_owed_ns));
    fill_ = capacity_ns();
    limiting_.store(true, std::memory_order_relaxed);
    return;
  }
  if (change < 0) {
    const int64_t paid = std::min(owed_, -change);
    owed_ -= paid;
    change += paid;
  }
  fill_ = std::max<int64_t>(0, fill_ + change);
  if (change != 0) limiting_.store(false, std::memory_order_relaxed);
}

}  // namespace keel
