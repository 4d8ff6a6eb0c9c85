// gcreport: what a run, or two sides of many runs, say. Subcommands: summary, compare, validate.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "reports/analysis/identities.h"
#include "reports/analysis/run_facts.h"
#include "reports/analysis/statistics.h"
#include "reports/recorder/build_facts.h"

namespace {

using namespace keel;
using nlohmann::json;

[[noreturn]] void bad_input(const std::string& message) {
  std::cerr << "gcreport: " << message << "\n";
  std::exit(2);
}

json read_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) bad_input("'" + path + "' cannot be read");
  json report = json::parse(file, nullptr, false);
  if (report.is_discarded()) bad_input("'" + path + "' is not JSON");
  return report;
}

// A report this tool may read figures from: right schema, right version.
json load(const std::string& path) {
  json report = read_file(path);
  if (!report.is_object() || report.value("schema", json()) != "keel.report")
    bad_input("'" + path + "' is not a keel.report");
  if (report.value("schema_version", json()) != 1)
    bad_input("'" + path + "' has another schema_version than 1");
  if (const std::string fault = first_fault(report); !fault.empty())
    bad_input("'" + path + "' is not valid: " + fault);
  return report;
}

using Row = std::vector<std::string>;

void print_table(const std::vector<Row>& rows, bool markdown) {
  std::vector<size_t> widths(rows[0].size(), 0);
  auto width = [](const std::string& s) {
    size_t n = 0;
    for (char c : s) n += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
    return n;
  };
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line = markdown ? "| " : "";
    for (size_t i = 0; i < rows[r].size(); ++i) {
      const std::string pad(widths[i] - width(rows[r][i]), ' ');
      line += i == 0 ? rows[r][i] + pad : pad + rows[r][i];
      if (i + 1 < rows[r].size()) line += markdown ? " | " : "  ";
    }
    while (!markdown && !line.empty() && line.back() == ' ') line.pop_back();
    std::cout << line << (markdown ? " |" : "") << "\n";
    if (markdown && r == 0) {
      std::cout << "|";
      for (size_t i = 0; i < widths.size(); ++i) std::cout << (i == 0 ? "---|" : "---:|");
      std::cout << "\n";
    }
  }
}

std::string machine_of(const json& report) {
  const json e = report.value("environment", json::object());
  return e.value("cpu_model", "?") + ", " + std::to_string(e.value("cores", 0)) + " cores, " +
         e.value("kernel", "?");
}

int summary(const std::vector<std::string>& files, bool markdown) {
  std::vector<json> reports;
  for (const std::string& file : files) reports.push_back(load(file));
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
  std::cout << "workload " << reports[0]["workload"].value("name", "?") << ", " << machine_of(reports[0])
            << "\n\n";
  print_table(rows, markdown);
  return 0;
}

struct Side {
  std::string label;
  std::vector<json> reports;
};

std::vector<double> values_of(const Side& side, const Fact& fact) {
  std::vector<double> values;
  for (const json& r : side.reports) {
    if (const auto v = fact.read(r)) values.push_back(*v);
  }
  return values;
}

std::string with_interval(const std::vector<double>& values, Unit unit) {
  if (values.empty()) return "-";
  std::string text = show(median(values), unit);
  if (const auto i = median_interval(values))
    text += " [" + show(i->low, unit) + ", " + show(i->high, unit) + "]";
  return text;
}

struct Comparison {
  std::vector<double> a;
  std::vector<double> b;
  std::optional<double> ratio;
  std::optional<Interval> interval;
  std::optional<double> p;
};

Comparison compare_fact(const Side& a, const Side& b, const Fact& fact) {
  Comparison c{values_of(a, fact), values_of(b, fact), {}, {}, {}};
  if (c.a.empty() || c.b.empty()) return c;
  if (median(c.b) > 0 && median(c.a) > 0) c.ratio = median(c.a) / median(c.b);
  c.interval = ratio_interval(c.a, c.b);
  c.p = mann_whitney_p(c.a, c.b);
  return c;
}

int compare(const Side& a, const Side& b, bool markdown, bool as_json) {
  std::vector<Row> rows{{"", a.label + " (n=" + std::to_string(a.reports.size()) + ")",
                         b.label + " (n=" + std::to_string(b.reports.size()) + ")", "ratio", "95 %", "p"}};
  json out{{"a", a.label}, {"b", b.label}, {"facts", json::array()}};
  std::vector<double> ratios;
  for (const Fact& fact : run_facts()) {
    const Comparison c = compare_fact(a, b, fact);
    if (c.a.empty() && c.b.empty()) continue;
    const bool significant = c.p && *c.p < 0.05;
    if (c.ratio && fact.better != Better::kNeither) {
      ratios.push_back(fact.better == Better::kLower ? *c.ratio : 1 / *c.ratio);
    }
    rows.push_back(
        {fact.name, with_interval(c.a, fact.unit), with_interval(c.b, fact.unit),
         c.ratio ? fmt::format("{:.3f}", *c.ratio) : "-",
         c.interval ? fmt::format("{:.3f} … {:.3f}", c.interval->low, c.interval->high) : "-",
         !c.p ? "-" : (significant ? fmt::format("{:.3f}", *c.p) : fmt::format("~ {:.3f}", *c.p))});
    json row{{"name", fact.name}, {"a", c.a}, {"b", c.b}};
    if (c.ratio) row["ratio"] = *c.ratio;
    if (c.interval) row["ratio_95"] = {c.interval->low, c.interval->high};
    if (c.p) row["p"] = *c.p;
    out["facts"].push_back(row);
  }
  if (!ratios.empty()) {
    rows.push_back({"geometric mean (below 1: " + a.label + " is better)", "", "",
                    fmt::format("{:.3f}", geometric_mean(ratios)), "", ""});
    out["geometric_mean"] = geometric_mean(ratios);
  }
  if (as_json) {
    std::cout << out.dump(1) << "\n";
    return 0;
  }
  print_table(rows, markdown);
  std::cout << "\nmedian [95 % interval from order statistics, n >= 6]; ratio of medians with bootstrap "
               "interval; p by "
               "Mann-Whitney; ~ not significant at 5 %\n";
  return 0;
}

