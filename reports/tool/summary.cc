// See summary.h.
#include "reports/tool/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "reports/analysis/run_facts.h"
#include "reports/analysis/utilization.h"
#include "reports/document/pause_kinds.h"
#include "reports/tool/table.h"

namespace keel {
namespace {

using nlohmann::json;

std::string duration(double ns) { return show(ns, Unit::kNanoseconds); }

// Of the totals of all threads, which have the same bucket edges: a quantile is the middle of its bucket.
struct KindTotals {
  std::map<double, double> buckets;  // middle -> count
  double count = 0;
  double total = 0;
  double max = 0;

  void add(const json& t) {
    for (const json& b : t["histogram"]["buckets"]) {
      buckets[(b[0].get<double>() + b[1].get<double>()) / 2] += b[2].get<double>();
    }
    count += t["count"].get<double>();
    total += t["total_ns"].get<double>();
    max = std::max(max, t["max_ns"].get<double>());
  }
  [[nodiscard]] double quantile(double q) const {
    double seen = 0;
    for (const auto& [middle, n] : buckets) {
      seen += n;
      if (seen >= q * count) return std::min(middle, max);
    }
    return max;
  }
};

void print_kinds(std::ostream& out, const json& report, bool markdown) {
  std::map<std::string, KindTotals> kinds;
  for (const json& t : report["pause_totals"]) kinds[t["kind"].get<std::string>()].add(t);
  if (kinds.empty()) return;
  std::vector<Row> rows{{"pauses by kind", "n", "p50", "p95", "p99", "max", "total", "of"}};
  for (const PauseKindInfo& kind : pause_kinds()) {
    const auto at = kinds.find(kind.name);
    if (at == kinds.end()) continue;
    const KindTotals& k = at->second;
    rows.push_back({kind.name, fmt::format("{:.0f}", k.count), duration(k.quantile(.5)),
                    duration(k.quantile(.95)), duration(k.quantile(.99)), duration(k.max), duration(k.total),
                    stops_world(kind.name) ? "the world" : "one mutator"});
  }
  out << "\n";
  print_table(out, rows, markdown, {0, 7});
}

// World stops by why their collection ran: the JVM's causes, else what triggered it.
void print_causes(std::ostream& out, const json& report, bool markdown) {
  std::map<int64_t, std::string> cause_of;
  for (const json& c : report["cycles"]) {
    cause_of[c["number"].get<int64_t>()] = c.value("cause", c["trigger"].get<std::string>());
  }
  struct Sum {
    double count = 0;
    double total = 0;
    double max = 0;
  };
  std::map<std::string, Sum> sums;
  for (const json& p : report["pauses"]) {
    if (!stops_world(p["kind"].get<std::string>())) continue;
    const auto at = cause_of.find(p.value("cycle", int64_t{0}));
    Sum& sum = sums[p.contains("cause")    ? p["cause"].get<std::string>()
                    : at != cause_of.end() ? at->second
                                           : "unknown"];
    const double ns = p["duration_ns"].get<double>();
    ++sum.count;
    sum.total += ns;
    sum.max = std::max(sum.max, ns);
  }
  if (sums.empty()) return;
  std::vector<Row> rows{{"world stops by cause", "n", "mean", "max", "total"}};
  for (const auto& [cause, sum] : sums) {
    rows.push_back({cause, fmt::format("{:.0f}", sum.count), duration(sum.total / sum.count),
                    duration(sum.max), duration(sum.total)});
  }
  out << "\n";
  print_table(out, rows, markdown);
}

// The single pauses that the report holds as a utilisation curve. All world stops are there; of the rest the
// longest 10,000, so windows are no worse than the report's own mmu says.
Utilization curve_of(const json& report) {
  const json run = report["run"];
  const json measured = run.value("measured", json::object());
  const int64_t begin = measured.value("begin_ns", int64_t{0});
  const int64_t end = measured.value("end_ns", run.value("wall_ns", int64_t{0}));
  const double threads = std::max(1.0, report["workload"].value("threads", 1.0));
  std::vector<Interruption> all;
  for (const json& p : report["pauses"]) {
    const std::string kind = p["kind"];
    const auto& kinds = pause_kinds();
    const auto cause = static_cast<uint32_t>(find_pause_kind(kind) - kinds.data());
    const int64_t from = p["begin_ns"].get<int64_t>();
    all.push_back({from, from + p["duration_ns"].get<int64_t>(), stops_world(kind) ? 1 : 1 / threads, cause});
  }
  return Utilization(std::move(all), begin, end);
}

void print_windows(std::ostream& out, const json& report, bool markdown) {
  if (report["pauses"].empty()) return;
  const Utilization curve = curve_of(report);
  std::vector<Row> rows{{"worst windows", "mutators had", "at", "taken by"}};
  for (const int64_t window :
       {int64_t{1'000'000}, int64_t{10'000'000}, int64_t{100'000'000}, int64_t{1'000'000'000}}) {
    if (window > curve.length_ns()) break;
    bool first = true;
    for (const Window& w : curve.worst(window, 2)) {
      const std::vector<double> shares = curve.causes(w);
      std::vector<std::pair<double, std::string>> causes;
      for (size_t i = 0; i < shares.size(); ++i) {
        if (shares[i] >= 0.001) causes.emplace_back(shares[i], pause_kinds()[i].name);
      }
      std::sort(causes.rbegin(), causes.rend());
      std::string text;
      for (const auto& [share, name] : causes) {
        text += (text.empty() ? "" : ", ") + name + fmt::format(" {:.1f} %", 100 * share);
      }
      rows.push_back(
          {first ? duration(static_cast<double>(window)) : "", fmt::format("{:.1f} %", 100 * w.utilization),
           fmt::format("{:.3f} s", static_cast<double>(w.begin_ns) / 1e9), text.empty() ? "nothing" : text});
      first = false;
    }
  }
  out << "\n";
  print_table(out, rows, markdown, {0, 3});
  out << (markdown ? "\n" : "") << "longest standstill "
      << duration(static_cast<double>(curve.longest_standstill_ns()));
  out << ", mutators' share of the whole " << fmt::format("{:.2f} %", 100 * curve.overall()) << "\n";
}

void print_latency(std::ostream& out, const json& report, bool markdown) {
  const json& latency = report["latency"];
  if (!latency.contains("metered") || !latency.contains("simple")) return;
  std::vector<Row> rows{{"latency, smoothed over", "p50", "p90", "p99", "p99.9", "p99.99", "max"}};
  auto add = [&](const std::string& name, const json& l) {
    Row row{name};
    for (const char* key : {"p50_ns", "p90_ns", "p99_ns", "p99_9_ns", "p99_99_ns", "max_ns"}) {
      row.push_back(l.contains(key) ? duration(l[key].get<double>()) : "-");
    }
    rows.push_back(std::move(row));
  };
  add("nothing (simple)", latency["simple"]);
  for (size_t i = 0; i < latency["metered"].size(); ++i) {
    const json& m = latency["metered"][i];
    const bool last = i + 1 == latency["metered"].size();
    add(last ? "the whole run" : duration(m["window_ns"].get<double>()), m);
  }
  if (latency.contains("hiccup")) add("the machine's own stalls", latency["hiccup"]);
  out << "\n";
  print_table(out, rows, markdown);
}

// The mutators that stops waited for last, most often first.
void print_delayers(std::ostream& out, const json& report) {
  std::map<int64_t, int> counts;
  int known = 0;
  for (const json& c : report["cycles"]) {
    const json::json_pointer slowest("/time_to_stop_ns/slowest_thread");
    if (!c.contains(slowest)) continue;
    ++counts[c[slowest].get<int64_t>()];
    ++known;
  }
  if (known == 0) return;
  std::map<int64_t, std::string> names;
  for (const json& t : report["threads"]) names[t["id"].get<int64_t>()] = t["name"].get<std::string>();
  std::vector<std::pair<int, int64_t>> order;
  for (const auto& [thread, count] : counts) order.emplace_back(count, thread);
  std::sort(order.rbegin(), order.rend());
  out << "\nstops waited last for";
  for (size_t i = 0; i < order.size() && i < 4; ++i) {
    const std::string name = names.contains(order[i].second) ? names[order[i].second] : "main or gone";
    out << (i == 0 ? " " : ", ") << name << " (thread " << order[i].second << ") " << order[i].first
        << " times";
  }
  out << ", of " << known << " cycles that waited for anybody\n";
}

void print_import(std::ostream& out, const json& report) {
  if (!report.contains("import")) return;
  const json& i = report["import"];
  out << "\nimported from " << i.value("format", "?") << ": " << i.value("lines", 0) << " lines, "
      << i.value("read", 0) << " read, " << i.value("ignored", 0) << " known and ignored, "
      << i.value("unread", 0) << " not understood\n";
}

}  // namespace

std::string machine_of(const json& report) {
  const json e = report.value("environment", json::object());
  return e.value("cpu_model", "?") + ", " + std::to_string(e.value("cores", 0)) + " cores, " +
         e.value("kernel", "?");
}

void print_summary(std::ostream& out, const std::vector<json>& reports, bool markdown) {
  Row head{"run"};
  for (const json& r : reports)
    head.push_back(run_label(r) + (r.value("complete", false) ? "" : " (incomplete)"));
  std::vector<Row> rows{head};
  std::string group;
  for (const Fact& fact : run_facts()) {
    Row row{fact.name};
    bool any = false;
    for (const json& r : reports) {
      const auto value = fact.read(r);
      any = any || value.has_value();
      row.push_back(show(value, fact.unit));
    }
    if (!any) continue;
    if (fact.group != group && !markdown) {
      group = fact.group;
      rows.push_back(Row(head.size()));
    }
    rows.push_back(row);
  }
  out << "workload " << reports[0]["workload"].value("name", "?") << ", " << machine_of(reports[0]) << "\n\n";
  print_table(out, rows, markdown);
  if (reports.size() != 1) return;
  print_kinds(out, reports[0], markdown);
  print_causes(out, reports[0], markdown);
  print_windows(out, reports[0], markdown);
  print_latency(out, reports[0], markdown);
  print_delayers(out, reports[0]);
  print_import(out, reports[0]);
}

}  // namespace keel
