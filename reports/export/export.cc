// Formats by name, and the two that are plain tables: CSV and HdrHistogram's percentile text.
#include "reports/export/export.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <set>

namespace keel {
namespace {

using nlohmann::json;

// RFC 4180: quoted where a comma, a quote or a line end would break the row.
std::string field(const json& value) {
  if (value.is_null()) return "";
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

// "/heap_bytes/live" as "heap_bytes.live".
std::string column_name(std::string pointer) {
  pointer.erase(0, 1);
  for (char& c : pointer) {
    if (c == '/') c = '.';
  }
  return pointer;
}

struct NamedHistogram {
  std::string name;
  json buckets;  // [[lower, upper, count], ...] ascending
};

// All threads' histograms of one kind of pause have the same bucket edges: they add up.
json merged_totals(const json& report, const std::string& kind) {
  std::map<int64_t, std::pair<int64_t, int64_t>> sums;
  for (const json& total : report["pause_totals"]) {
    if (total["kind"] != kind) continue;
    for (const json& b : total["histogram"]["buckets"]) {
      auto& sum = sums[b[0].get<int64_t>()];
      sum.first = b[1].get<int64_t>();
      sum.second += b[2].get<int64_t>();
    }
  }
  json out = json::array();
  for (const auto& [lower, rest] : sums) out.push_back({lower, rest.first, rest.second});
  return out;
}

std::vector<NamedHistogram> histograms_of(const json& report) {
  std::vector<NamedHistogram> all;
  const json& latency = report["latency"];
  if (latency.contains("simple") && latency["simple"].contains("histogram")) {
    all.push_back({"requests", latency["simple"]["histogram"]["buckets"]});
  }
  if (latency.contains("metered") && !latency["metered"].empty() &&
      latency["metered"].back().contains("histogram")) {
    all.push_back({"metered", latency["metered"].back()["histogram"]["buckets"]});
  }
  std::set<std::string> seen;
  for (const json& total : report["pause_totals"]) {
    const std::string kind = total["kind"];
    if (seen.insert(kind).second) all.push_back({kind, merged_totals(report, kind)});
  }
  if (latency.contains("hiccup") && latency["hiccup"].contains("histogram")) {
    all.push_back({"hiccup", latency["hiccup"]["histogram"]["buckets"]});
  }
  return all;
}

}  // namespace

const std::vector<std::string>& export_formats() {
  static const std::vector<std::string> formats = {"perfetto", "csv", "benchfmt", "hgrm", "openmetrics"};
  return formats;
}

Result<bool> export_csv(const json& report, const std::string& table, std::ostream& out) {
  if (table != "cycles" && table != "pauses" && table != "samples") {
    return Error{"option --table: '" + table + "' is not one of cycles, pauses, samples"};
  }
  // Columns: every field that any row has, in order of appearance.
  std::vector<std::string> columns;
  std::set<std::string> known;
  for (const json& row : report[table]) {
    const json flat = row.flatten();
    for (const auto& [pointer, value] : flat.items()) {
      if (known.insert(pointer).second) columns.push_back(pointer);
    }
  }
  for (size_t i = 0; i < columns.size(); ++i) out << (i == 0 ? "" : ",") << field(column_name(columns[i]));
  out << "\r\n";
  for (const json& row : report[table]) {
    const json flat = row.flatten();
    for (size_t i = 0; i < columns.size(); ++i) {
      out << (i == 0 ? "" : ",") << (flat.contains(columns[i]) ? field(flat[columns[i]]) : "");
    }
    out << "\r\n";
  }
  return true;
}

// HdrHistogram's outputPercentileDistribution, values in milliseconds: what its plotFiles.html overlays. One
// row a bucket; a value is its bucket's upper end.
Result<bool> export_hgrm(const json& report, const std::string& histogram, std::ostream& out) {
  const std::vector<NamedHistogram> all = histograms_of(report);
  const NamedHistogram* chosen = nullptr;
  std::string names;
  for (const NamedHistogram& h : all) {
    names += (names.empty() ? "" : ", ") + h.name;
    if (chosen == nullptr && (histogram.empty() || h.name == histogram)) chosen = &h;
  }
  if (chosen == nullptr) {
    return Error{"option --histogram: '" + histogram + "' is not in the report; it has " +
                 (names.empty() ? "none" : names)};
  }
  double total = 0;
  double sum = 0;
  double squares = 0;
  double max = 0;
  for (const json& b : chosen->buckets) {
    const double middle = (b[0].get<double>() + b[1].get<double>()) / 2e6;
    const auto count = b[2].get<double>();
    total += count;
    sum += middle * count;
    squares += middle * middle * count;
    max = b[1].get<double>() / 1e6;
  }
  out << fmt::format("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount",
                     "1/(1-Percentile)");
  double seen = 0;
  for (const json& b : chosen->buckets) {
    seen += b[2].get<double>();
    const double share = seen / total;
    out << fmt::format("{:12.6f} {:2.12f} {:10.0f}", b[1].get<double>() / 1e6, share, seen);
    out << (share < 1 ? fmt::format(" {:14.2f}\n", 1 / (1 - share)) : "\n");
  }
  const double mean = total > 0 ? sum / total : 0;
  const double deviation = total > 0 ? std::sqrt(std::max(0.0, squares / total - mean * mean)) : 0;
  out << fmt::format("#[Mean    = {:12.6f}, StdDeviation   = {:12.6f}]\n", mean, deviation);
  out << fmt::format("#[Max     = {:12.6f}, Total count    = {:12.0f}]\n", max, total);
  out << fmt::format("#[Buckets = {:12}, SubBuckets     = {:12}]\n", 59, 32);
  return true;
}

Result<bool> export_reports(const std::string& format, const std::vector<json>& reports,
                            const ExportOptions& options, std::ostream& out) {
  if (format == "benchfmt") return export_benchfmt(reports, out);
  if (reports.size() != 1)
    return Error{"format " + format + " takes one report, not " + std::to_string(reports.size())};
  if (format == "perfetto") return export_perfetto(reports[0], out);
  if (format == "csv") return export_csv(reports[0], options.table, out);
  if (format == "hgrm") return export_hgrm(reports[0], options.histogram, out);
  if (format == "openmetrics") return export_openmetrics(reports[0], out);
  return Error{"no such format: '" + format + "'"};
}

}  // namespace keel