void refuse_other_machines(const std::vector<const Side*>& sides, bool anyway) {
  std::string first;
  std::string workload;
  for (const Side* side : sides) {
    for (const json& r : side->reports) {
      const std::string machine = machine_of(r);
      if (first.empty()) first = machine;
      if (machine != first && !anyway)
        bad_input("runs of different machines: '" + first + "' and '" + machine +
                  "' (--anyway compares them)");
      const std::string name = r["workload"].value("name", "?");
      if (workload.empty()) workload = name;
      if (name != workload) bad_input("runs of different workloads: '" + workload + "' and '" + name + "'");
    }
  }
}

// The group of a report under --by: a few short names, or a JSON pointer.
std::string key_of(const json& report, const std::string& by) {
  static const std::map<std::string, std::string> kShort{
      {"collector", "/collector/name"},        {"gogc", "/collector/gogc_percent"},
      {"ballast", "/collector/ballast_bytes"}, {"barrier", "/collector/barrier"},
      {"threads", "/workload/threads"},        {"roots", "/collector/roots"}};
  const auto found = kShort.find(by);
  const std::string path = found != kShort.end() ? found->second : by;
  if (path.empty() || path[0] != '/')
    bad_input("option --by: '" + by +
              "' is not one of collector, gogc, ballast, barrier, threads, roots, or a JSON pointer");
  const json::json_pointer pointer(path);
  if (!report.contains(pointer)) return "absent";
  const json& value = report[pointer];
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("What runs say: summary, comparison with statistics, validation.", "gcreport");
  app.set_version_flag("--version", std::string("gcreport (keel ") + kVersion + ", commit " + kCommit + ")");
  app.require_subcommand(1);
  std::vector<std::string> files;
  std::vector<std::string> others;
  std::string by;
  bool markdown = false;
  bool as_json = false;
  bool anyway = false;
  CLI::App* summary_command = app.add_subcommand("summary", "one run on one screen; several side by side");
  summary_command->add_option("reports", files, "reports")->required();
  summary_command->add_flag("--markdown", markdown, "a Markdown table");
  CLI::App* compare_command = app.add_subcommand("compare", "any number of runs a side, with statistics");
  compare_command->add_option("reports", files, "runs of side A (or of all sides with --by)")->required();
  compare_command->add_option("--vs", others, "runs of side B");
  compare_command->add_option(
      "--by", by,
      "group by collector, gogc, ballast, barrier, threads, roots or a JSON pointer; each against the first");
  compare_command->add_flag("--markdown", markdown, "a Markdown table");
  compare_command->add_flag("--json", as_json, "JSON");
  compare_command->add_flag("--anyway", anyway, "even if the machines differ");
  CLI::App* validate_command =
      app.add_subcommand("validate", "against the schema and the identities between fields");
  validate_command->add_option("reports", files, "reports")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::Error& e) {
    bad_input(e.what());
  }
  try {
    if (*summary_command) return summary(files, markdown);
    if (*validate_command) {
      int status = 0;
      for (const std::string& file : files) {
        const std::string fault = first_fault(read_file(file));
        std::cout << file << ": " << (fault.empty() ? "valid" : fault) << "\n";
        if (!fault.empty()) status = 1;
      }
      return status;
    }
    if (others.empty() == by.empty()) bad_input("compare needs either --vs or --by");
    std::vector<Side> sides;
    if (!by.empty()) {
      for (const std::string& file : files) {
        json report = load(file);
        const std::string key = by + " " + key_of(report, by);
        auto at = std::find_if(sides.begin(), sides.end(), [&](const Side& s) { return s.label == key; });
        if (at == sides.end()) at = sides.insert(sides.end(), Side{key, {}});
        at->reports.push_back(std::move(report));
      }
      if (sides.size() < 2) bad_input("option --by: all runs have '" + sides[0].label + "'");
    } else {
      sides.resize(2);
      for (const std::string& file : files) sides[0].reports.push_back(load(file));
      for (const std::string& file : others) sides[1].reports.push_back(load(file));
      for (Side& side : sides) side.label = run_label(side.reports[0]);
      if (sides[0].label == sides[1].label) {
        sides[0].label += " (A)";
        sides[1].label += " (B)";
      }
    }
    std::vector<const Side*> all;
    for (const Side& side : sides) all.push_back(&side);
    refuse_other_machines(all, anyway);
    for (size_t i = 1; i < sides.size(); ++i) {
      if (i > 1) std::cout << "\n";
      compare(by.empty() ? sides[0] : sides[i], by.empty() ? sides[1] : sides[0], markdown, as_json);
    }
  } catch (const json::exception& e) {
    bad_input(std::string("a report lacks what is needed: ") + e.what());
  }
  return 0;
}
