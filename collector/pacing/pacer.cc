// The pacer's state between cycles; see pacer.h.
#include "collector/pacing/pacer.h"

#include <algorithm>

namespace keel {

void Pacer::recompute() {
  inputs_.gogc_percent = gogc_percent_;
  const uint64_t goal = gogc_goal(inputs_);
  const uint64_t trigger = trigger_point({goal, inputs_.live_bytes, cons_mark_, last_scan_bytes_});
  goal_.store(goal, std::memory_order_relaxed);
  trigger_.store(trigger, std::memory_order_relaxed);
  active_trigger_.store(trigger, std::memory_order_relaxed);
}

double Pacer::steal_credit(double wanted) {
  int64_t available = credit_.load(std::memory_order_relaxed);
  while (available > 0) {
    const int64_t take = std::min(available, static_cast<int64_t>(wanted) + 1);
    if (credit_.compare_exchange_weak(available, available - take, std::memory_order_relaxed)) {
      return static_cast<double>(take);
    }
  }
  return 0;
}

void Pacer::begin_cycle() {
  begin_live_ = live_bytes();
  active_trigger_.store(kNoGoal, std::memory_order_relaxed);
  credit_.store(0, std::memory_order_relaxed);
  revise(0);
}

void Pacer::revise(uint64_t done_scan_bytes) {
  ratio_.store(assist_ratio({last_scan_bytes_, begin_live_, done_scan_bytes, goal_bytes(), live_bytes()}),
               std::memory_order_relaxed);
}

void Pacer::end_cycle(const CycleMeasurements& m) {
  const uint64_t end = live_bytes();
  const uint64_t scanned = m.scanned_heap_bytes + m.stack_bytes + m.global_bytes;
  cons_mark_ = window_.add(
      cons_mark_of({end > begin_live_ ? end - begin_live_ : 0, scanned, m.utilization, m.idle_utilization}));
  last_scan_bytes_ = scanned;
  inputs_ = {m.live_bytes, m.stack_bytes, m.global_bytes, gogc_percent_};
  live_.store(m.live_bytes, std::memory_order_relaxed);
  ratio_.store(0, std::memory_order_relaxed);
  recompute();
}

}  // namespace keel
