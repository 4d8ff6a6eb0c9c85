// Go's benchmark format (golang.org/design/14313-benchmark-format) with Unit lines, one line a run: what
// benchstat compares. Configuration stands in the name as /key=value, for -row, -col and -filter.
#include <fmt/format.h>

#include <array>
#include <cctype>

#include "reports/analysis/run_facts.h"
#include "reports/export/export.h"

namespace keel {
namespace {

using nlohmann::json;

// Units as x/benchmarks spells them where it has them; better= tells benchstat which way.
struct Column {
  const char* fact;
  const char* unit;
  const char* better;
};
constexpr std::array kColumns = {Column{"CPU per request", "cpu-ns/op", "lower"},
                                 Column{"request, p50", "P50-ns/op", "lower"},
                                 Column{"request, p99", "P99-ns/op", "lower"},
                                 Column{"request, p99.9", "P99.9-ns/op", "lower"},
                                 Column{"metered over the run, p99", "metered-P99-ns/op", "lower"},
                                 Column{"world stop, p50", "STW-P50-ns/GC", "lower"},
                                 Column{"world stop, max", "STW-max-ns/GC", "lower"},
                                 Column{"world stops, total", "STW-ns", "lower"},
                                 Column{"time to stop, max", "time-to-stop-max-ns", "lower"},
                                 Column{"assist, a mutator", "assist-ns/mutator", "lower"},
                                 Column{"allocation stalls, total", "stall-ns", "lower"},
                                 Column{"mark, median", "mark-ns/GC", "lower"},
                                 Column{"collections per minute", "GCs/min", "lower"},
                                 Column{"GC share of CPU", "GC-CPU-share", "lower"},
                                 Column{"live after mark, median", "live-bytes", "lower"},
                                 Column{"peak resident", "peak-RSS-bytes", "lower"}};

// No space ends the name, and no slash begins another key.
std::string word(std::string text) {
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7f || c == '/') c = '_';
  }
  return text;
}

// BenchmarkRequests/collector=keel/gogc=100/threads=2-2
std::string name_of(const json& report) {
  std::string name = word(report["workload"].value("name", "unknown"));
  name[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(name[0])));
  std::string text = "Benchmark" + name;
  const json& c = report["collector"];
  text += "/collector=" + word(c.value("name", "unknown"));
  for (const char* key : {"barrier", "transitions", "roots"}) {
    if (c.contains(key)) text += std::string("/") + key + "=" + word(c[key].get<std::string>());
  }
  if (c.contains("gogc_percent")) text += "/gogc=" + c["gogc_percent"].dump();
  if (c.value("ballast_bytes", 0) != 0) text += "/ballast=" + c["ballast_bytes"].dump();
  if (c.contains("max_heap_bytes")) text += "/maxheap=" + c["max_heap_bytes"].dump();
  text += "/threads=" + report["workload"].value("threads", json(1)).dump();
  return text + "-" + report["environment"].value("cores", json(1)).dump();
}

}  // namespace

Result<bool> export_benchfmt(const std::vector<json>& reports, std::ostream& out) {
  const json environment = reports[0].value("environment", json::object());
  out << "goos: linux\ngoarch: amd64\npkg: keel\n";
  if (environment.contains("cpu_model"))
    out << "cpu: " << environment["cpu_model"].get<std::string>() << "\n";
  if (environment.contains("commit")) out << "commit: " << environment["commit"].get<std::string>() << "\n";
  out << "Unit ns/op better=lower\n";
  for (const Column& c : kColumns) out << "Unit " << c.unit << " better=" << c.better << "\n";
  for (const json& report : reports) {
    const json operations = report["run"].value("operations", json(1));
    out << name_of(report) << "\t" << std::max<int64_t>(1, operations.get<int64_t>());
    const json& run = report["run"];
    const json latency = report["latency"].value("simple", json::object());
    if (run.contains("measured") && latency.value("count", 0) > 0) {
      const double ns = run["measured"]["end_ns"].get<double>() - run["measured"]["begin_ns"].get<double>();
      out << fmt::format("\t{:.6g} ns/op", ns / latency["count"].get<double>());
    } else {
      out << fmt::format("\t{:.6g} ns/op",
                         run["wall_ns"].get<double>() / std::max(1.0, operations.get<double>()));
    }
    for (const Column& c : kColumns) {
      for (const Fact& fact : run_facts()) {
        if (fact.name != c.fact) continue;
        if (const auto value = fact.read(report)) out << fmt::format("\t{:.6g} {}", *value, c.unit);
      }
    }
    out << "\n";
  }
  return true;
}

}  // namespace keel
