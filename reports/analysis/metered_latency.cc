// See metered_latency.h.
#include "reports/analysis/metered_latency.h"

#include <algorithm>
#include <cmath>

namespace keel {
namespace {

// Steps of a window at which the smoothed count is evaluated; between them it is a line.
constexpr int64_t kSteps = 32;

}  // namespace

MeteredLatency::MeteredLatency(std::vector<IntervalLog::Interval> requests) : requests_(std::move(requests)) {
  std::sort(requests_.begin(), requests_.end(),
            [](const auto& a, const auto& b) { return a.begin_ns < b.begin_ns; });
}

int64_t MeteredLatency::span_ns() const {
  return requests_.empty() ? 0 : requests_.back().begin_ns - requests_.front().begin_ns;
}

std::vector<double> MeteredLatency::arrivals(int64_t window_ns) const {
  const size_t n = requests_.size();
  std::vector<double> result(n);
  if (n == 0) return result;
  const int64_t first = requests_.front().begin_ns;
  const int64_t span = span_ns();
  if (window_ns <= 0 || span == 0) {
    for (size_t i = 0; i < n; ++i) result[i] = static_cast<double>(requests_[i].begin_ns);
    return result;
  }
  if (window_ns >= span) {
    for (size_t i = 0; i < n; ++i) {
      result[i] = static_cast<double>(first) +
                  static_cast<double>(span) * static_cast<double>(i) / static_cast<double>(n);
    }
    return result;
  }
  // A(t): the integral of the counting function N from the first begin to t. N is odd about the first begin
  // and about (last, n), so A is even about both, up to the line that the slope n adds.
  std::vector<double> before(n + 1, 0);  // A at each begin
  for (size_t i = 1; i < n; ++i) {
    before[i] = before[i - 1] + static_cast<double>(i) *
                                    static_cast<double>(requests_[i].begin_ns - requests_[i - 1].begin_ns);
  }
  const auto length = static_cast<double>(span);
  const auto total = static_cast<double>(n);
  auto inside = [&](double t, size_t& cursor) {  // 0 <= t <= length, cursor never moves back
    while (cursor + 1 < n && static_cast<double>(requests_[cursor + 1].begin_ns - first) <= t) ++cursor;
    return before[cursor] +
           static_cast<double>(cursor + 1) * (t - static_cast<double>(requests_[cursor].begin_ns - first));
  };
  // Three cursors, one for each stretch in which an edge moves one way.
  size_t low_cursor = 0;
  size_t high_cursor = 0;
  auto backwards = [&](double t) {  // the mirrored stretches are short: half a window
    size_t cursor =
        static_cast<size_t>(std::upper_bound(requests_.begin(), requests_.end(), t,
                                             [&](double at, const auto& r) {
                                               return at < static_cast<double>(r.begin_ns - first);
                                             }) -
                            requests_.begin());
    cursor = cursor == 0 ? 0 : cursor - 1;
    return inside(t, cursor);
  };
  const double whole = backwards(length);
  const double half = static_cast<double>(window_ns) / 2;
  auto smoothed = [&](double t) {
    const double low = t - half < 0 ? backwards(half - t) : inside(t - half, low_cursor);
    const double over = t + half - length;
    // Beyond the end N(length + s) = 2n - N(length - s).
    const double high = over > 0 ? whole + 2 * total * over - (whole - backwards(length - over))
                                 : inside(t + half, high_cursor);
    return (high - low) / static_cast<double>(window_ns);
  };
  const double step = static_cast<double>(window_ns) / kSteps;
  double left = 0;
  double left_count = 0;
  size_t i = 0;
  while (i < n) {
    const double right = std::min(left + step, length);
    const double right_count = right >= length ? total : smoothed(right);
    while (i < n && (static_cast<double>(i) <= right_count || right >= length)) {
      const double rise = right_count - left_count;
      const double part = rise > 0 ? std::clamp((static_cast<double>(i) - left_count) / rise, 0.0, 1.0) : 1;
      result[i++] = static_cast<double>(first) + left + part * (right - left);
    }
    left = right;
    left_count = right_count;
  }
  return result;
}

void MeteredLatency::record(int64_t window_ns, LogHistogram& into) const {
  const std::vector<double> arrival = arrivals(window_ns);
  for (size_t i = 0; i < requests_.size(); ++i) {
    const IntervalLog::Interval& r = requests_[i];
    const double metered = static_cast<double>(r.end_ns) - arrival[i];
    into.record(std::max(r.end_ns - r.begin_ns, static_cast<int64_t>(metered)));
  }
}

}  // namespace keel
