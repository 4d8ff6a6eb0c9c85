// Statistics of a few runs: median with interval, ratio with interval, rank test.
//
// Small samples, no assumption of a distribution. Sources: order-statistic interval of the median (David and
// Nagaraja, "Order Statistics", 7.1); percentile bootstrap (Efron); Mann and Whitney, 1947 (exact null
// distribution by counting, with a normal approximation and tie correction above 20 values a side or with
// ties).
#pragma once

#include <optional>
#include <vector>

namespace keel {

struct Interval {
  double low = 0;
  double high = 0;
};

/// Middle value, or the mean of the two middle ones. Precondition: not empty.
double median(std::vector<double> values);

/// 95 % interval of the median from order statistics; absent below 6 values, where no pair of them covers 95
/// %.
std::optional<Interval> median_interval(std::vector<double> values);

/// 95 % bootstrap interval of median(a) / median(b), 4,000 resamples of a fixed seed. Absent below 3 values a
/// side or when b holds a value <= 0.
std::optional<Interval> ratio_interval(const std::vector<double>& a, const std::vector<double>& b);

/// Two-sided p of the rank test that both sides come from one distribution. Absent if a side is empty.
std::optional<double> mann_whitney_p(const std::vector<double>& a, const std::vector<double>& b);

/// exp(mean(log(x))). Precondition: not empty, all positive.
double geometric_mean(const std::vector<double>& values);

}  // namespace keel
