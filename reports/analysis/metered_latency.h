// Metered latency: what requests would have waited had they come evenly, however long the one before took.
//
// A closed loop hides queueing: while the world stands nobody asks. Metered latency (Blackburn et al.,
// "Rethinking Java Performance Analysis", ASPLOS 2025) pretends that requests arrive at a smooth rate and
// charges each from its pretended arrival: latency = max(end - begin, end - arrival). How smooth is the
// window: none gives simple latency; the whole run spreads all arrivals evenly between the first and the
// last begin, which is DaCapo's formula. Between them, the rate of arrival at t is the mean rate of begins
// over [t - w/2, t + w/2], mirrored at both ends of the run so that no arrival is lost, and the i-th arrival
// is where the integral of that rate reaches i.
#pragma once

#include <cstdint>
#include <vector>

#include "reports/api/interval_log.h"
#include "reports/api/log_histogram.h"

namespace keel {

/// All requests of all threads; sorts by begin. Windows of `window_ns`: 0 is simple; the run's length or more
/// is DaCapo's. Cost: O(n log n + run / window).
class MeteredLatency {
 public:
  explicit MeteredLatency(std::vector<IntervalLog::Interval> requests);

  /// First begin to last begin.
  [[nodiscard]] int64_t span_ns() const;
  [[nodiscard]] size_t count() const { return requests_.size(); }
  /// Pretended arrival of each request, in order of begin; ns.
  [[nodiscard]] std::vector<double> arrivals(int64_t window_ns) const;
  void record(int64_t window_ns, LogHistogram& into) const;

 private:
  std::vector<IntervalLog::Interval> requests_;
};

}  // namespace keel
