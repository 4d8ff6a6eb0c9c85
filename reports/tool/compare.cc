// See compare.h.
#include "reports/tool/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "reports/analysis/lower_bound.h"
#include "reports/tool/summary.h"
#include "reports/tool/table.h"

namespace keel {
namespace {

using nlohmann::json;

// Shown even where nobody has them: a table that leaves them out would hide what a pause was traded for.
const std::set<std::string> kAlways = {"world stops",
                                       "world stop, p50",
                                       "world stop, p99",
                                       "world stop, max",
                                       "time to stop, max",
                                       "assist, a mutator",
                                       "assist, max",
                                       "allocation stalls",
                                       "allocation stalls, total",
                                       "degenerated collections",
                                       "GC share of CPU",
                                       "peak resident"};

// What sets the collector or the output and leaves the workload the same.
const std::set<std::string> kNotTheWorkload = {
    "collector",  "barrier",  "transitions",     "gogc",    "memory-limit",    "goal",
    "max-heap",   "assists",  "periodic",        "ballast", "mark-workers",    "mark-order",
    "huge-pages", "retain",   "roots",           "seed",    "report",          "events",
    "trace",      "gctrace",  "debug",           "quiet",   "sample-interval", "traceback",
    "anonymous",  "progress", "finalize-at-exit"};

constexpr double kSamplesForP999 = 1000;

ComparedFact compare_fact(const std::vector<const json*>& a, const std::vector<const json*>& b,
                          const Fact& fact) {
  auto values_of = [&](const std::vector<const json*>& side) {
    std::vector<double> values;
    for (const json* r : side) {
      if (const auto v = fact.read(*r)) values.push_back(*v);
    }
    return values;
  };
  ComparedFact c;
  c.fact = &fact;
  c.a = values_of(a);
  c.b = values_of(b);
  if (c.a.empty() || c.b.empty()) return c;
  if (median(c.b) > 0 && median(c.a) > 0) c.ratio = median(c.a) / median(c.b);
  c.interval = ratio_interval(c.a, c.b);
  c.p = mann_whitney_p(c.a, c.b);
  return c;
}

// Runs without enough values for a p99.9: the figure is refused, and why is said.
void note_refused(const std::vector<const json*>& side, const std::string& label,
                  std::vector<std::string>& notes) {
  double fewest_stops = 1e18;
  double fewest_requests = 1e18;
  for (const json* r : side) {
    for (const Fact& fact : run_facts()) {
      if (fact.name == "world stops") fewest_stops = std::min(fewest_stops, fact.read(*r).value_or(1e18));
    }
    const json::json_pointer count("/latency/simple/count");
    if (r->contains(count)) fewest_requests = std::min(fewest_requests, (*r)[count].get<double>());
  }
  for (const auto& [what, n] :
       {std::pair{"world stops", fewest_stops}, std::pair{"requests", fewest_requests}}) {
    if (n < kSamplesForP999) {
      notes.push_back(fmt::format("p99.9 of {} refused: {} has {:.0f} in a run, {:.0f} are needed", what,
                                  label, n, kSamplesForP999));
    }
  }
}

std::optional<double> mean_ratio(const Comparison& c) {
  std::vector<double> ratios;
  for (const ComparedFact& f : c.facts) {
    if (f.ratio && f.fact->better != Better::kNeither) {
      ratios.push_back(f.fact->better == Better::kLower ? *f.ratio : 1 / *f.ratio);
    }
  }
  if (ratios.empty()) return std::nullopt;
  return geometric_mean(ratios);
}

std::string with_interval(const std::vector<double>& values, Unit unit) {
  if (values.empty()) return "-";
  std::string text = show(median(values), unit);
  if (const auto i = median_interval(values))
    text += " [" + show(i->low, unit) + ", " + show(i->high, unit) + "]";
  return text;
}

std::optional<std::string> other_machine(const std::vector<Side>& sides) {
  std::string first;
  for (const Side& side : sides) {
    for (const json& r : side.reports) {
      const std::string machine = machine_of(r);
      if (first.empty()) first = machine;
      if (machine != first) return "'" + first + "' and '" + machine + "'";
    }
  }
  return std::nullopt;
}

using BySide = std::vector<std::vector<const json*>>;

Overhead overhead_of(const std::string& workload, const std::vector<Side>& sides, const BySide& runs) {
  Overhead out{workload, {}, {}};
  BySide present;
  for (size_t i = 0; i < sides.size(); ++i) {
    if (runs[i].empty()) continue;
    present.push_back(runs[i]);
    out.sides.push_back(sides[i].label);
  }
  for (const auto& [metric, metric_name] :
       {std::pair{CostMetric::kWall, "wall"}, std::pair{CostMetric::kCpu, "CPU"}}) {
    for (const auto& [work, work_name] : {std::pair{ExplicitWork::kWorldStops, "world stops"},
                                          std::pair{ExplicitWork::kAll, "all explicit work"}}) {
      if (auto values = lower_bound_overheads(present, metric, work)) {
        out.rows.emplace_back(std::string(metric_name) + ", " + work_name + " taken off", std::move(*values));
      }
    }
  }
  return out;
}

}  // namespace

std::string workload_key(const json& report) {
  const json& workload = report["workload"];
  std::string key = workload.value("name", "?");
  if (report.contains("import")) return key;
  const json arguments = workload.value("arguments", json::object());
  for (const auto& [name, value] : arguments.items()) {
    if (kNotTheWorkload.contains(name)) continue;
    key += " " + name + "=" + (value.is_string() ? value.get<std::string>() : value.dump());
  }
  return key;
}

Result<ComparisonSet> compare_sides(const std::vector<Side>& sides, bool against_first, bool anyway) {
  if (!anyway) {
    if (const auto machines = other_machine(sides))
      return Error{"runs of different machines: " + *machines + " (--anyway compares them)"};
  }
  // Runs by workload and side. What is imported has no arguments: it joins the workload of its name.
  std::map<std::string, BySide> by_workload;
  bool names_only = false;
  auto group = [&](bool by_name) {
    by_workload.clear();
    for (size_t i = 0; i < sides.size(); ++i) {
      for (const json& r : sides[i].reports) {
        const std::string key = by_name ? r["workload"].value("name", "?") : workload_key(r);
        auto [at, fresh] = by_workload.try_emplace(key, sides.size());
        at->second[i].push_back(&r);
      }
    }
  };
  auto shared = [&] {
    return std::any_of(by_workload.begin(), by_workload.end(), [](const auto& entry) {
      return std::count_if(entry.second.begin(), entry.second.end(),
                           [](const auto& runs) { return !runs.empty(); }) > 1;
    });
  };
  group(false);
  const bool imported = std::any_of(sides.begin(), sides.end(), [](const Side& s) {
    return std::any_of(s.reports.begin(), s.reports.end(),
                       [](const json& r) { return r.contains("import"); });
  });
  if (!shared() && (anyway || imported)) {
    names_only = true;
    group(true);
  }
  if (!shared() && anyway) {
    BySide all(sides.size());
    for (size_t i = 0; i < sides.size(); ++i) {
      for (const json& r : sides[i].reports) all[i].push_back(&r);
    }
    by_workload = {{"different workloads", all}};
  }
  if (!shared()) {
    std::string all;
    for (const auto& [key, runs] : by_workload) all += (all.empty() ? "'" : "' and '") + key;
    return Error{"runs of different workloads: " + all + "' (--anyway compares them)"};
  }

  ComparisonSet set;
  if (names_only)
    set.notes.push_back("arguments differ or are unknown: runs are matched by the workload's name");
  std::map<std::string, std::vector<double>> means;
  std::vector<std::string> mean_order;
  for (const auto& [key, runs] : by_workload) {
    const size_t others = against_first ? sides.size() : 2;
    bool any = false;
    for (size_t i = 1; i < others; ++i) {
      const size_t a = against_first ? i : 0;
      const size_t b = against_first ? 0 : 1;
      if (runs[a].empty() || runs[b].empty()) {
        if (!runs[a].empty() || !runs[b].empty()) {
          set.notes.push_back("'" + key + "' has no run of " + sides[runs[a].empty() ? a : b].label);
        }
        continue;
      }
      any = true;
      Comparison c;
      c.workload = key;
      c.a = sides[a].label;
      c.b = sides[b].label;
      c.runs_a = runs[a].size();
      c.runs_b = runs[b].size();
      for (const Fact& fact : run_facts()) {
        ComparedFact f = compare_fact(runs[a], runs[b], fact);
        if (!f.a.empty() || !f.b.empty() || kAlways.contains(fact.name)) c.facts.push_back(std::move(f));
      }
      note_refused(runs[a], c.a, c.notes);
      note_refused(runs[b], c.b, c.notes);
      if (const auto mean = mean_ratio(c)) {
        const std::string pair = c.a + " against " + c.b;
        if (!means.contains(pair)) mean_order.push_back(pair);
        means[pair].push_back(*mean);
      }
      set.comparisons.push_back(std::move(c));
    }
    if (any) {
      if (Overhead o = overhead_of(key, sides, runs); !o.rows.empty()) set.overheads.push_back(std::move(o));
    }
  }
  for (const std::string& pair : mean_order)
    set.geometric_means.emplace_back(pair, geometric_mean(means[pair]));
  return set;
}

void print_comparison(std::ostream& out, const ComparisonSet& set, bool markdown) {
  for (const Comparison& c : set.comparisons) {
    out << (markdown ? "### " : "") << c.workload << "\n\n";
    std::vector<Row> rows{{"", fmt::format("{} (n={})", c.a, c.runs_a),
                           fmt::format("{} (n={})", c.b, c.runs_b), "ratio", "95 %", "p"}};
    std::string group;
    for (const ComparedFact& f : c.facts) {
      if (!markdown && f.fact->group != group) {
        if (!group.empty()) rows.push_back(Row(6));
        group = f.fact->group;
      }
      rows.push_back(
          {f.fact->name, with_interval(f.a, f.fact->unit), with_interval(f.b, f.fact->unit),
           f.ratio ? fmt::format("{:.3f}", *f.ratio) : "-",
           f.interval ? fmt::format("{:.3f} … {:.3f}", f.interval->low, f.interval->high) : "-",
           !f.p ? "-" : (f.significant() ? fmt::format("{:.3f}", *f.p) : fmt::format("~ {:.3f}", *f.p))});
    }
    if (const auto mean = mean_ratio(c)) {
      rows.push_back(
          {"geometric mean (below 1: " + c.a + " is better)", "", "", fmt::format("{:.3f}", *mean), "", ""});
    }
    print_table(out, rows, markdown);
    out << "\n";
    for (const std::string& note : c.notes) out << (markdown ? "* " : "") << note << "\n";
  }
  for (const Overhead& o : set.overheads) {
    std::vector<Row> rows{{"lower-bound overhead: " + o.workload}};
    for (const std::string& side : o.sides) rows[0].push_back(side);
    for (const auto& [name, values] : o.rows) {
      Row row{name};
      for (const double v : values) row.push_back(fmt::format("{:.3f}", v));
      rows.push_back(std::move(row));
    }
    out << "\n";
    print_table(out, rows, markdown);
  }
  if (set.comparisons.size() > 1) {
    out << "\n";
    for (const auto& [pair, mean] : set.geometric_means) {
      out << "geometric mean over workloads, " << pair << fmt::format(": {:.3f}\n", mean);
    }
  }
  for (const std::string& note : set.notes) out << (markdown ? "* " : "") << note << "\n";
  out << "\nmedian [95 % interval from order statistics, n >= 6]; ratio of medians with bootstrap interval; "
         "p by "
         "Mann-Whitney; ~ not significant at 5 %\n";
}

json comparison_json(const ComparisonSet& set) {
  json out{{"comparisons", json::array()}, {"lower_bound_overheads", json::array()}, {"notes", set.notes}};
  for (const Comparison& c : set.comparisons) {
    json one{{"workload", c.workload}, {"a", c.a},           {"b", c.b},
             {"runs_a", c.runs_a},     {"runs_b", c.runs_b}, {"notes", c.notes},
             {"facts", json::array()}};
    for (const ComparedFact& f : c.facts) {
      json row{{"name", f.fact->name}, {"group", f.fact->group}, {"a", f.a}, {"b", f.b}};
      auto side = [&](const char* name, const std::vector<double>& values) {
        if (values.empty()) return;
        row[std::string("median_") + name] = median(values);
        if (const auto i = median_interval(values)) row[std::string("median_95_") + name] = {i->low, i->high};
      };
      side("a", f.a);
      side("b", f.b);
      if (f.ratio) row["ratio"] = *f.ratio;
      if (f.interval) row["ratio_95"] = {f.interval->low, f.interval->high};
      if (f.p) row["p"] = *f.p;
      one["facts"].push_back(std::move(row));
    }
    if (const auto mean = mean_ratio(c)) one["geometric_mean"] = *mean;
    out["comparisons"].push_back(std::move(one));
  }
  for (const Overhead& o : set.overheads) {
    json one{{"workload", o.workload}, {"sides", o.sides}, {"rows", json::array()}};
    for (const auto& [name, values] : o.rows) one["rows"].push_back({{"name", name}, {"values", values}});
    out["lower_bound_overheads"].push_back(std::move(one));
  }
  json means = json::object();
  for (const auto& [pair, mean] : set.geometric_means) means[pair] = mean;
  out["geometric_means"] = means;
  return out;
}

}  // namespace keel
