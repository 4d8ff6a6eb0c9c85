// See statistics.h for sources.
#include "reports/analysis/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "allocator/base/rng.h"

namespace keel {

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  const size_t n = v.size();
  return n % 2 == 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

std::optional<Interval> median_interval(std::vector<double> v) {
  const size_t n = v.size();
  if (n < 6) return std::nullopt;
  std::sort(v.begin(), v.end());
  // Largest k with P(k values or fewer lie below the median) <= 2.5 %: the interval is [v[k], v[n-1-k]].
  double probability = std::pow(0.5, static_cast<double>(n));
  double cumulative = 0;
  size_t k = 0;
  for (size_t i = 0; i < n / 2; ++i) {
    cumulative += probability;
    if (cumulative > 0.025) break;
    k = i;
    probability *= static_cast<double>(n - i) / static_cast<double>(i + 1);
  }
  return Interval{v[k], v[n - 1 - k]};
}

std::optional<Interval> ratio_interval(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() < 3 || b.size() < 3) return std::nullopt;
  if (std::any_of(b.begin(), b.end(), [](double x) { return x <= 0; })) return std::nullopt;
  constexpr int kResamples = 4000;
  Rng rng(1);
  std::vector<double> ratios;
  ratios.reserve(kResamples);
  auto resample = [&](const std::vector<double>& from) {
    std::vector<double> sample(from.size());
    for (double& x : sample) x = from[rng.below(from.size())];
    return median(std::move(sample));
  };
  for (int i = 0; i < kResamples; ++i) {
    const double top = resample(a);
    ratios.push_back(top / resample(b));
  }
  std::sort(ratios.begin(), ratios.end());
  return Interval{ratios[kResamples / 40], ratios[kResamples - 1 - kResamples / 40]};
}

namespace {

// Share of all orderings of n1 + n2 distinct values whose U statistic is at most `u`, by counting.
double exact_share(size_t n1, size_t n2, double u) {
  const size_t most = n1 * n2;
  // ways[i][s]: orderings of i values of side 1 among those looked at, with U = s.
  std::vector<std::vector<double>> ways(n1 + 1, std::vector<double>(most + 1, 0));
  ways[0][0] = 1;
  for (size_t j = 1; j <= n1 + n2; ++j) {
    for (size_t i = std::min(j, n1); i >= 1; --i) {
      // The j-th value belongs to side 1: it beats j - i values of side 2.
      const size_t beats = j - i;
      if (beats > n2) continue;
      for (size_t s = most; s + 1 > beats; --s) {
        ways[i][s] += ways[i - 1][s - beats];
        if (s == 0) break;
      }
    }
  }
  double at_most = 0;
  double all = 0;
  for (size_t s = 0; s <= most; ++s) {
    all += ways[n1][s];
    if (static_cast<double>(s) <= u + 1e-9) at_most += ways[n1][s];
  }
  return at_most / all;
}

}  // namespace

std::optional<double> mann_whitney_p(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.empty() || b.empty()) return std::nullopt;
  double u = 0;
  bool ties = false;
  for (double x : a) {
    for (double y : b) {
      if (x == y) ties = true;
      u += x > y ? 1 : x == y ? 0.5 : 0;
    }
  }
  const auto n1 = static_cast<double>(a.size());
  const auto n2 = static_cast<double>(b.size());
  const double smaller = std::min(u, n1 * n2 - u);
  if (!ties && a.size() <= 20 && b.size() <= 20) {
    return std::min(1.0, 2 * exact_share(a.size(), b.size(), smaller));
  }
  std::vector<double> all(a);
  all.insert(all.end(), b.begin(), b.end());
  std::sort(all.begin(), all.end());
  const double n = n1 + n2;
  double tie_sum = 0;
  for (size_t i = 0; i < all.size();) {
    size_t j = i;
    while (j < all.size() && all[j] == all[i]) ++j;
    const auto t = static_cast<double>(j - i);
    tie_sum += t * t * t - t;
    i = j;
  }
  const double variance = n1 * n2 / 12 * (n + 1 - tie_sum / (n * (n - 1)));
  if (variance <= 0) return 1.0;
  const double z = (smaller - n1 * n2 / 2 + 0.5) / std::sqrt(variance);
  return std::min(1.0, std::erfc(-z / std::sqrt(2.0)));
}

double geometric_mean(const std::vector<double>& v) {
  const double sum =
      std::accumulate(v.begin(), v.end(), 0.0, [](double s, double x) { return s + std::log(x); });
  return std::exp(sum / static_cast<double>(v.size()));
}

}  // namespace keel
