// See html_page.h. Text from reports is escaped wherever it lands: in markup, and in the JSON inside a
// script.
#include "reports/tool/html_page.h"

#include <fmt/format.h>

#include <map>
#include <regex>

#include "reports/document/pause_kinds.h"
#include "reports/page/page_parts.h"
#include "reports/recorder/build_facts.h"
#include "reports/tool/summary.h"

namespace keel {
namespace {

using nlohmann::json;

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// "</script>" in a string would end the element.
std::string for_script(const json& value) {
  const std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  std::string out;
  for (const char c : text) out += c == '<' ? std::string("\\u003c") : std::string(1, c);
  return out;
}

json run_json(const json& report, const std::string& label) {
  json run{{"label", label}};
  json pauses{{"begin", json::array()}, {"duration", json::array()}, {"kind", json::array()},
              {"cycle", json::array()}, {"reach", json::array()},    {"thread", json::array()}};
  for (const json& p : report["pauses"]) {
    pauses["begin"].push_back(p["begin_ns"]);
    pauses["duration"].push_back(p["duration_ns"]);
    pauses["kind"].push_back(find_pause_kind(p["kind"].get<std::string>()) - pause_kinds().data());
    pauses["cycle"].push_back(p.value("cycle", int64_t{0}));
    pauses["reach"].push_back(p.value("time_to_stop_ns", int64_t{-1}));
    pauses["thread"].push_back(p.value("thread", int64_t{0}));
  }
  run["pauses"] = std::move(pauses);
  json cycles = json::array();
  for (const json& c : report["cycles"]) {
    json cycle{{"number", c["number"]},
               {"kind", c["kind"]},
               {"trigger", c["trigger"]},
               {"begin", c["begin_ns"]},
               {"end", c["end_ns"]}};
    if (c.contains("heap_bytes")) {
      const json& heap = c["heap_bytes"];
      for (const auto& [name, key] :
           {std::pair{"heap", "begin"}, std::pair{"live", "live"}, std::pair{"goal", "goal"}}) {
        if (heap.contains(key)) cycle[name] = heap[key];
      }
    }
    cycles.push_back(std::move(cycle));
  }
  run["cycles"] = std::move(cycles);
  json samples{
      {"at", json::array()}, {"heap", json::array()}, {"goal", json::array()}, {"rss", json::array()}};
  for (const json& s : report["samples"]) {
    samples["at"].push_back(s["at_ns"]);
    samples["heap"].push_back(s.value("heap_bytes", json()));
    samples["goal"].push_back(s.value("heap_goal_bytes", json()));
    samples["rss"].push_back(s.value("rss_bytes", json()));
  }
  run["samples"] = std::move(samples);
  json mmu = json::array();
  for (const json& m : report.value("mmu", json::array())) mmu.push_back({m["window_ns"], m["utilization"]});
  run["mmu"] = std::move(mmu);
  return run;
}

json data_json(const std::vector<Side>& sides) {
  json runs = json::array();
  for (const Side& side : sides) {
    for (size_t i = 0; i < side.reports.size(); ++i) {
      const std::string number = side.reports.size() > 1 ? fmt::format(" #{}", i + 1) : "";
      runs.push_back(run_json(side.reports[i], side.label + number));
    }
  }
  json kinds = json::array();
  for (const PauseKindInfo& kind : pause_kinds()) kinds.push_back(kind.name);
  return {{"runs", std::move(runs)}, {"kinds", std::move(kinds)}};
}

// A cell of a side: the figure as text, the medians' exact value beside it for whoever reads the page.
std::string cell(const std::vector<double>& values, Unit unit) {
  if (values.empty()) return "<td>-</td>";
  std::string text = show(median(values), unit);
  if (const auto i = median_interval(values))
    text += " [" + show(i->low, unit) + ", " + show(i->high, unit) + "]";
  return fmt::format("<td data-value=\"{:.17g}\">{}</td>", median(values), escaped(text));
}

std::string comparison_table(const Comparison& c) {
  std::string html = fmt::format(
      "<h3>{}</h3><div class=\"tables\"><table><thead><tr><th></th><th>{} (n={})</th>"
      "<th>{} (n={})</th><th>ratio</th><th>95 %</th><th>p</th></tr></thead><tbody>\n",
      escaped(c.workload), escaped(c.a), c.runs_a, escaped(c.b), c.runs_b);
  std::string group;
  for (const ComparedFact& f : c.facts) {
    if (f.fact->group != group) {
      group = f.fact->group;
      html += "<tr class=\"group\"><td>" + escaped(group) + "</td></tr>\n";
    }
    html +=
        fmt::format("<tr{} data-fact=\"{}\"><td>{}</td>", f.p && !f.significant() ? " class=\"weak\"" : "",
                    escaped(f.fact->name), escaped(f.fact->name));
    html += cell(f.a, f.fact->unit) + cell(f.b, f.fact->unit);
    html += f.ratio ? fmt::format("<td>{:.3f}</td>", *f.ratio) : "<td>-</td>";
    html += f.interval ? fmt::format("<td>{:.3f} … {:.3f}</td>", f.interval->low, f.interval->high)
                       : "<td>-</td>";
    html += !f.p ? "<td>-</td>" : fmt::format("<td>{}{:.3f}</td>", f.significant() ? "" : "~ ", *f.p);
    html += "</tr>\n";
  }
  html += "</tbody></table></div>\n";
  for (const std::string& note : c.notes) html += "<p class=\"hint\">" + escaped(note) + "</p>\n";
  return html;
}

std::string tables(const ComparisonSet& set) {
  std::string html;
  for (const Comparison& c : set.comparisons) html += comparison_table(c);
  for (const Overhead& o : set.overheads) {
    html += "<h3>Lower-bound overhead: " + escaped(o.workload) +
            "</h3><div class=\"tables\"><table><thead><tr><th></th>";
    for (const std::string& side : o.sides) html += "<th>" + escaped(side) + "</th>";
    html += "</tr></thead><tbody>\n";
    for (const auto& [name, values] : o.rows) {
      html += "<tr><td>" + escaped(name) + "</td>";
      for (const double v : values) html += fmt::format("<td>{:.3f}</td>", v);
      html += "</tr>\n";
    }
    html += "</tbody></table></div>\n";
  }
  for (const std::string& note : set.notes) html += "<p class=\"hint\">" + escaped(note) + "</p>\n";
  return html;
}

std::string library_version() {
  const std::string text(kChartLibrary, std::min<size_t>(sizeof kChartLibrary - 1, 4000));
  std::smatch match;
  return std::regex_search(text, match, std::regex(R"([0-9]+\.[0-9]+\.[0-9]+)")) ? match.str() : "";
}

}  // namespace

Result<bool> write_html_page(std::ostream& out, const std::vector<Side>& sides, const ComparisonSet& set) {
  if (sizeof kChartLibrary == 1) {
    return Error{
        "option --html: built without the chart library (libjs-dygraphs); install it and build again"};
  }
  std::string title = sides[0].reports[0]["workload"].value("name", "?") + ":";
  for (size_t i = 0; i < sides.size(); ++i) title += (i == 0 ? " " : ", ") + sides[i].label;
  const std::map<std::string, std::string> parts = {{"TITLE", escaped(title)},
                                                    {"MACHINE", escaped(machine_of(sides[0].reports[0]))},
                                                    {"TABLES", tables(set)},
                                                    {"DATA", for_script(data_json(sides))},
                                                    {"CSS", kPageCss},
                                                    {"SCRIPT", kPageScript},
                                                    {"LIBRARY", kChartLibrary},
                                                    {"LIBRARY_CSS", kChartLibraryCss},
                                                    {"LIBRARY_VERSION", library_version()},
                                                    {"VERSION", kVersion}};
  // One pass, so that what is put in is not looked at again.
  const std::string page = kPageHtml;
  size_t at = 0;
  while (at < page.size()) {
    const size_t open = page.find('@', at);
    const size_t close = open == std::string::npos ? open : page.find('@', open + 1);
    if (close == std::string::npos) break;
    const auto part = parts.find(page.substr(open + 1, close - open - 1));
    if (part == parts.end()) {
      out << page.substr(at, open + 1 - at);
      at = open + 1;
      continue;
    }
    out << page.substr(at, open - at) << part->second;
    at = close + 1;
  }
  out << page.substr(at);
  return true;
}

}  // namespace keel
