// Histogram error, gctrace's number format, statistics against known values, faults named by their place.
#include <gtest/gtest.h>

#include <cmath>
#include <latch>
#include <regex>
#include <thread>

#include "allocator/base/clock.h"
#include "allocator/base/rng.h"
#include "collector/api/heap.h"
#include "reports/analysis/identities.h"
#include "reports/analysis/run_facts.h"
#include "reports/analysis/statistics.h"
#include "reports/api/run_recorder.h"
#include "reports/output/gctrace.h"

namespace keel {
namespace {

TEST(LogHistogram, QuantilesAreWithinTheStatedError) {
  Rng rng(1);
  LogHistogram h;
  std::vector<double> values;
  for (int i = 0; i < 50000; ++i) {
    const auto v = static_cast<int64_t>(std::exp(static_cast<double>(rng.below(2000)) / 100.0));
    h.record(v);
    values.push_back(static_cast<double>(v));
  }
  std::sort(values.begin(), values.end());
  for (double q : {0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const double exact = values[static_cast<size_t>(std::ceil(q * 50000)) - 1];
    EXPECT_NEAR(static_cast<double>(h.quantile(q)), exact, exact * LogHistogram::kRelativeError + 1) << q;
  }
  EXPECT_EQ(h.count(), 50000U);
  EXPECT_EQ(static_cast<double>(h.max()), values.back());
  uint64_t in_buckets = 0;
  h.for_each_bucket([&](uint64_t lower, uint64_t upper, uint64_t count) {
    EXPECT_LT(lower, upper);
    in_buckets += count;
  });
  EXPECT_EQ(in_buckets, 50000U);
}

TEST(LogHistogram, HoldsTheWholeRangeAndMerges) {
  LogHistogram a;
  a.record(-5);
  a.record(0);
  a.record(INT64_MAX);
  LogHistogram b;
  b.record(7);
  b.merge(a);
  EXPECT_EQ(b.count(), 4U);
  EXPECT_EQ(b.max(), static_cast<uint64_t>(INT64_MAX));
  EXPECT_EQ(LogHistogram().quantile(0.5), 0U);
}

TEST(Gctrace, PrintsNumbersAsGoDoes) {
  const std::pair<int64_t, const char*> cases[] = {{0, "0"},           {999, "0"},       {1000, "0.001"},
                                                   {81000, "0.081"},   {99999, "0.099"}, {100000, "0.10"},
                                                   {1100000, "1.1"},   {9999999, "9.9"}, {10000000, "10"},
                                                   {123456789, "123"}, {480000, "0.48"}, {56000, "0.056"}};
  for (const auto& [ns, text] : cases) EXPECT_EQ(format_ns_as_ms(ns), text) << ns;
}

TEST(Gctrace, MatchesTheRegularExpressionOfGoSurface) {
  const std::regex line(
      R"(^gc (\d+) @([\d.]+)s (\d+)%: ([\d.]+)\+([\d.]+)\+([\d.]+) ms clock, ([\d.]+)\+([\d.]+)/([\d.]+)/([\d.]+)\+([\d.]+) ms cpu, (\d+)->(\d+)->(\d+) MB, (\d+) MB goal, (?:(\d+) MB stacks, (\d+) MB globals, )?(\d+) P( \(forced\))?$)");
  CycleRecord c;
  c.number = 3;
  c.begin_ns = 1'046'000'000;
  c.mark_begin_ns = c.begin_ns + 81'000;
  c.mark_termination_ns = c.mark_begin_ns + 1'100'000;
  c.end_ns = c.mark_termination_ns + 71'000;
  c.heap_begin_bytes = 3 << 20;
  c.heap_mark_end_bytes = (3 << 20) + 5;
  c.heap_goal_bytes = 4 << 20;
  c.assist_ns = 39'000;
  c.fractional_cpu_ns = 450'000;
  c.idle_cpu_ns = 260'000;
  c.usable_cores = 2;
  c.first_stop_ns = 81'000;
  c.last_stop_ns = 71'000;
  EXPECT_EQ(gctrace_line(c, 1'000'000'000),
            "gc 3 @0.046s 0%: 0.081+1.1+0.071 ms clock, 0.16+0.039/0.45/0.26+0.14 ms cpu, 3->3->0 MB, 4 MB "
            "goal, 0 MB "
            "stacks, 0 MB globals, 2 P");
  c.trigger = CycleTrigger::kForced;
  EXPECT_TRUE(std::regex_match(gctrace_line(c, 0), line));
}

TEST(Gctrace, PacerLinesAreGos) {
  CycleRecord c;
  c.assist_ratio = 0.5;
  c.expected_scan_bytes = 5 << 20;
  c.heap_begin_bytes = 3 << 20;
  c.heap_goal_bytes = 4 << 20;
  c.heap_mark_end_bytes = (4 << 20) - 100;
  c.fractional_workers = 2;
  c.usable_cores = 2;
  c.utilization = 0.273;
  c.scanned_heap_bytes = 12345;
  c.scanned_stack_bytes = 678;
  c.scanned_root_bytes = 9;
  c.cons_mark = 12.5;
  EXPECT_EQ(
      pacertrace_lines(c),
      "pacer: assist ratio=+5.000000e-001 (scan 5 MB in 3->4 MB) workers=0++2.500000e-001\n"
      "pacer: 27% CPU (25 exp.) for 12345+678+9 B work (5242880 B exp.) in 3145728 B -> 4194204 B (∆goal "
      "-100, cons/mark +1.250000e+001)");
}

TEST(Gctrace, ScavengerLinesAreGos) {
  CycleRecord c;
  c.background_released_bytes = 12 << 10;
  c.heap_released_bytes = 3456 << 10;
  c.heap_retained_bytes = 1000;
  c.heap_in_use_bytes = 870;
  EXPECT_EQ(scavtrace_line(c), "scav 12 KiB work (bg), 0 KiB work (eager), 3456 KiB now, 87% util");
}

TEST(GcStatsQuantiles, FollowGosRule) {
  EXPECT_EQ(pause_quantiles({}, 5), (std::vector<int64_t>(5, 0)));
  EXPECT_EQ(pause_quantiles({7}, 5), (std::vector<int64_t>(5, 7)));
  // sorted[n * i / 4]: 1 3 5 7, and the maximum.
  EXPECT_EQ(pause_quantiles({8, 1, 2, 3, 4, 5, 6, 7}, 5), (std::vector<int64_t>{1, 3, 5, 7, 8}));
  EXPECT_EQ(pause_quantiles({3, 1, 2}, 3), (std::vector<int64_t>{1, 2, 3}));
}

TEST(Statistics, AgreeWithKnownValues) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 2, 3}), 2.5);
  EXPECT_FALSE(median_interval({1, 2, 3, 4, 5}).has_value());
  // n = 6: [min, max] covers 1 - 2/64 = 96.9 %; n = 10: [2nd, 9th] covers 97.9 %.
  EXPECT_EQ(median_interval({6, 5, 4, 3, 2, 1})->low, 1);
  EXPECT_EQ(median_interval({1, 2, 3, 4, 5, 6, 7, 8, 9, 10})->low, 2);
  EXPECT_EQ(median_interval({1, 2, 3, 4, 5, 6, 7, 8, 9, 10})->high, 9);
  // All of one side below the other: p = 2 / C(n1 + n2, n1).
  EXPECT_NEAR(*mann_whitney_p({1, 2, 3}, {4, 5, 6}), 2.0 / 20, 1e-12);
  EXPECT_NEAR(*mann_whitney_p({1, 2, 3, 4, 5}, {6, 7, 8, 9, 10}), 2.0 / 252, 1e-12);
  EXPECT_NEAR(*mann_whitney_p({1, 4}, {2, 3}), 1.0, 1e-12);
  EXPECT_EQ(*mann_whitney_p({1, 1, 1}, {1, 1, 1}), 1.0);
  EXPECT_FALSE(mann_whitney_p({}, {1}).has_value());
  EXPECT_NEAR(geometric_mean({1, 4, 16}), 4, 1e-12);
  const auto ratio = ratio_interval({10, 11, 12, 13, 14}, {5, 5.5, 6, 6.5, 7});
  EXPECT_LT(ratio->low, 2);
  EXPECT_GT(ratio->high, 2);
}

