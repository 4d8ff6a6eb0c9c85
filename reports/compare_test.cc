// Facts, lower-bound overhead and the matching of runs, on reports small enough to compute by hand.
#include <gtest/gtest.h>

#include <sstream>

#include "reports/analysis/lower_bound.h"
#include "reports/analysis/run_facts.h"
#include "reports/tool/compare.h"
#include "reports/tool/summary.h"

namespace keel {
namespace {

using nlohmann::json;

// 1,000 operations in 10 ms on two mutators: two stops of 0.5 ms, assists of 1 ms in all; 20 ms of CPU, of
// which 2 (stops on two cores), 4 (workers) and 1 (assists) are explicit.
json run(const std::string& collector, double scale = 1) {
  const json none{{"relative_error", 0.01}, {"buckets", json::array()}};
  auto ns = [&](double milliseconds) { return static_cast<int64_t>(milliseconds * 1e6 * scale); };
  json cycles = json::array();
  for (int i = 0; i < 2; ++i) {
    cycles.push_back({{"number", i + 1},
                      {"kind", "full"},
                      {"trigger", "heap"},
                      {"begin_ns", ns(2 + 4 * i)},
                      {"end_ns", ns(4 + 4 * i)},
                      {"total_alloc_bytes", 1'000'000 + 4'000'000 * i},
                      {"heap_bytes", {{"live", 2'000'000 + 400'000 * i}}},
                      {"scanned_bytes", {{"heap", 500'000}}},
                      {"marked_objects", 20'000},
                      {"cpu_ns", {{"dedicated", ns(2)}, {"assist", ns(0.5)}, {"pause", ns(1)}}}});
  }
  return {{"schema", "keel.report"},
          {"workload",
           {{"name", "w"}, {"arguments", {{"live", "8MiB"}, {"report", "x"}}}, {"seed", 1}, {"threads", 2}}},
          {"collector", {{"name", collector}, {"ballast_bytes", 100'000}}},
          {"environment", {{"cpu_model", "c"}, {"cores", 2}, {"kernel", "k"}}},
          {"run",
           {{"wall_ns", ns(10)},
            {"measured", {{"begin_ns", 0}, {"end_ns", ns(10)}}},
            {"user_cpu_ns", ns(15)},
            {"system_cpu_ns", ns(5)},
            {"operations", 1000}}},
          {"cycles", cycles},
          {"pauses",
           {{{"kind", "mark_termination"},
             {"begin_ns", ns(4)},
             {"duration_ns", ns(0.5)},
             {"time_to_stop_ns", ns(0.1)}},
            {{"kind", "mark_termination"}, {"begin_ns", ns(8)}, {"duration_ns", ns(0.5)}},
            {{"kind", "other_stop"}, {"begin_ns", ns(9)}, {"duration_ns", ns(0.7)}}}},
          {"pause_totals",
           {{{"kind", "mark_termination"},
             {"count", 2},
             {"total_ns", ns(1)},
             {"max_ns", ns(0.5)},
             {"histogram", none}},
            {{"kind", "assist"},
             {"thread", 1},
             {"count", 3},
             {"total_ns", ns(0.6)},
             {"max_ns", ns(0.3)},
             {"histogram", none}},
            {{"kind", "assist"},
             {"thread", 2},
             {"count", 3},
             {"total_ns", ns(0.4)},
             {"max_ns", ns(0.2)},
             {"histogram", none}}}},
          {"memstats", {{"TotalAlloc", 11'000'000}, {"Mallocs", 100'000}}},
          {"heap_by_layout", {{{"layout", "l"}, {"used_bytes", 1600}, {"pointer_words", 50}}}},
          {"results", {{"live_bytes", 1'500'000}}},
          {"threads", json::array()},
          {"samples", json::array()},
          {"latency", json::object()}};
}

std::optional<double> fact(const json& report, const std::string& name) {
  for (const Fact& f : run_facts()) {
    if (f.name == name) return f.read(report);
  }
  ADD_FAILURE() << "no fact '" << name << "'";
  return std::nullopt;
}

TEST(RunFacts, AreWhatTheReportSays) {
  const json r = run("keel");
  EXPECT_DOUBLE_EQ(*fact(r, "world stops"), 2) << "safepoints for other reasons stand apart";
  EXPECT_DOUBLE_EQ(*fact(r, "world stops, total"), 1e6);
  EXPECT_DOUBLE_EQ(*fact(r, "assist, a mutator"), 0.5e6);
  EXPECT_DOUBLE_EQ(*fact(r, "assist, max"), 0.3e6);
  EXPECT_FALSE(fact(r, "world stop, p99.9").has_value()) << "of two stops there is none";
  EXPECT_DOUBLE_EQ(*fact(r, "collections per minute"), 2 * 60 / 0.01);
}

TEST(Nominal, StatisticsAreTheirDefinitions) {
  const json r = run("keel");
  EXPECT_DOUBLE_EQ(*fact(r, "allocation, B/us [ARA]"), 4'000'000 / 4000.0);
  EXPECT_DOUBLE_EQ(*fact(r, "mean object [AOA]"), 110);
  EXPECT_DOUBLE_EQ(*fact(r, "turnover: allocated over live [GTO]"), 11.0 / 2.4);
  EXPECT_DOUBLE_EQ(*fact(r, "time in world stops [GCP]"), 0.1);
  EXPECT_DOUBLE_EQ(*fact(r, "survival of what was allocated"), 0.1);
  EXPECT_DOUBLE_EQ(*fact(r, "floating garbage, median"), 2'400'000 - 100'000 - 1'500'000);
  EXPECT_DOUBLE_EQ(*fact(r, "pointer density: words that are pointers"), 0.25);
  EXPECT_DOUBLE_EQ(*fact(r, "mean live object"), 120);
}

TEST(LowerBound, CostsAreTotalAndExplicitParts) {
  const auto wall = operation_cost(run("keel"), CostMetric::kWall);
  ASSERT_TRUE(wall.has_value());
  EXPECT_DOUBLE_EQ(wall->total, 10'000);
  EXPECT_DOUBLE_EQ(wall->world_stops, 1000);
  EXPECT_DOUBLE_EQ(*wall->all, 1000 + 500);
  const auto cpu = operation_cost(run("keel"), CostMetric::kCpu);
  ASSERT_TRUE(cpu.has_value());
  EXPECT_DOUBLE_EQ(cpu->total, 20'000);
  EXPECT_DOUBLE_EQ(cpu->world_stops, 2000);
  EXPECT_DOUBLE_EQ(*cpu->all, 7000);
  json open = run("keel");
  open["workload"]["arguments"]["rate"] = "1000";
  EXPECT_FALSE(operation_cost(open, CostMetric::kWall).has_value()) << "the rate sets the time";
  json silent = run("boehm");
  for (json& c : silent["cycles"]) c.erase("cpu_ns");
  EXPECT_DOUBLE_EQ(operation_cost(silent, CostMetric::kCpu)->world_stops, 2000) << "stops on both cores";
}

TEST(LowerBound, TheBaseIsTheLeastDistilledCost) {
  const json dear = run("a", 2);
  const json cheap = run("b", 1);
  const auto stops =
      lower_bound_overheads({{&dear}, {&cheap, &cheap}}, CostMetric::kWall, ExplicitWork::kWorldStops);
  ASSERT_TRUE(stops.has_value());
  EXPECT_DOUBLE_EQ((*stops)[0], 20'000 / 9'000.0);
  EXPECT_DOUBLE_EQ((*stops)[1], 10'000 / 9'000.0);
  const auto all = lower_bound_overheads({{&dear}, {&cheap}}, CostMetric::kCpu, ExplicitWork::kAll);
  EXPECT_DOUBLE_EQ((*all)[1], 20'000 / 13'000.0);
  json without = cheap;
  without["run"].erase("operations");
  EXPECT_FALSE(
      lower_bound_overheads({{&dear}, {&without}}, CostMetric::kWall, ExplicitWork::kAll).has_value());
}

TEST(Compare, MatchesByWorkloadAndRefusesTheRest) {
  const json a = run("a");
  const json b = run("b");
  json other = run("b");
  other["workload"]["arguments"]["live"] = "16MiB";
  EXPECT_EQ(workload_key(a), "w live=8MiB") << "where the report goes does not matter";
  const auto both = compare_sides({{"a", {a, a}}, {"b", {b, other}}}, false, false);
  ASSERT_TRUE(both.ok()) << both.error();
  ASSERT_EQ(both.value().comparisons.size(), 1U);
  EXPECT_EQ(both.value().comparisons[0].runs_a, 2U);
  EXPECT_EQ(both.value().comparisons[0].runs_b, 1U);
  ASSERT_EQ(both.value().notes.size(), 1U);
  EXPECT_EQ(both.value().notes[0], "'w live=16MiB' has no run of a");
  ASSERT_EQ(both.value().comparisons[0].notes.size(), 2U);
  EXPECT_EQ(both.value().comparisons[0].notes[0],
            "p99.9 of world stops refused: a has 2 in a run, 1000 are needed");
  EXPECT_FALSE(compare_sides({{"a", {a}}, {"b", {other}}}, false, false).ok());
  EXPECT_TRUE(compare_sides({{"a", {a}}, {"b", {other}}}, false, true).ok());
  json machine = b;
  machine["environment"]["cpu_model"] = "d";
  EXPECT_FALSE(compare_sides({{"a", {a}}, {"b", {machine}}}, false, false).ok());
  EXPECT_TRUE(compare_sides({{"a", {a}}, {"b", {machine}}}, false, true).ok());
  json log = b;
  log["import"] = json::object();
  log["workload"]["arguments"] = json::object();
  EXPECT_TRUE(compare_sides({{"a", {a}}, {"b", {log}}}, false, false).ok())
      << "imported logs are matched by name";
}

TEST(Compare, ShowsWhatPausesWereTradedForEvenIfNobodyHasIt) {
  const auto set = compare_sides({{"a", {run("a")}}, {"b", {run("b", 2)}}, {"c", {run("c")}}}, true, false);
  ASSERT_TRUE(set.ok());
  ASSERT_EQ(set.value().comparisons.size(), 2U) << "each against the first";
  std::ostringstream out;
  print_comparison(out, set.value(), false);
  for (const char* words : {"allocation stalls", "degenerated collections", "assist, a mutator",
                            "time to stop, max", "peak resident", "lower-bound overhead", "geometric mean"}) {
    EXPECT_NE(out.str().find(words), std::string::npos) << words;
  }
  const json j = comparison_json(set.value());
  EXPECT_EQ(j["comparisons"][0]["a"], "b");
  for (const json& f : j["comparisons"][0]["facts"]) {
    if (f["name"] == "world stops, total") {
      EXPECT_DOUBLE_EQ(f["ratio"].get<double>(), 2);
    }
  }
}

TEST(Summary, ListsPausesByKindAndByCause) {
  json r = run("keel");
  for (json& t : r["pause_totals"]) {
    const auto each = t["total_ns"].get<int64_t>() / t["count"].get<int64_t>();
    t["histogram"]["buckets"] = {{each - 1, each + 1, t["count"]}};
  }
  r["pauses"][0]["cycle"] = 1;
  r["pauses"][1]["cycle"] = 2;
  r["cycles"][1]["cause"] = "System.gc()";
  r["pauses"][2]["cause"] = "Cleanup";
  std::ostringstream out;
  print_summary(out, {r}, false);
  const std::string text = out.str();
  EXPECT_NE(text.find("mark_termination  2  500 us  500 us  500 us  500 us  1.00 ms  the world"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("assist            6  133 us  200 us  200 us  300 us  1.00 ms  one mutator"),
            std::string::npos)
      << text;
  for (const char* cause : {"heap                  1  500 us", "System.gc()           1  500 us",
                            "Cleanup               1  700 us"}) {
    EXPECT_NE(text.find(cause), std::string::npos) << cause << "\n" << text;
  }
}

TEST(Summary, ListsTheWorstWindowsWithTheirCauses) {
  std::ostringstream out;
  print_summary(out, {run("keel")}, false);
  EXPECT_NE(out.str().find("mark_termination 50.0 %"), std::string::npos) << out.str();
  EXPECT_NE(out.str().find("other_stop 70.0 %"), std::string::npos) << out.str();
  EXPECT_NE(out.str().find("longest standstill 700 us"), std::string::npos) << out.str();
}

}  // namespace
}  // namespace keel
