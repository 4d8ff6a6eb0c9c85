// Exports against the rules of those who read them: Perfetto's trace processor (slices nest, asynchronous
// events pair up), RFC 4180, Go's benchmark format, HdrHistogram's text, OpenMetrics.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include "reports/export/export.h"
#include "reports/import/import.h"

namespace keel {
namespace {

using nlohmann::json;

json imported(const std::string& name) {
  std::ifstream file(std::string(KEEL_SAMPLES) + "/" + name);
  Result<json> report = import_log(file, "auto", "");
  EXPECT_TRUE(report.ok());
  return std::move(report).value();
}

std::string exported(const std::string& format, const json& report, const ExportOptions& options = {}) {
  std::ostringstream out;
  const Result<bool> done = export_reports(format, {report}, options, out);
  EXPECT_TRUE(done.ok()) << done.error();
  return out.str();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

const char* const kLogs[] = {"gctrace-go1.24.0.txt", "jdk17-G1-pressure.log", "jdk17-Z-pressure.log",
                             "jdk17-Shenandoah-pressure.log", "boehm-8.2.2-events.txt"};

// What trace_processor demands of legacy JSON.
void check_trace(const json& trace) {
  std::map<std::pair<int64_t, int64_t>, std::vector<double>> open;  // ends, innermost last
  std::map<std::pair<int64_t, int64_t>, double> last;
  std::map<std::tuple<std::string, std::string, int64_t>, int> async;
  for (const json& e : trace["traceEvents"]) {
    const std::string phase = e["ph"];
    if (phase == "M") continue;
    const double ts = e["ts"];
    ASSERT_GE(ts, 0);
    const std::pair<int64_t, int64_t> track{e["pid"], e["tid"]};
    if (phase == "X") {
      ASSERT_GE(ts, last[track]) << "slices of a track in order";
      last[track] = ts;
      const double end = ts + e["dur"].get<double>();
      auto& ends = open[track];
      while (!ends.empty() && ends.back() <= ts + 1e-6) ends.pop_back();
      ASSERT_TRUE(ends.empty() || end <= ends.back() + 1e-6) << "overlaps without nesting: " << e;
      ends.push_back(end);
    } else if (phase == "b" || phase == "e") {
      int& depth = async[{e["cat"], e["name"], e["id"]}];
      depth += phase == "b" ? 1 : -1;
      ASSERT_TRUE(depth == 0 || depth == 1) << e;
    } else {
      ASSERT_EQ(phase, "C");
      for (const auto& [key, value] : e["args"].items()) ASSERT_TRUE(value.is_number()) << e;
    }
  }
  for (const auto& [key, depth] : async) EXPECT_EQ(depth, 0);
}

TEST(Export, PerfettoSlicesNestAndAsyncEventsPair) {
  for (const char* log : kLogs) {
    const json report = imported(log);
    const json trace = json::parse(exported("perfetto", report));
    check_trace(trace);
    size_t slices = 0;
    for (const json& e : trace["traceEvents"]) {
      if (e["ph"] == "X" && e["name"] != "time to stop") ++slices;
      if (e["ph"] == "b" && e["cat"] == "overlapping") ++slices;
    }
    EXPECT_EQ(slices, report["pauses"].size()) << log;
  }
}

TEST(Export, PerfettoHasATrackForEachWorker) {
  json report = imported("gctrace-go1.24.0.txt");
  report["work"] = json::array();
  for (const auto& [worker, kind] : {std::pair{0, "dedicated"}, std::pair{1, "fractional"},
                                     std::pair{1, "idle"}, std::pair{0, "dedicated"}}) {
    const auto at = static_cast<int64_t>(report["work"].size()) * 1000;
    report["work"].push_back({{"cycle", 1},
                              {"worker", worker},
                              {"kind", kind},
                              {"begin_ns", at},
                              {"duration_ns", 500},
                              {"cpu_ns", 400}});
  }
  const json trace = json::parse(exported("perfetto", report));
  check_trace(trace);
  std::map<int64_t, int> slices;
  std::map<int64_t, std::string> names;
  for (const json& e : trace["traceEvents"]) {
    if (e["ph"] == "X" && e["name"].get<std::string>().starts_with("mark, "))
      ++slices[e["tid"].get<int64_t>()];
    if (e["name"] == "thread_name") names[e["tid"].get<int64_t>()] = e["args"]["name"];
  }
  ASSERT_EQ(slices.size(), 3U);
  std::map<std::string, int> by_name;
  for (const auto& [track, count] : slices) by_name[names[track]] = count;
  EXPECT_EQ(by_name, (std::map<std::string, int>{
                         {"mark worker 0", 2}, {"mark worker 1", 1}, {"idle-time worker 1", 1}}));
}

TEST(Export, PerfettoPutsWhatOverlapsOnAsyncTracks) {
  json report = imported("jdk17-Serial.log");
  const json pause{{"kind", "assist"}, {"thread", 3}};
  for (const auto& [begin, length] :
       {std::pair{100, 50}, std::pair{120, 10}, std::pair{140, 40}, std::pair{150, 5}}) {
    json p = pause;
    p["begin_ns"] = begin;
    p["duration_ns"] = length;
    report["pauses"].push_back(p);
  }
  const json trace = json::parse(exported("perfetto", report));
  check_trace(trace);
  int overlapping = 0;
  for (const json& e : trace["traceEvents"])
    overlapping += e["ph"] == "b" && e["cat"] == "overlapping" ? 1 : 0;
  EXPECT_EQ(overlapping, 1);
}

TEST(Export, CsvHasARowForEachAndAColumnForEvery) {
  json report = imported("jdk17-Shenandoah-pressure.log");
  report["cycles"][0]["cause"] = "says \"why\", twice";
  for (const char* table : {"cycles", "pauses", "samples"}) {
    ExportOptions options;
    options.table = table;
    const std::vector<std::string> lines = lines_of(exported("csv", report, options));
    ASSERT_EQ(lines.size(), report[table].size() + 1);
    for (const std::string& line : lines) {
      EXPECT_EQ(line.back(), '\r');
      // Commas outside quotes.
      bool quoted = false;
      int fields = 1;
      for (const char c : line) {
        if (c == '"') quoted = !quoted;
        if (c == ',' && !quoted) ++fields;
      }
      EXPECT_EQ(fields, std::count(lines[0].begin(), lines[0].end(), ',') + 1) << line;
    }
  }
  EXPECT_NE(exported("csv", report).find("\"says \"\"why\"\", twice\""), std::string::npos);
  std::ostringstream out;
  EXPECT_FALSE(export_csv(report, "soup", out).ok());
}

TEST(Export, BenchfmtIsGosGrammar) {
  std::ostringstream out;
  const json go = imported("gctrace-go1.24.0.txt");
  const json z = imported("jdk17-Z-pressure.log");
  ASSERT_TRUE(export_reports("benchfmt", {go, z}, {}, out).ok());
  const std::regex config(R"(^[a-z][^A-Z\s:]*: .+$)");
  const std::regex unit(R"(^Unit \S+( \S+=\S+)+$)");
  const std::regex result(R"(^Benchmark[A-Z]\S*(\s+[0-9]+)((\s+[0-9.e+-]+ \S+)+)$)");
  int results = 0;
  for (const std::string& line : lines_of(out.str())) {
    const bool is_result = std::regex_match(line, result);
    results += is_result ? 1 : 0;
    EXPECT_TRUE(is_result || std::regex_match(line, config) || std::regex_match(line, unit)) << line;
  }
  EXPECT_EQ(results, 2);
  EXPECT_NE(out.str().find("/collector=Z/"), std::string::npos);
  EXPECT_FALSE(export_reports("csv", {go, z}, {}, out).ok());
}

TEST(Export, HgrmCountsUpToAll) {
  const json report = imported("jdk17-Z-pressure.log");
  ExportOptions options;
  options.histogram = "allocation_stall";
  const std::vector<std::string> lines = lines_of(exported("hgrm", report, options));
  EXPECT_NE(lines[0].find("Value"), std::string::npos);
  EXPECT_EQ(lines[1], "");
  double last_value = 0;
  double last_share = 0;
  double count = 0;
  for (size_t i = 2; i < lines.size() && lines[i][0] != '#'; ++i) {
    double value = 0;
    double share = 0;
    std::istringstream(lines[i]) >> value >> share >> count;
    EXPECT_GT(value, last_value);
    EXPECT_GT(share, last_share);
    last_value = value;
    last_share = share;
  }
  EXPECT_EQ(last_share, 1);
  EXPECT_EQ(count, 23);
  options.histogram = "soup";
  std::ostringstream out;
  EXPECT_FALSE(export_reports("hgrm", {report}, options, out).ok());
}

TEST(Export, OpenMetricsIsItsGrammar) {
  const std::vector<std::string> lines = lines_of(exported("openmetrics", imported("gctrace-go1.24.0.txt")));
  const std::regex comment(
      R"(^# (TYPE [a-z_]+ (gauge|counter|summary|info)|UNIT [a-z_]+ (seconds|bytes)|HELP [a-z_]+ .+)$)");
  const std::regex value(R"(^[a-z_]+\{([a-z_]+="[^"]*",?)+\} [0-9.e+-]+$)");
  ASSERT_EQ(lines.back(), "# EOF");
  std::map<std::string, std::string> types;
  for (size_t i = 0; i + 1 < lines.size(); ++i) {
    EXPECT_TRUE(std::regex_match(lines[i], comment) || std::regex_match(lines[i], value)) << lines[i];
    std::smatch type;
    if (std::regex_match(lines[i], type, std::regex(R"(^# TYPE (\S+) (\S+)$)"))) {
      EXPECT_TRUE(types.emplace(type[1], type[2]).second) << "twice: " << lines[i];
    }
  }
  EXPECT_EQ(types["go_gc_cycles_total_gc_cycles"], "counter");
  EXPECT_EQ(types["go_gc_duration_seconds"], "summary");
}

}  // namespace
}  // namespace keel