// A report as the recorder makes it, without a heap.
nlohmann::json small_report() {
  RunRecorder recorder({});
  CycleRecord c;
  c.number = 1;
  c.begin_ns = now_ns() + 1000;
  c.mark_begin_ns = c.begin_ns + 100;
  c.mark_termination_ns = c.mark_begin_ns + 1000;
  c.end_ns = c.mark_termination_ns + 50;
  recorder.on_cycle(c);
  void* log = recorder.on_attach(1, "one");
  recorder.on_pause(log, {1, PauseKind::kAssist, 1, c.begin_ns, 500, -1, -1});
  recorder.finish();
  nlohmann::json sections;
  sections["workload"] = {
      {"name", "test"}, {"arguments", nlohmann::json::object()}, {"seed", 1}, {"threads", 1}};
  sections["collector"] = {{"name", "keel"}};
  return recorder.report(sections, true);
}

TEST(Validate, AcceptsWhatTheRecorderWritesAndNamesEveryFault) {
  const nlohmann::json good = small_report();
  EXPECT_EQ(first_fault(good), "");
  auto broken = [&](const char* pointer, nlohmann::json value) {
    nlohmann::json report = good;
    report[nlohmann::json::json_pointer(pointer)] = std::move(value);
    return first_fault(report);
  };
  EXPECT_NE(broken("/cycles/0/end_ns", "late").find("/cycles/0/end_ns"), std::string::npos);
  EXPECT_NE(broken("/cycles/0/end_ns", 1).find("/cycles/0/"), std::string::npos);
  EXPECT_NE(broken("/cycles/0/durations_ns/mark", 7).find("/cycles/0/durations_ns: parts do not add up"),
            std::string::npos);
  EXPECT_NE(broken("/schema_version", 2), "");
  EXPECT_NE(broken("/surprise", 2), "");
  nlohmann::json lacking = good;
  lacking.erase("run");
  EXPECT_NE(first_fault(lacking), "");
  for (const char* hostile : {"[]", "{}", "17", "null", R"({"schema":"keel.report"})"}) {
    EXPECT_NE(first_fault(nlohmann::json::parse(hostile)), "") << hostile;
  }
}

