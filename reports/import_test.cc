// Importers: every collection line of every real sample is read and its figures are right by an independent
// count; the grammar's variants by version; the traps; and lines broken at random.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include "allocator/base/rng.h"
#include "reports/analysis/identities.h"
#include "reports/import/import.h"

namespace keel {
namespace {

using nlohmann::json;

std::string sample(const std::string& name) {
  std::ifstream file(std::string(KEEL_SAMPLES) + "/" + name);
  EXPECT_TRUE(file.good()) << name;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

json import_text(const std::string& text, const std::string& format = "auto") {
  std::istringstream in(text);
  Result<json> report = import_log(in, format, "");
  EXPECT_TRUE(report.ok()) << report.error();
  if (!report) return json::object();
  EXPECT_EQ(first_fault(report.value()), "");
  return std::move(report).value();
}

std::vector<std::smatch> matches(const std::string& text, const std::string& pattern,
                                 std::vector<std::string>& keep) {
  std::vector<std::smatch> found;
  const std::regex expression(pattern);
  std::istringstream in(text);
  keep.clear();
  for (std::string line; std::getline(in, line);) keep.push_back(line);
  for (const std::string& line : keep) {
    std::smatch match;
    if (std::regex_search(line, match, expression)) found.push_back(match);
  }
  return found;
}

std::map<std::string, int> kinds(const json& report) {
  std::map<std::string, int> counts;
  for (const json& p : report["pauses"]) ++counts[p["kind"].get<std::string>()];
  return counts;
}

const char* const kSamples[] = {"boehm-8.2.2-GC_PRINT_STATS.log",
                                "boehm-8.2.2-GC_PRINT_VERBOSE_STATS.log",
                                "boehm-8.2.2-events.txt",
                                "boehm-8.2.2-incremental.log",
                                "gctrace-go1.19.8.txt",
                                "gctrace-go1.22.6.txt",
                                "gctrace-go1.24.0.txt",
                                "jdk17-G1-pressure.log",
                                "jdk17-G1.log",
                                "jdk17-Parallel.log",
                                "jdk17-Serial.log",
                                "jdk17-Shenandoah-pressure.log",
                                "jdk17-Shenandoah.log",
                                "jdk17-Z-pressure.log",
                                "jdk17-Z.log"};

TEST(Import, NoLineOfAnySampleIsLost) {
  for (const char* name : kSamples) {
    const json report = import_text(sample(name));
    EXPECT_EQ(report["import"]["unread"], 0) << name << ": " << report["import"]["unread_lines"];
    EXPECT_EQ(report["import"]["lines"].get<int>(),
              report["import"]["read"].get<int>() + report["import"]["ignored"].get<int>());
    EXPECT_FALSE(report["cycles"].empty()) << name;
  }
}

TEST(Import, GctraceFiguresAreTheLogs) {
  for (const char* name : {"gctrace-go1.19.8.txt", "gctrace-go1.22.6.txt", "gctrace-go1.24.0.txt"}) {
    const std::string text = sample(name);
    const json report = import_text(text);
    std::vector<std::string> lines;
    const auto found = matches(
        text,
        R"(^gc (\d+) @([\d.]+)s (\d+)%: ([\d.]+)\+([\d.]+)\+([\d.]+) ms clock, ([\d.]+)\+([\d.]+)/([\d.]+)/([\d.]+)\+([\d.]+) ms cpu, (\d+)->(\d+)->(\d+) MB, (\d+) MB goal, )",
        lines);
    ASSERT_EQ(report["cycles"].size(), found.size()) << name;
    for (size_t i = 0; i < found.size(); ++i) {
      const json& c = report["cycles"][i];
      auto number = [&](size_t group) { return std::stod(found[i][group].str()); };
      EXPECT_NEAR(c["begin_ns"].get<double>(), number(2) * 1e9, 1e6) << name << " " << i;
      EXPECT_NEAR(c["durations_ns"]["mark"].get<double>(), number(5) * 1e6, 1);
      EXPECT_NEAR(c["cpu_ns"]["assist"].get<double>(), number(8) * 1e6, 1);
      EXPECT_NEAR(c["cpu_ns"]["idle"].get<double>(), number(10) * 1e6, 1);
      EXPECT_EQ(c["heap_bytes"]["live"].get<double>(), number(14) * 1048576);
      EXPECT_EQ(c["heap_bytes"]["goal"].get<double>(), number(15) * 1048576);
    }
    EXPECT_EQ(report["memstats"]["NumGC"].get<size_t>(), found.size());
  }
}

TEST(Import, GctraceOfEveryVersion) {
  // 1.5: five phases; 1.6 to 1.17: no stacks and globals; today's, behind a program's own output.
  const json report = import_text(
      "gc 1 @0.038s 1%: 0.010+0.20+0.030+0.40+0.050 ms clock, 0.010+0.20+0+0.1/0.2/0.3+0.050 ms cpu, 4->5->1 "
      "MB, 5 MB goal, 8 P\n"
      "gc 2 @0.100s 2%: 0.026+1.2+0.013 ms clock, 0.10+0.5/1.1/0.3+0.05 ms cpu, 4->4->1 MB, 5 MB goal, 8 P "
      "(forced)\n"
      "hello gc 3 @0.200s 2%: 0.026+12+0.013 ms clock, 0.10+0.5/1.1/0.3+0.05 ms cpu, 4->4->1 MB, 5 MB goal, "
      "1 MB stacks, 2 MB globals, 8 P\n"
      "scvg0: inuse: 4, idle: 59, sys: 63, released: 0, consumed: 63 (MB)\n"
      "hello\n");
  ASSERT_EQ(report["cycles"].size(), 3U);
  EXPECT_EQ(report["cycles"][0]["durations_ns"]["mark"], 630'000);
  EXPECT_EQ(report["cycles"][0]["cpu_ns"]["background"], 200'000);
  EXPECT_EQ(report["cycles"][1]["trigger"], "forced");
  EXPECT_EQ(report["cycles"][2]["scanned_bytes"]["globals"], 2 << 20);
  EXPECT_EQ(report["import"]["unread"], 1);
  EXPECT_EQ(report["import"]["unread_lines"][0]["line"], 5);
  EXPECT_EQ(report["import"]["unread_lines"][0]["text"], "hello");
}

TEST(Import, JvmPausesAreTheLogs) {
  for (const char* name :
       {"jdk17-G1-pressure.log", "jdk17-G1.log", "jdk17-Parallel.log", "jdk17-Serial.log",
        "jdk17-Shenandoah-pressure.log", "jdk17-Shenandoah.log", "jdk17-Z-pressure.log", "jdk17-Z.log"}) {
    const std::string text = sample(name);
    const json report = import_text(text);
    std::vector<std::string> lines;
    const auto pauses = matches(text, R"(GC\(\d+\) Pause .*?([\d.]+)ms$)", lines);
    double sum_ms = 0;
    for (const auto& m : pauses) sum_ms += std::stod(m[1].str());
    const auto safepoints = matches(text, R"(Safepoint ".*Reaching safepoint: (\d+) ns)", lines);
    const auto counts = kinds(report);
    int stops = 0;
    int stalls = 0;
    double total = 0;
    for (const auto& [kind, n] : counts) {
      (kind.ends_with("stall") ? stalls : stops) += n;
    }
    for (const json& p : report["pauses"]) {
      if (!p["kind"].get<std::string>().ends_with("stall") && p["kind"] != "other_stop") {
        total += p["duration_ns"].get<double>();
      }
    }
    EXPECT_EQ(stops - (counts.contains("other_stop") ? counts.at("other_stop") : 0),
              static_cast<int>(pauses.size()))
        << name;
    // Stops run from the request: at least as long as the pauses inside them.
    EXPECT_GE(total / 1e6, sum_ms - 0.001 * static_cast<double>(pauses.size())) << name;
    if (safepoints.empty()) {
      EXPECT_NEAR(total / 1e6, sum_ms, 0.001) << name;
    }
    EXPECT_EQ(stalls, static_cast<int>(matches(text, "(Allocation|Relocation) Stall \\(.*ms$", lines).size()))
        << name;
    const std::string collector = report["collector"]["name"];
    EXPECT_NE(std::string(name).find(collector), std::string::npos) << name << " " << collector;
  }
}

TEST(Import, TimesAreTheEndsOfPhasesAndSafepointsAddTheWayThere) {
  const json report = import_text(sample("jdk17-Z-pressure.log"));
  const json& first = report["pauses"][0];
  // Safepoint "ZMarkStart" ended at 263,835,256 ns: 3,926 to reach it.
  EXPECT_EQ(first["kind"], "initial_mark");
  EXPECT_EQ(first["time_to_stop_ns"], 3926);
  EXPECT_EQ(first["begin_ns"].get<int64_t>() + first["duration_ns"].get<int64_t>(), 263'835'256);
}

TEST(Import, JvmVariantsOfTheGrammar) {
  // Any decorations; JDK 25's generational ZGC; interleaved ids; degenerated collections; dates only.
  const json z = import_text(
      "[2026-11-22T23:19:50.000+0000][1.000s][1234][5678][info][gc          ] Using The Z Garbage Collector\n"
      "[2026-11-22T23:19:51.000+0000][2.000s][1234][5678][info][gc          ] GC(0) Minor Collection "
      "(Allocation Rate)\n"
      "[2026-11-22T23:19:51.001+0000][2.001s][1234][5678][info][gc,phases   ] GC(0) y: Pause Mark Start "
      "0.500ms\n"
      "[2026-11-22T23:19:51.001+0000][2.001s][1234][5678][info][safepoint   ] Safepoint \"ZMarkStartYoung\", "
      "Time since "
      "last: 100 ns, Reaching safepoint: 2000 ns, At safepoint: 500000 ns, Leaving safepoint: 1000 ns, "
      "Total: 503000 "
      "ns, Threads: 1 runnable, 12 total\n"
      "[2026-11-22T23:19:51.030+0000][2.030s][1234][5678][info][gc,phases   ] GC(0) y: Concurrent Mark "
      "20.000ms\n"
      "[2026-11-22T23:19:51.040+0000][2.040s][1234][5678][info][gc          ] GC(0) Minor Collection "
      "(Allocation Rate) "
      "8M(12%)->6M(9%) 0.040s\n"
      "[2026-11-22T23:19:52.000+0000][3.000s][1234][5678][info][gc          ] Allocation Stall (main) "
      "12.485ms\n");
  EXPECT_EQ(z["collector"]["name"], "Z");
  ASSERT_EQ(z["cycles"].size(), 1U);
  EXPECT_EQ(z["cycles"][0]["kind"], "young");
  EXPECT_EQ(z["cycles"][0]["cause"], "Allocation Rate");
  EXPECT_EQ(z["cycles"][0]["heap_bytes"]["end"], 6 << 20);
  EXPECT_EQ(z["run"]["started_unix_ns"], 1795389589000000000);
  EXPECT_EQ(kinds(z)["allocation_stall"], 1);
  EXPECT_EQ(z["pauses"][0]["time_to_stop_ns"], 2000);

  const json g1 = import_text(
      "[0.007s][info][gc] Using G1\n"
      "[1.000s][info][gc] GC(9) Concurrent Mark Cycle\n"
      "[1.100s][info][gc] GC(10) Pause Young (Mixed) (G1 Evacuation Pause) 6M->3M(64M) 8.000ms\n"
      "[1.200s][info][gc] GC(9) Pause Remark 6M->6M(64M) 1.500ms\n"
      "[1.300s][info][gc] GC(9) Concurrent Mark Cycle 300.000ms\n"
      "[1.400s][info][gc] GC(11) Pause Full (System.gc()) 6M->3M(64M) 9.000ms\n");
  ASSERT_EQ(g1["cycles"].size(), 3U);
  EXPECT_EQ(g1["cycles"][0]["kind"], "mixed");
  EXPECT_EQ(g1["cycles"][1]["number"], 10);
  EXPECT_EQ(g1["cycles"][1]["begin_ns"], 1'000'000'000);
  EXPECT_EQ(g1["cycles"][2]["trigger"], "forced");

  const json shenandoah = import_text(
      "[2026-11-22T23:19:50.445+0100][gc] Using Shenandoah\n"
      "[2026-11-22T23:19:51.445+0100][gc] GC(3) Pause Degenerated GC (Outside of Cycle) 43M->32M(48M) "
      "12.018ms\n"
      "[2026-11-22T23:19:51.545+0100][gc] Cancelling GC: Allocation Failure\n"
      "[2026-11-22T23:19:51.645+0100][gc] something nobody has seen\n");
  EXPECT_EQ(kinds(shenandoah)["degenerated"], 1);
  EXPECT_EQ(shenandoah["cycles"][0]["end_ns"], 1'000'000'000);
  EXPECT_EQ(shenandoah["import"]["unread"], 1);
}

TEST(Import, BoehmFiguresAreTheLogs) {
  for (const char* name : {"boehm-8.2.2-GC_PRINT_STATS.log", "boehm-8.2.2-GC_PRINT_VERBOSE_STATS.log",
                           "boehm-8.2.2-incremental.log"}) {
    const std::string text = sample(name);
    const json report = import_text(text);
    EXPECT_EQ(report["import"]["clock"], false);
    EXPECT_FALSE(report.contains("mmu")) << "a log without a clock has no utilisation";
    std::vector<std::string> lines;
    const auto stops = matches(text, R"(World-stopped marking took (\d+) ms (\d+) ns)", lines);
    ASSERT_EQ(report["pauses"].size(), stops.size()) << name;
    for (size_t i = 0; i < stops.size(); ++i) {
      EXPECT_EQ(report["pauses"][i]["duration_ns"].get<int64_t>(),
                std::stoll(stops[i][1].str()) * 1'000'000 + std::stoll(stops[i][2].str()));
    }
    EXPECT_EQ(report["cycles"].size(), matches(text, R"(^GC #\d+ freed)", lines).size()) << name;
  }
  const json events = import_text(sample("boehm-8.2.2-events.txt"));
  EXPECT_EQ(events["import"]["clock"], true);
  EXPECT_EQ(events["pauses"][1]["duration_ns"].get<int64_t>() / 1000, (4681'587 - 3564'356) / 1000);
  EXPECT_EQ(events["pauses"][1]["time_to_stop_ns"].get<int64_t>() / 1000, (3642'733 - 3564'356) / 1000);
}

TEST(Import, EventsOfAKilledRunBecomeAnIncompleteReport) {
  const std::string head =
      R"({"schema":"keel.events","schema_version":1,"started_unix_ns":5,"workload":{"name":"w","arguments":{},"seed":1,"threads":2},"collector":{"name":"keel"},"environment":{}})";
  const json report =
      import_text(head + "\n" + R"({"measured":{"begin_ns":10}})" + "\n" +
                  R"({"cycle":{"number":1,"kind":"full","trigger":"heap","begin_ns":100,"end_ns":200}})" +
                  "\n" + R"({"pause":{"kind":"assist","begin_ns":120,"duration_ns":30,"thread":1}})" + "\n" +
                  R"({"sample":{"at_ns":150,"rss_bytes":4096}})" + "\n" + R"({"cycle":{"number":2,"ki)");
  EXPECT_EQ(report["complete"], false);
  EXPECT_EQ(report["workload"]["name"], "w");
  EXPECT_EQ(report["run"]["measured"]["end_ns"], 200);
  EXPECT_EQ(report["cycles"].size(), 1U);
  EXPECT_EQ(report["import"]["unread"], 1);
}

TEST(Import, RefusesWhatIsNoLog) {
  std::istringstream in("nothing\nat all\n");
  EXPECT_FALSE(import_log(in, "auto", "").ok());
  std::istringstream empty("");
  EXPECT_FALSE(import_log(empty, "auto", "").ok());
  std::istringstream other("x");
  EXPECT_FALSE(import_log(other, "klingon", "").ok());
}

TEST(Import, BrokenLinesNeverBreakTheReport) {
  const uint64_t seed = 11;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Rng rng(seed);
  const char* const kFormats[] = {"boehm", "boehm", "boehm", "boehm", "gctrace", "gctrace", "gctrace", "jvm",
                                  "jvm",   "jvm",   "jvm",   "jvm",   "jvm",     "jvm",     "jvm"};
  for (size_t s = 0; s < std::size(kSamples); ++s) {
    const std::string text = sample(kSamples[s]);
    for (int round = 0; round < 20; ++round) {
      std::string broken = text;
      for (int i = 0; i < 200; ++i) {
        const size_t at = rng.below(broken.size());
        switch (rng.below(4)) {
          case 0:
            broken[at] = static_cast<char>(rng.below(256));
            break;
          case 1:
            broken.erase(at, rng.below(20));
            break;
          case 2:
            broken.insert(at, "99999999999999999999");
            break;
          default:
            broken.insert(at, broken.substr(rng.below(broken.size()), 10));
            break;
        }
      }
      import_text(broken, kFormats[s]);
    }
  }
}

TEST(Import, NumbersThatDoNotFitAreNotUnderstoodAndTheRestIs) {
  const std::string line =
      "gc 2 @1.000s 2%: 0.026+0.39+0.10 ms clock, 0.21+0.88/0.52/0.22+0.84 ms cpu, 4->4->0 MB, 5 MB goal, 8 "
      "P\n";
  const std::string heap =
      "gc 3 @2.000s 2%: 0.026+0.39+0.10 ms clock, 0.21+0.88/0.52/0.22+0.84 ms cpu, "
      "9223372036854775807->4->0 MB, 5 MB goal, 8 P\n";
  const std::string phase =
      "gc 3 @2.000s 2%: 99999999999999+0.39+0.10 ms clock, 0.21+0.88/0.52/0.22+0.84 ms cpu, "
      "4->4->0 MB, 5 MB goal, 8 P\n";
  const json report = import_text(line + heap + phase, "gctrace");
  EXPECT_EQ(report["cycles"].size(), 1U);
  EXPECT_EQ(report["import"]["unread"], 2);
}

TEST(Import, PausesWhoseSumDoesNotFitAreDroppedAndCounted) {
  std::string log;
  for (int i = 0; i < 40; ++i)
    log += "[300000000.000s][info][gc] GC(" + std::to_string(i) + ") Pause Full 300000000s\n";
  const json report = import_text(log, "jvm");
  EXPECT_GT(report["events"]["dropped"], 0);
  EXPECT_EQ(report["events"]["dropped"].get<size_t>() + report["pauses"].size(), 40U);
}

TEST(Import, EventsTellInTheOldLogOfBoehmsDoNotTurnTimeBack) {
  import_text(
      "5.0 us START\n6.0 us PRE_STOP_WORLD\n--> Marking for collection #1 after 0 allocated bytes\n"
      "7.0 us START\nGC #1 freed 0 bytes, heap 76 KiB (+ 0 KiB unmapped + 244 KiB internal)\n"
      "Complete collection took 0 ms 1 ns\n9.0 us POST_START_WORLD\n1.0 us MARK_END\n9.5 us END\n",
      "boehm");
}

TEST(Import, EventsThatNoRunWritesAreNotUnderstood) {
  const std::string head =
      R"({"schema":"keel.events","schema_version":1,"workload":{"name":7},"collector":[]})";
  const std::string good = R"({"cycle":{"number":1,"kind":"full","trigger":"heap","begin_ns":5,"end_ns":9}})";
  const char* const bad[] = {
      R"({"cycle":{"number":2,"kind":"full","trigger":"heap","begin_ns":9,"end_ns":8}})",
      R"({"cycle":{"number":1,"kind":"full","trigger":"heap","begin_ns":10,"end_ns":11}})",
      R"({"cycle":{"number":3,"kind":"full","trigger":"heap","begin_ns":10,"end_ns":11,"surprise":1}})",
      R"({"cycle":{"number":4,"kind":"full","trigger":"moon","begin_ns":10,"end_ns":11}})",
      R"({"sample":{"at_ns":9223372036854775807}})",
      R"({"pause":{"kind":"assist","begin_ns":1,"duration_ns":2,"time_to_stop_ns":3}})",
      R"({"pause":{"kind":"nap","begin_ns":1,"duration_ns":2}})",
  };
  std::string log = head + "\n" + good + "\n";
  for (const char* line : bad) log += std::string(line) + "\n";
  log += R"({"cycle":{"x":)" + std::string(5000, '[') + std::string(5000, ']') + "}}\n";
  const json report = import_text(log, "events");
  EXPECT_EQ(report["cycles"].size(), 1U);
  EXPECT_EQ(report["import"]["unread"], std::size(bad) + 1);
}

}  // namespace
}  // namespace keel
