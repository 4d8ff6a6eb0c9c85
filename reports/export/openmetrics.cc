// OpenMetrics text (the state at the end of the run) under the names of Go's Prometheus client, so that
// dashboards made for Go show it: go_gc_duration_seconds, go_memstats_*, go_gc_*, process_*.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "reports/document/pause_kinds.h"
#include "reports/export/export.h"

namespace keel {
namespace {

using nlohmann::json;

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

class MetricWriter {
 public:
  MetricWriter(std::ostream& out, std::string labels) : out_(out), labels_(std::move(labels)) {}

  void gauge(const std::string& name, const std::string& help, double value) {
    family(name, "gauge", help);
    sample(name, "", value);
  }
  void counter(const std::string& name, const std::string& help, double value) {
    family(name, "counter", help);
    sample(name + "_total", "", value);
  }
  void summary(const std::string& name, const std::string& help, std::vector<double> values) {
    family(name, "summary", help);
    std::sort(values.begin(), values.end());
    double sum = 0;
    for (const double v : values) sum += v;
    for (const double q : {0.0, 0.25, 0.5, 0.75, 1.0}) {
      if (values.empty()) break;
      const auto rank = static_cast<size_t>(std::ceil(q * static_cast<double>(values.size())));
      sample(name, fmt::format("quantile=\"{}\"", q), values[std::max<size_t>(1, rank) - 1]);
    }
    sample(name + "_sum", "", sum);
    sample(name + "_count", "", static_cast<double>(values.size()));
  }
  void info(const std::string& name, const std::string& help, const std::string& labels) {
    family(name, "info", help);
    sample(name + "_info", labels, 1);
  }
  void finish() { out_ << "# EOF\n"; }

 private:
  void family(const std::string& name, const char* type, const std::string& help) {
    out_ << "# TYPE " << name << " " << type << "\n";
    if (name.ends_with("_seconds")) out_ << "# UNIT " << name << " seconds\n";
    if (name.ends_with("_bytes")) out_ << "# UNIT " << name << " bytes\n";
    out_ << "# HELP " << name << " " << help << "\n";
  }
  void sample(const std::string& name, const std::string& more, double value) {
    const std::string labels = labels_ + (labels_.empty() || more.empty() ? "" : ",") + more;
    out_ << name << (labels.empty() ? "" : "{" + labels + "}") << " " << fmt::format("{:.17g}", value)
         << "\n";
  }
  std::ostream& out_;
  const std::string labels_;
};

}  // namespace

Result<bool> export_openmetrics(const json& report, std::ostream& out) {
  MetricWriter w(
      out, fmt::format("workload=\"{}\",collector=\"{}\"", escaped(report["workload"].value("name", "?")),
                       escaped(report["collector"].value("name", "?"))));
  std::vector<double> stops;
  for (const json& p : report["pauses"]) {
    if (stops_world(p["kind"].get<std::string>())) stops.push_back(p["duration_ns"].get<double>() / 1e9);
  }
  w.summary("go_gc_duration_seconds", "World stops of collections.", std::move(stops));
  const json m = report.value("memstats", json::object());
  auto has = [&](const char* key) { return m.contains(key) && m[key].is_number(); };
  auto gauge = [&](const char* key, const char* name, const char* help, double unit = 1) {
    if (has(key)) w.gauge(name, help, m[key].get<double>() * unit);
  };
  auto counter = [&](const char* key, const char* name, const char* help, double unit = 1) {
    if (has(key)) w.counter(name, help, m[key].get<double>() * unit);
  };
  counter("NumGC", "go_gc_cycles_total_gc_cycles", "Completed collections.");
  counter("NumForcedGC", "go_gc_cycles_forced_gc_cycles", "Collections that the program asked for.");
  gauge("HeapAlloc", "go_memstats_heap_alloc_bytes", "Allocated heap, not yet swept garbage included.");
  gauge("HeapSys", "go_memstats_heap_sys_bytes", "Heap obtained from the system.");
  gauge("HeapIdle", "go_memstats_heap_idle_bytes", "Heap in no span.");
  gauge("HeapInuse", "go_memstats_heap_inuse_bytes", "Heap in spans.");
  gauge("HeapReleased", "go_memstats_heap_released_bytes", "Heap given back to the system.");
  gauge("HeapObjects", "go_memstats_heap_objects", "Allocated objects.");
  gauge("NextGC", "go_memstats_next_gc_bytes", "Heap goal.");
  gauge("LastGC", "go_memstats_last_gc_time_seconds", "End of the last collection, Unix time.", 1e-9);
  gauge("GCCPUFraction", "go_memstats_gc_cpu_fraction", "Share of CPU time that the collector took.");
  gauge("Sys", "go_memstats_sys_bytes", "All memory obtained from the system.");
  counter("TotalAlloc", "go_memstats_alloc_bytes", "Bytes ever allocated.");
  counter("Mallocs", "go_memstats_mallocs", "Objects ever allocated.");
  counter("Frees", "go_memstats_frees", "Objects freed.");
  const json& collector = report["collector"];
  if (collector.contains("gogc_percent")) {
    w.gauge("go_gc_gogc_percent", "Heap growth that starts a collection.",
            collector["gogc_percent"].get<double>());
  }
  if (collector.contains("memory_limit_bytes")) {
    w.gauge("go_gc_gomemlimit_bytes", "Memory limit.", collector["memory_limit_bytes"].get<double>());
  }
  if (report.contains("finalization")) {
    w.counter("go_gc_finalizers_queued_finalizers", "Finalizers queued.",
              report["finalization"]["finalizers"]["queued"].get<double>());
    w.counter("go_gc_finalizers_executed_finalizers", "Finalizers run.",
              report["finalization"]["finalizers"]["executed"].get<double>());
  }
  double gc_cpu = 0;
  bool known = false;
  for (const json& c : report["cycles"]) {
    if (!c.contains("cpu_ns")) continue;
    known = true;
    for (const auto& [key, value] : c["cpu_ns"].items()) gc_cpu += value.get<double>() / 1e9;
  }
  if (known) w.counter("go_cpu_classes_gc_total_cpu_seconds", "CPU time of the collector.", gc_cpu);
  const json& run = report["run"];
  if (run.contains("user_cpu_ns") && run.contains("system_cpu_ns")) {
    w.counter("process_cpu_seconds", "CPU time of the process.",
              (run["user_cpu_ns"].get<double>() + run["system_cpu_ns"].get<double>()) / 1e9);
  }
  if (run.contains("rss_end_bytes")) {
    w.gauge("process_resident_memory_bytes", "Resident memory at the end.",
            run["rss_end_bytes"].get<double>());
  }
  if (run.contains("started_unix_ns")) {
    w.gauge("process_start_time_seconds", "Start, Unix time.", run["started_unix_ns"].get<double>() / 1e9);
  }
  w.info("keel_build", "What ran.",
         fmt::format("version=\"{}\",commit=\"{}\"", escaped(collector.value("version", "")),
                     escaped(report["environment"].value("commit", ""))));
  w.finish();
  return true;
}

}  // namespace keel