TEST(Recorder, DropsAreCountedAndTotalsLoseNothing) {
  RunRecorder recorder({});
  void* log = recorder.on_attach(1, "one");
  for (int i = 0; i < 5000; ++i)
    recorder.on_pause(log, {1, PauseKind::kAssist, 1, now_ns(), 500 + i, -1, -1});
  recorder.finish();
  nlohmann::json sections;
  sections["workload"] = {
      {"name", "test"}, {"arguments", nlohmann::json::object()}, {"seed", 1}, {"threads", 1}};
  sections["collector"] = {{"name", "keel"}};
  const nlohmann::json report = recorder.report(sections, true);
  EXPECT_EQ(report["pause_totals"][0]["count"], 5000);
  EXPECT_EQ(report["pause_totals"][0]["max_ns"], 5499);
  EXPECT_EQ(report["events"]["dropped"].get<uint64_t>() + report["pauses"].size(), 5000U);
}

nlohmann::json sections_of(const HeapStats& stats) {
  nlohmann::json sections;
  sections["workload"] = {
      {"name", "test"}, {"arguments", nlohmann::json::object()}, {"seed", 1}, {"threads", 1}};
  sections["collector"] = {{"name", "keel"}};
  sections["memstats"] = memstats_json(stats);
  return sections;
}

TEST(Recorder, ACycleThatEndsAfterTheRunIsNotOfIt) {
  RunRecorder recorder({});
  HeapConfig config;
  config.listener = &recorder;
  Heap heap(config);
  ASSERT_TRUE(recorder.start([] { return HeapSample{}; }));
  heap.collect();
  HeapStats stats;
  heap.between_cycles([&] {
    recorder.end_run();
    stats = heap.stats();
  });
  heap.collect();  // a periodic cycle comes when it is due, whatever the program is at
  recorder.finish();
  const nlohmann::json report = recorder.report(sections_of(stats), true);
  EXPECT_EQ(first_fault(report), "");
  EXPECT_EQ(report["cycles"].size(), 1U);
  heap.collect();
  EXPECT_EQ(first_fault(recorder.report(sections_of(stats), true)), "");
}

// Holds a cycle just before it is told, until the run is about to end.
class HeldListener final : public GcListener {
 public:
  explicit HeldListener(RunRecorder& recorder) : recorder_(recorder) {}
  void* on_attach(uint32_t thread, const char* name) override { return recorder_.on_attach(thread, name); }
  void on_detach(void* data) override { recorder_.on_detach(data); }
  void on_pause(void* data, const PauseRecord& pause) override { recorder_.on_pause(data, pause); }
  void on_world_stop(const PauseRecord& pause) override {
    if (pause.kind == PauseKind::kMarkTermination) {
      stopped_.count_down();
      ending_.wait();
    }
    recorder_.on_world_stop(pause);
  }
  void on_cycle(const CycleRecord& cycle) override { recorder_.on_cycle(cycle); }
  void on_worker(uint32_t cycle, const WorkerRecord& work) override { recorder_.on_worker(cycle, work); }

  std::latch stopped_{1};
  std::latch ending_{1};

 private:
  RunRecorder& recorder_;
};

TEST(Recorder, ACycleThatHasBegunWhenTheRunEndsIsOfIt) {
  RunRecorder recorder({});
  HeldListener listener(recorder);
  HeapConfig config;
  config.listener = &listener;
  config.periodic_ns = 1'000'000;
  Heap heap(config);
  ASSERT_TRUE(recorder.start([] { return HeapSample{}; }));
  listener.stopped_.wait();  // the first periodic cycle is between its last stop and its end
  HeapStats stats;
  std::thread ends([&] {
    heap.between_cycles([&] {
      recorder.end_run();
      stats = heap.stats();
    });
  });
  listener.ending_.count_down();
  ends.join();
  recorder.finish();
  const nlohmann::json report = recorder.report(sections_of(stats), true);
  EXPECT_EQ(first_fault(report), "");
  EXPECT_GE(report["cycles"].size(), 1U);
}

TEST(RunFacts, ShowAbsentAsAbsent) {
  EXPECT_EQ(show(std::nullopt, Unit::kBytes), "-");
  EXPECT_EQ(show(1.5 * 1024 * 1024, Unit::kBytes), "1.50 MiB");
  EXPECT_EQ(show(1234567, Unit::kNanoseconds), "1.23 ms");
  for (const Fact& fact : run_facts())
    EXPECT_FALSE(fact.read(nlohmann::json::object()).has_value()) << fact.name;
}

}  // namespace
}  // namespace keel
