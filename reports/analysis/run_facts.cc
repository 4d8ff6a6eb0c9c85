// Reading of figures from reports; see run_facts.h. A field that is absent makes the figure absent.
#include "reports/analysis/run_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "allocator/base/units.h"
#include "reports/analysis/nominal.h"
#include "reports/document/fields.h"
#include "reports/document/pause_kinds.h"

namespace keel {
namespace {

using nlohmann::json;
using Value = std::optional<double>;

double measured_seconds(const json& report) {
  const Value begin = number_at(report, "/run/measured/begin_ns");
  const Value end = number_at(report, "/run/measured/end_ns");
  return begin && end ? (*end - *begin) / 1e9 : 0;
}

// Sums or maxima over the pause totals of one kind; absent if the collector has no such kind at all.
template <typename Combine>
Value over_totals(const json& report, const char* kind, const char* field, Combine&& combine) {
  if (!report.contains("pause_totals")) return std::nullopt;
  Value result;
  for (const json& total : report["pause_totals"]) {
    if (total.value("kind", "") != kind) continue;
    result = combine(result.value_or(0), total.value(field, 0.0));
  }
  return result;
}
double plus(double a, double b) { return a + b; }
double maximum(double a, double b) { return std::max(a, b); }

// A stop of the world for the collector: safepoints of other operations (JVM) stand apart.
bool is_stop(const json& pause) {
  const std::string kind = pause.value("kind", "");
  return kind != "other_stop" && stops_world(kind);
}

std::vector<double> stops(const json& report, const char* field) {
  std::vector<double> values;
  if (!report.contains("pauses")) return values;
  for (const json& pause : report["pauses"]) {
    if (is_stop(pause) && pause.contains(field)) values.push_back(pause[field].get<double>());
  }
  std::sort(values.begin(), values.end());
  return values;
}

// Absent with fewer than one value beyond it: it would be the maximum under another name.
Value stop_quantile(const json& report, const char* field, double q) {
  const std::vector<double> values = stops(report, field);
  if (values.empty()) return std::nullopt;
  if (q > .99 && q < 1 && static_cast<double>(values.size()) * (1 - q) < 1) return std::nullopt;
  const auto rank = static_cast<size_t>(std::ceil(q * static_cast<double>(values.size())));
  return values[std::clamp<size_t>(rank, 1, values.size()) - 1];
}

Value cycle_median(const json& report, const char* pointer) {
  std::vector<double> values;
  if (!report.contains("cycles")) return std::nullopt;
  for (const json& cycle : report["cycles"]) {
    if (const Value v = number_at(cycle, pointer)) values.push_back(*v);
  }
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Collections that began in the measured part, per minute of it.
Value cycles_per_minute(const json& report) {
  const double seconds = measured_seconds(report);
  if (seconds <= 0 || !report.contains("cycles")) return std::nullopt;
  const double begin = *number_at(report, "/run/measured/begin_ns");
  const double end = *number_at(report, "/run/measured/end_ns");
  double n = 0;
  for (const json& cycle : report["cycles"]) {
    const double t = cycle.value("begin_ns", -1.0);
    if (t >= begin && t <= end) ++n;
  }
  return n * 60 / seconds;
}

Value gc_cpu_share(const json& report) { return number_at(report, "/memstats/GCCPUFraction"); }

Value requests_per_second(const json& report) {
  const double seconds = measured_seconds(report);
  const Value n = number_at(report, "/latency/simple/count");
  return n && seconds > 0 ? Value(*n / seconds) : std::nullopt;
}

Value cpu_seconds_per_request(const json& report) {
  const Value user = number_at(report, "/run/user_cpu_ns");
  const Value system = number_at(report, "/run/system_cpu_ns");
  const Value operations = number_at(report, "/run/operations");
  if (!user || !system || !operations || *operations <= 0) return std::nullopt;
  return (*user + *system) / *operations;
}

Fact field(const char* name, Unit unit, Better better, const char* group, const char* pointer) {
  return {name, unit, better, group, [pointer](const json& r) { return number_at(r, pointer); }};
}

// Of one kind of interruption, over all mutators or a mutator.
Value total_a_mutator(const json& report, const char* kind) {
  const Value total = over_totals(report, kind, "total_ns", plus);
  const Value threads = number_at(report, "/workload/threads");
  return total && threads && *threads > 0 ? Value(*total / *threads) : std::nullopt;
}

// One window of the list that the report holds; absent if it has none of that length.
Value of_window(const json& report, const char* list, int64_t window_ns, const char* field) {
  const json::json_pointer p(list);
  if (!report.contains(p) || !report[p].is_array()) return std::nullopt;
  for (const json& row : report[p]) {
    if (row.value("window_ns", int64_t{0}) == window_ns && row.contains(field))
      return row[field].get<double>();
  }
  return std::nullopt;
}
Value of_last_window(const json& report, const char* list, const char* field) {
  const json::json_pointer p(list);
  if (!report.contains(p) || !report[p].is_array() || report[p].empty()) return std::nullopt;
  const json& row = report[p].back();
  return row.contains(field) ? Value(row[field].get<double>()) : std::nullopt;
}

void add_collections(std::vector<Fact>& f) {
  using enum Unit;
  using enum Better;
  f.push_back({"collections", kCount, kNeither, "collections", [](const json& r) {
                 return r.contains("cycles") ? Value(static_cast<double>(r["cycles"].size())) : std::nullopt;
               }});
  f.push_back({"collections per minute", kCount, kLower, "collections", cycles_per_minute});
  f.push_back({"mark, median", kNanoseconds, kLower, "collections",
               [](const json& r) { return cycle_median(r, "/durations_ns/mark"); }});
}

// Pauses never stand alone: what one collector does in a stop another does in assists or stalls.
void add_pauses(std::vector<Fact>& f) {
  using enum Unit;
  using enum Better;
  f.push_back({"world stops", kCount, kNeither, "pauses", [](const json& r) -> Value {
                 if (!r.contains("cycles") || r["cycles"].empty()) return std::nullopt;
                 return static_cast<double>(stops(r, "duration_ns").size());
               }});
  for (const auto& [name, q] : {std::pair{"p50", .5}, std::pair{"p95", .95}, std::pair{"p99", .99},
                                std::pair{"p99.9", .999}, std::pair{"max", 1.0}}) {
    f.push_back({std::string("world stop, ") + name, kNanoseconds, kLower, "pauses",
                 [q = q](const json& r) { return stop_quantile(r, "duration_ns", q); }});
  }
  f.push_back({"world stops, total", kNanoseconds, kLower, "pauses", [](const json& r) -> Value {
                 const std::vector<double> values = stops(r, "duration_ns");
                 if (values.empty()) return std::nullopt;
                 double sum = 0;
                 for (double v : values) sum += v;
                 return sum;
               }});
  f.push_back({"time to stop, p50", kNanoseconds, kLower, "pauses",
               [](const json& r) { return stop_quantile(r, "time_to_stop_ns", .5); }});
  f.push_back({"time to stop, max", kNanoseconds, kLower, "pauses",
               [](const json& r) { return stop_quantile(r, "time_to_stop_ns", 1); }});
  for (const char* kind : {"assist", "handshake", "sweep"}) {
    f.push_back({std::string(kind) + ", a mutator", kNanoseconds, kLower, "pauses",
                 [kind](const json& r) { return total_a_mutator(r, kind); }});
    f.push_back({std::string(kind) + ", max", kNanoseconds, kLower, "pauses",
                 [kind](const json& r) { return over_totals(r, kind, "max_ns", maximum); }});
  }
  for (const auto& [kind, name] :
       {std::pair{"allocation_stall", "allocation stall"}, std::pair{"relocation_stall", "relocation stall"},
        std::pair{"degenerated", "degenerated collection"}, std::pair{"full", "full collection"},
        std::pair{"other_stop", "other safepoint"}}) {
    f.push_back({name + std::string("s"), kCount, kLower, "pauses",
                 [kind = kind](const json& r) { return over_totals(r, kind, "count", plus); }});
    f.push_back({name + std::string("s, total"), kNanoseconds, kLower, "pauses",
                 [kind = kind](const json& r) { return over_totals(r, kind, "total_ns", plus); }});
    f.push_back({name + std::string(", max"), kNanoseconds, kLower, "pauses",
                 [kind = kind](const json& r) { return over_totals(r, kind, "max_ns", maximum); }});
  }
}

void add_latency(std::vector<Fact>& f) {
  using enum Unit;
  using enum Better;
  for (const auto& [name, window] :
       {std::pair{"1 ms", int64_t{1'000'000}}, std::pair{"10 ms", int64_t{10'000'000}},
        std::pair{"100 ms", int64_t{100'000'000}}}) {
    f.push_back({std::string("MMU, ") + name, kShare, kHigher, "utilisation",
                 [window = window](const json& r) { return of_window(r, "/mmu", window, "utilization"); }});
    f.push_back(
        {std::string("MMU, ") + name + ", assists left out", kShare, kHigher, "utilisation",
         [window = window](const json& r) { return of_window(r, "/mmu", window, "without_assists"); }});
  }
  f.push_back({"BMU, 100 ms", kShare, kHigher, "utilisation",
               [](const json& r) { return of_window(r, "/mmu", 100'000'000, "bounded"); }});
  f.push_back({"mutators' share", kShare, kHigher, "utilisation",
               [](const json& r) { return of_last_window(r, "/mmu", "utilization"); }});
  f.push_back(field("request, p50", kNanoseconds, kLower, "latency", "/latency/simple/p50_ns"));
  f.push_back(field("request, p99", kNanoseconds, kLower, "latency", "/latency/simple/p99_ns"));
  f.push_back(field("request, p99.9", kNanoseconds, kLower, "latency", "/latency/simple/p99_9_ns"));
  f.push_back(field("request, p99.99", kNanoseconds, kLower, "latency", "/latency/simple/p99_99_ns"));
  f.push_back(field("request, max", kNanoseconds, kLower, "latency", "/latency/simple/max_ns"));
  f.push_back({"metered over 100 ms, p99", kNanoseconds, kLower, "latency",
               [](const json& r) { return of_window(r, "/latency/metered", 100'000'000, "p99_ns"); }});
  f.push_back({"metered over 100 ms, p99.9", kNanoseconds, kLower, "latency",
               [](const json& r) { return of_window(r, "/latency/metered", 100'000'000, "p99_9_ns"); }});
  f.push_back({"metered over the run, p99", kNanoseconds, kLower, "latency",
               [](const json& r) { return of_last_window(r, "/latency/metered", "p99_ns"); }});
  f.push_back(
      field("machine's own stalls, p99.9", kNanoseconds, kNeither, "latency", "/latency/hiccup/p99_9_ns"));
  f.push_back(
      field("machine's own stalls, max", kNanoseconds, kNeither, "latency", "/latency/hiccup/max_ns"));
}

std::vector<Fact> make_facts() {
  using enum Unit;
  using enum Better;
  std::vector<Fact> f;
  add_collections(f);
  add_pauses(f);
  add_latency(f);
  f.push_back({"requests per second", kPerSecond, kHigher, "throughput", requests_per_second});
  f.push_back({"CPU per request", kNanoseconds, kLower, "throughput", cpu_seconds_per_request});
  f.push_back({"GC share of CPU", kShare, kLower, "throughput", gc_cpu_share});
  f.push_back({"live after mark, median", kBytes, kNeither, "memory",
               [](const json& r) { return cycle_median(r, "/heap_bytes/live"); }});
  f.push_back(field("resident before requests", kBytes, kLower, "memory", "/run/rss_start_bytes"));
  f.push_back(field("resident at the end", kBytes, kLower, "memory", "/run/rss_end_bytes"));
  f.push_back(field("peak resident", kBytes, kLower, "memory", "/run/peak_rss_bytes"));
  f.push_back(field("virtual", kBytes, kNeither, "memory", "/run/virtual_bytes"));
  for (Fact& fact : nominal_facts()) f.push_back(std::move(fact));
  return f;
}

}  // namespace

const std::vector<Fact>& run_facts() {
  static const std::vector<Fact> facts = make_facts();
  return facts;
}

std::string show(const std::optional<double>& value, Unit unit) {
  if (!value) return "-";
  switch (unit) {
    case Unit::kCount:
      return *value >= 100 || *value == std::floor(*value) ? fmt::format("{:.0f}", *value)
                                                           : fmt::format("{:.1f}", *value);
    case Unit::kNanoseconds:
      return human_duration(*value);
    case Unit::kBytes:
      return human_size(*value);
    case Unit::kPerSecond:
      return *value >= 1e4 ? fmt::format("{:.0f} k/s", *value / 1e3) : fmt::format("{:.0f} /s", *value);
    case Unit::kRatio:
      return fmt::format("{:.3g}", *value);
    case Unit::kShare:
      return fmt::format("{:.1f} %", *value * 100);
  }
  return "-";
}

std::string run_label(const json& report) {
  const json collector = report.value("collector", json::object());
  std::string label = collector.value("name", "?");
  const uint64_t ballast = collector.value("ballast_bytes", uint64_t{0});
  if (ballast != 0) label += " +" + format_size(ballast);
  const int64_t gogc = collector.value("gogc_percent", int64_t{100});
  if (gogc != 100) label += " gogc " + std::to_string(gogc);
  return label;
}

}  // namespace keel
