// See nominal.h. Ratios are over collections of the measured part unless the name says otherwise.
#include "reports/analysis/nominal.h"

#include <algorithm>

#include "reports/document/fields.h"
#include "reports/document/pause_kinds.h"

namespace keel {
namespace {

using nlohmann::json;
using Value = std::optional<double>;

Value over(const Value& a, const Value& b) { return a && b && *b > 0 ? Value(*a / *b) : std::nullopt; }

std::vector<const json*> measured_cycles(const json& report) {
  std::vector<const json*> cycles;
  if (!report.contains("cycles")) return cycles;
  const double begin = number_at(report, "/run/measured/begin_ns").value_or(0);
  const double end = number_at(report, "/run/measured/end_ns").value_or(9e18);
  for (const json& c : report["cycles"]) {
    const double t = number_at(c, "/begin_ns").value_or(-1);
    if (t >= begin && t <= end) cycles.push_back(&c);
  }
  return cycles;
}

Value median_of(std::vector<double> values) {
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Over cycles; those that lack it are left out.
template <typename Read>
Value cycle_median(const json& report, Read&& read) {
  std::vector<double> values;
  for (const json* c : measured_cycles(report)) {
    if (const Value v = read(*c)) values.push_back(*v);
  }
  return median_of(std::move(values));
}

// Bytes allocated between the first and the last collection of the measured part, a microsecond.
Value allocation_rate(const json& report) {
  const std::vector<const json*> cycles = measured_cycles(report);
  if (cycles.size() < 2) return std::nullopt;
  const Value first = number_at(*cycles.front(), "/total_alloc_bytes");
  const Value last = number_at(*cycles.back(), "/total_alloc_bytes");
  const double microseconds =
      (*number_at(*cycles.back(), "/end_ns") - *number_at(*cycles.front(), "/end_ns")) / 1e3;
  return first && last && microseconds > 0 ? Value((*last - *first) / microseconds) : std::nullopt;
}

// Of what was in the heap when marking began and was not live after the collection before: how much lives.
Value survival(const json& report) {
  const std::vector<const json*> cycles = measured_cycles(report);
  std::vector<double> values;
  for (size_t i = 1; i < cycles.size(); ++i) {
    const Value before = number_at(*cycles[i - 1], "/heap_bytes/live");
    const Value live = number_at(*cycles[i], "/heap_bytes/live");
    const Value a = number_at(*cycles[i - 1], "/total_alloc_bytes");
    const Value b = number_at(*cycles[i], "/total_alloc_bytes");
    if (before && live && a && b && *b > *a)
      values.push_back(std::clamp((*live - *before) / (*b - *a), 0.0, 1.0));
  }
  return median_of(std::move(values));
}

// Marked beyond what the workload's closed form says lives, ballast left out: garbage that the collection
// kept because it died while marking ran, or was born then.
Value floating(const json& report) {
  const Value live = number_at(report, "/results/live_bytes");
  const double ballast = number_at(report, "/collector/ballast_bytes").value_or(0);
  if (!live) return std::nullopt;
  return cycle_median(report, [&](const json& c) -> Value {
    const Value marked = number_at(c, "/heap_bytes/live");
    return marked && c.value("trigger", "") == "heap" ? Value(std::max(0.0, *marked - ballast - *live))
                                                      : std::nullopt;
  });
}

// Of the words of all objects in the final heap, ballast and other pointer-free memory included.
Value pointer_density(const json& report) {
  double pointers = 0;
  double bytes = 0;
  for (const json& layout : report.value("heap_by_layout", json::array())) {
    if (!layout.contains("pointer_words")) return std::nullopt;
    pointers += layout["pointer_words"].get<double>();
    bytes += layout.value("used_bytes", 0.0);
  }
  return bytes > 0 ? Value(8 * pointers / bytes) : std::nullopt;
}

Value stop_share(const json& report) {
  if (!report.contains("pauses") || measured_cycles(report).empty()) return std::nullopt;
  const double begin = number_at(report, "/run/measured/begin_ns").value_or(0);
  const Value end = report.contains("/run/measured/end_ns"_json_pointer)
                        ? number_at(report, "/run/measured/end_ns")
                        : number_at(report, "/run/wall_ns");
  double stopped = 0;
  for (const json& p : report["pauses"]) {
    const std::string kind = p.value("kind", "");
    const double t = number_at(p, "/begin_ns").value_or(-1);
    if (kind != "other_stop" && stops_world(kind) && t >= begin && t <= end.value_or(0)) {
      stopped += number_at(p, "/duration_ns").value_or(0);
    }
  }
  return end && *end > begin ? Value(stopped / (*end - begin)) : std::nullopt;
}

}  // namespace

std::vector<Fact> nominal_facts() {
  using enum Unit;
  using enum Better;
  const char* group = "the workload's character";
  std::vector<Fact> f;
  f.push_back({"allocation, B/us [ARA]", kRatio, kNeither, group, allocation_rate});
  f.push_back({"mean object [AOA]", kBytes, kNeither, group, [](const json& r) {
                 return over(number_at(r, "/memstats/TotalAlloc"), number_at(r, "/memstats/Mallocs"));
               }});
  f.push_back({"turnover: allocated over live [GTO]", kRatio, kNeither, group, [](const json& r) {
                 return over(number_at(r, "/memstats/TotalAlloc"),
                             cycle_median(r, [](const json& c) { return number_at(c, "/heap_bytes/live"); }));
               }});
  f.push_back({"time in world stops [GCP]", kShare, kLower, group, stop_share});
  f.push_back({"survival of what was allocated", kShare, kNeither, group, survival});
  f.push_back({"floating garbage, median", kBytes, kLower, group, floating});
  f.push_back({"scanned of live", kShare, kNeither, group, [](const json& r) {
                 return cycle_median(r, [](const json& c) {
                   return over(number_at(c, "/scanned_bytes/heap"), number_at(c, "/heap_bytes/live"));
                 });
               }});
  f.push_back({"pointer density: words that are pointers", kShare, kNeither, group, pointer_density});
  f.push_back({"mean live object", kBytes, kNeither, group, [](const json& r) {
                 return cycle_median(r, [](const json& c) {
                   return over(number_at(c, "/heap_bytes/live"), number_at(c, "/marked_objects"));
                 });
               }});
  f.push_back({"shaded by the barrier, a us of marking", kRatio, kNeither, group, [](const json& r) {
                 return cycle_median(r, [](const json& c) -> Value {
                   const Value rate =
                       over(number_at(c, "/barrier/shaded"), number_at(c, "/durations_ns/mark"));
                   return rate ? Value(*rate * 1e3) : std::nullopt;
                 });
               }});
  f.push_back({"retained by conservative roots, median", kBytes, kLower, group, [](const json& r) {
                 return cycle_median(r, [](const json& c) { return number_at(c, "/roots/retained_bytes"); });
               }});
  f.push_back({"root words that led to an object", kShare, kNeither, group, [](const json& r) {
                 return cycle_median(r, [](const json& c) {
                   return over(number_at(c, "/roots/hits"), number_at(c, "/roots/words"));
                 });
               }});
  return f;
}

}  // namespace keel
