// Utilisation and metered latency against brute force and closed forms.
#include <gtest/gtest.h>
#include <algorithm>

#include <cmath>
#include <cstdio>

#include "allocator/base/rng.h"
#include "reports/analysis/metered_latency.h"
#include "reports/analysis/utilization.h"

namespace keel {
namespace {

// u at each whole nanosecond, by looking at every interruption.
std::vector<double> levels(const std::vector<Interruption>& interruptions, int64_t length) {
  std::vector<double> u(static_cast<size_t>(length));
  for (int64_t t = 0; t < length; ++t) {
    double held = 0;
    for (const Interruption& i : interruptions) {
      if (i.begin_ns <= t && t < i.end_ns) held += i.share;
    }
    u[static_cast<size_t>(t)] = std::clamp(1 - held, 0.0, 1.0);
  }
  return u;
}

std::vector<Interruption> random_interruptions(Rng& rng, int64_t length) {
  std::vector<Interruption> result;
  const uint64_t count = rng.below(12);
  for (uint64_t i = 0; i < count; ++i) {
    const auto begin = static_cast<int64_t>(rng.below(static_cast<uint64_t>(length))) - 5;
    const auto end = begin + 1 + static_cast<int64_t>(rng.below(30));
    result.push_back({begin, end, rng.below(2) == 0 ? 1.0 : 0.25, static_cast<uint32_t>(rng.below(3))});
  }
  return result;
}

TEST(Utilization, AgreesWithBruteForceOverEveryWindow) {
  const uint64_t seed = 7;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Rng rng(seed);
  for (int round = 0; round < 120; ++round) {
    const int64_t length = 60 + static_cast<int64_t>(rng.below(60));
    const std::vector<Interruption> interruptions = random_interruptions(rng, length);
    const std::vector<double> u = levels(interruptions, length);
    std::vector<double> sum(u.size() + 1, 0);
    for (size_t i = 0; i < u.size(); ++i) sum[i + 1] = sum[i] + u[i];
    const Utilization utilization(interruptions, 0, length);
    EXPECT_NEAR(utilization.overall(), sum.back() / static_cast<double>(length), 1e-9);
    // Breakpoints are whole, so the least over whole begins is the least over all. From long to short: the
    // least over windows of this length or more.
    double bounded = 1;
    for (int64_t window = length; window >= 1; --window) {
      double least = 1;
      for (int64_t begin = 0; begin + window <= length; ++begin) {
        least = std::min(least, (sum[static_cast<size_t>(begin + window)] - sum[static_cast<size_t>(begin)]) /
                                    static_cast<double>(window));
      }
      bounded = std::min(bounded, least);
      ASSERT_NEAR(utilization.mmu(window), least, 1e-9) << "round " << round << " window " << window;
      ASSERT_NEAR(utilization.bmu(window), bounded, 1e-9) << "round " << round << " window " << window;
      const Window worst = utilization.worst(window);
      ASSERT_NEAR((sum[static_cast<size_t>(worst.end_ns)] - sum[static_cast<size_t>(worst.begin_ns)]) /
                      static_cast<double>(worst.end_ns - worst.begin_ns),
                  least, 1e-9);
    }
  }
}

TEST(Utilization, ClosedFormOfOnePause) {
  // A pause of 10 in a run of 1000: MMU(w) = 0 up to 10, then 1 - 10/w.
  const Utilization u({{400, 410, 1, 0}}, 0, 1000);
  EXPECT_EQ(u.mmu(5), 0);
  EXPECT_EQ(u.mmu(10), 0);
  EXPECT_DOUBLE_EQ(u.mmu(20), 0.5);
  EXPECT_DOUBLE_EQ(u.bmu(100), 0.9);
  EXPECT_DOUBLE_EQ(u.mmu(1000), 0.99);
  EXPECT_DOUBLE_EQ(u.mmu(5000), 0.99);
  EXPECT_EQ(u.longest_standstill_ns(), 10);
}

TEST(Utilization, WindowsOfTheLongestRunFit) {
  const int64_t longest = int64_t{1} << 61;
  const std::vector<int64_t> windows = Utilization({{1, 2, 1, 0}}, 0, longest).windows(10'000);
  EXPECT_TRUE(std::is_sorted(windows.begin(), windows.end()));
  EXPECT_EQ(windows.front(), 10'000);
  EXPECT_EQ(windows.back(), longest);
}

TEST(Utilization, BoundedIsBelowTheWindowsOwnMinimumWhereLongerWindowsAreWorse) {
  // Two stops of 10, 20 apart: a window of 25 meets one of them and half of the other, one of 40 both.
  const Utilization u({{100, 110, 1, 0}, {130, 140, 1, 0}}, 0, 1000);
  EXPECT_DOUBLE_EQ(u.mmu(29), 19.0 / 29);
  EXPECT_DOUBLE_EQ(u.bmu(29), 0.5);
  EXPECT_DOUBLE_EQ(u.bmu(40), 0.5);
}

TEST(Utilization, WorstWindowsAreApartAndBrokenDownByCause) {
  const Utilization u({{100, 110, 1, 0}, {500, 505, 1, 1}, {502, 512, 0.5, 2}}, 0, 1000);
  const std::vector<Window> worst = u.worst(20, 3);
  ASSERT_EQ(worst.size(), 3U);
  EXPECT_DOUBLE_EQ(worst[0].utilization, 0.5);
  for (size_t i = 0; i < worst.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      EXPECT_TRUE(worst[i].end_ns <= worst[j].begin_ns || worst[i].begin_ns >= worst[j].end_ns);
    }
  }
  const std::vector<double> causes = u.causes({495, 515, 0});
  ASSERT_EQ(causes.size(), 3U);
  EXPECT_DOUBLE_EQ(causes[1], 0.25);
  EXPECT_DOUBLE_EQ(causes[2], 0.25);
}

TEST(Utilization, NothingAndEverything) {
  const Utilization free({}, 0, 100);
  EXPECT_EQ(free.mmu(1), 1);
  EXPECT_EQ(free.bmu(1), 1);
  const Utilization stopped({{-10, 1000, 1, 0}}, 0, 100);
  EXPECT_EQ(stopped.mmu(1), 0);
  EXPECT_EQ(stopped.overall(), 0);
  EXPECT_EQ(stopped.longest_standstill_ns(), 100);
}

std::vector<IntervalLog::Interval> random_requests(Rng& rng, size_t count) {
  std::vector<IntervalLog::Interval> requests;
  int64_t at = 1000;
  for (size_t i = 0; i < count; ++i) {
    at += static_cast<int64_t>(rng.below(i % 40 == 0 ? 40000 : 400)) + 1;
    requests.push_back({at, at + static_cast<int64_t>(rng.below(500))});
  }
  return requests;
}

TEST(MeteredLatency, WithoutWindowItIsSimpleAndOverTheWholeRunItIsDaCapos) {
  Rng rng(3);
  const std::vector<IntervalLog::Interval> requests = random_requests(rng, 5000);
  const MeteredLatency metered(requests);
  LogHistogram none;
  metered.record(0, none);
  LogHistogram simple;
  for (const auto& r : requests) simple.record(r.end_ns - r.begin_ns);
  EXPECT_EQ(none.total(), simple.total());
  const std::vector<double> arrivals = metered.arrivals(metered.span_ns());
  const auto n = static_cast<double>(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    const double expected =
        static_cast<double>(requests[0].begin_ns) +
        static_cast<double>(requests.back().begin_ns - requests[0].begin_ns) * static_cast<double>(i) / n;
    ASSERT_NEAR(arrivals[i], expected, 1e-6);
  }
}

TEST(MeteredLatency, WindowsBetweenAgreeWithTheIntegralOfTheSmoothedRate) {
  Rng rng(4);
  const std::vector<IntervalLog::Interval> requests = random_requests(rng, 1000);
  const MeteredLatency metered(requests);
  const auto span = static_cast<double>(metered.span_ns());
  const double n = 1000;
  // Begins mirrored at both ends; the smoothed count at t sums each begin's share of windows that end by t.
  std::vector<double> begins;
  for (const auto& r : requests) begins.push_back(static_cast<double>(r.begin_ns - requests[0].begin_ns));
  for (const double window : {span / 50, span / 7, span / 2}) {
    const std::vector<double> arrivals = metered.arrivals(static_cast<int64_t>(window));
    auto share = [&](double t, double b) { return std::clamp((t - b) / window + 0.5, 0.0, 1.0); };
    auto counted = [&](double t) {  // integral of the rate from 0 to t
      double sum = 0;
      for (const double b : begins) {
        for (const double image : {b, -b, 2 * span - b}) sum += share(t, image) - share(0, image);
      }
      return sum;
    };
    EXPECT_NEAR(counted(span), n, 1.5);
    for (size_t i = 0; i < arrivals.size(); i += 37) {
      const double t = arrivals[i] - static_cast<double>(requests[0].begin_ns);
      // The count is a line between 32 steps a window: it is off by less than what comes within one step.
      ASSERT_NEAR(counted(t), static_cast<double>(i), n * window / span / 16 + 2) << "window " << window;
    }
    for (size_t i = 1; i < arrivals.size(); ++i) ASSERT_GE(arrivals[i], arrivals[i - 1]);
  }
}

TEST(MeteredLatency, ChargesThoseWhoWouldHaveComeDuringAPause) {
  // One request a microsecond, each 1 us long; then the world stands for 1 ms; then as before.
  std::vector<IntervalLog::Interval> requests;
  int64_t at = 0;
  for (int i = 0; i < 20000; ++i) {
    if (i == 10000) at += 1'000'000;
    requests.push_back({at, at + 1000});
    at += 1000;
  }
  const MeteredLatency metered(requests);
  LogHistogram simple;
  LogHistogram smooth;
  metered.record(0, simple);
  metered.record(10'000'000, smooth);
  EXPECT_EQ(simple.quantile(0.9999), 1000U);
  // Request 10,000 ends at 11.001 ms; smoothed over 10 ms it should have come about 0.45 ms earlier.
  EXPECT_GT(smooth.max(), 300'000U);
  EXPECT_LT(smooth.max(), 1'000'000U);
}

TEST(IntervalLog, KeepsEveryEntryAndCountsWhatItDrops) {
  IntervalLog log(5);
  const std::vector<IntervalLog::Interval> expected = {{5'000'000'000, 5'000'000'100, 0},   // far from zero
                                                       {5'000'000'200, 11'000'000'000, 7},  // long
                                                       {5'000'000'300, 5'000'000'301, 5},
                                                       {4'000'000'000, 4'000'000'001, 1},  // before the last
                                                       {4'500'000'000, 4'500'000'000, 2}};
  for (const auto& i : expected) log.add(i.begin_ns, i.end_ns, i.kind);
  log.add(5'000'000'400, 5'000'000'500);
  EXPECT_EQ(log.dropped(), 1U);
  size_t n = 0;
  log.for_each([&](const IntervalLog::Interval& i) {
    ASSERT_LT(n, expected.size());
    EXPECT_EQ(i.begin_ns, expected[n].begin_ns);
    EXPECT_EQ(i.end_ns, expected[n].end_ns);
    EXPECT_EQ(i.kind, expected[n].kind);
    ++n;
  });
  EXPECT_EQ(n, expected.size());
}

}  // namespace
}  // namespace keel
