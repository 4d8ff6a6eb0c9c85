// Schema and identities; see identities.h. valijson is a template library: this is its one place.
#include "reports/analysis/identities.h"

#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "reports/schema/report_schema.h"

namespace keel {
namespace {

using nlohmann::json;

std::string schema_fault(const json& report) {
  const json schema_json = json::parse(kReportSchema);
  valijson::Schema schema;
  valijson::SchemaParser parser;
  const valijson::adapters::NlohmannJsonAdapter schema_adapter(schema_json);
  parser.populateSchema(schema_adapter, schema);
  valijson::Validator validator;
  valijson::ValidationResults results;
  const valijson::adapters::NlohmannJsonAdapter target(report);
  if (validator.validate(schema, target, &results)) return {};
  // The last error pushed first names the innermost place.
  valijson::ValidationResults::Error error;
  std::string path;
  std::string what;
  while (results.popError(error)) {
    std::string at;
    for (const std::string& piece : error.context) {
      std::string key = piece;
      if (key == "<root>") continue;
      if (key.size() > 2 && key.front() == '[') key = key.substr(1, key.size() - 2);
      if (key.size() > 2 && key.front() == '"') key = key.substr(1, key.size() - 2);
      at += "/" + key;
    }
    if (at.size() >= path.size()) {
      path = at;
      what = error.description;
    }
  }
  return (path.empty() ? std::string("/") : path) + ": " + what;
}

std::string differ(const std::string& place, const std::string& what, int64_t a, int64_t b) {
  return place + ": " + what + ": " + std::to_string(a) + " != " + std::to_string(b);
}

std::string cycle_fault(const json& cycle, const std::string& place, int64_t last_end, int64_t last_number) {
  const auto begin = cycle.at("begin_ns").get<int64_t>();
  const auto end = cycle.at("end_ns").get<int64_t>();
  if (end < begin) return place + "/end_ns: ends before it begins";
  if (begin < last_end) return place + "/begin_ns: begins before the last cycle ended";
  if (cycle.at("number").get<int64_t>() <= last_number) return place + "/number: not above the last cycle's";
  if (cycle.contains("durations_ns") && cycle["durations_ns"].contains("mark_termination")) {
    const json& d = cycle["durations_ns"];
    const int64_t sum = d.at("sweep_termination").get<int64_t>() + d.at("mark").get<int64_t>() +
                        d.at("mark_termination").get<int64_t>();
    if (sum != end - begin)
      return differ(place + "/durations_ns", "parts do not add up to end - begin", sum, end - begin);
  }
  return {};
}

std::string memstats_fault(const json& report) {
  const json& m = report["memstats"];
  const auto number = [&](const char* key) { return m.value(key, int64_t{0}); };
  if (m.contains("HeapInuse") && m.contains("HeapIdle") &&
      number("HeapSys") != number("HeapInuse") + number("HeapIdle")) {
    return differ("/memstats/HeapSys", "is not HeapInuse + HeapIdle", number("HeapSys"),
                  number("HeapInuse") + number("HeapIdle"));
  }
  if (m.contains("Frees") && number("HeapObjects") != number("Mallocs") - number("Frees")) {
    return differ("/memstats/HeapObjects", "is not Mallocs - Frees", number("HeapObjects"),
                  number("Mallocs") - number("Frees"));
  }
  if (m.contains("BySize") && m.contains("OtherSys")) {
    const int64_t parts = number("HeapSys") + number("StackSys") + number("MSpanSys") + number("MCacheSys") +
                          number("BuckHashSys") + number("GCSys") + number("OtherSys");
    if (number("Sys") != parts)
      return differ("/memstats/Sys", "is not the sum of its parts", number("Sys"), parts);
    int64_t mallocs = 0;
    for (const json& size : m["BySize"]) {
      mallocs += size.at("Mallocs").get<int64_t>();
      if (size["Mallocs"].get<int64_t>() < size.at("Frees").get<int64_t>()) {
        return "/memstats/BySize: " + size.at("Size").dump() + " B: more frees than mallocs";
      }
    }
    if (mallocs > number("Mallocs")) {
      return differ("/memstats/BySize", "more mallocs than", mallocs, number("Mallocs"));
    }
  }
  if (number("HeapReleased") > number("HeapIdle")) return "/memstats/HeapReleased: above HeapIdle";
  const json& cycles = report["cycles"];
  if (report["collector"].value("name", "") != "keel" || cycles.empty()) return {};
  if (static_cast<int64_t>(cycles.size()) != number("NumGC")) {
    return differ("/memstats/NumGC", "is not the number of cycles", number("NumGC"),
                  static_cast<int64_t>(cycles.size()));
  }
  const int64_t last = number("LastGC") - report["run"].value("started_unix_ns", int64_t{0});
  if (last != cycles.back().at("end_ns").get<int64_t>()) {
    return differ("/memstats/LastGC", "is not the end of the last cycle", last,
                  cycles.back()["end_ns"].get<int64_t>());
  }
  int64_t sum = 0;
  for (const json& total : report["pause_totals"]) {
    const std::string kind = total.at("kind");
    if (kind == "sweep_termination" || kind == "mark_termination") sum += total.at("total_ns").get<int64_t>();
  }
  if (sum != number("PauseTotalNs"))
    return differ("/memstats/PauseTotalNs", "is not the sum of the stops", number("PauseTotalNs"), sum);
  return {};
}

}  // namespace

std::string first_fault(const json& report) {
  if (std::string fault = schema_fault(report); !fault.empty()) return fault;
  int64_t last_end = 0;
  int64_t last_number = 0;
  for (size_t i = 0; i < report["cycles"].size(); ++i) {
    const json& cycle = report["cycles"][i];
    if (std::string fault = cycle_fault(cycle, "/cycles/" + std::to_string(i), last_end, last_number);
        !fault.empty())
      return fault;
    last_end = cycle["end_ns"].get<int64_t>();
    last_number = cycle["number"].get<int64_t>();
  }
  for (size_t i = 0; i < report["pauses"].size(); ++i) {
    const json& pause = report["pauses"][i];
    if (pause.value("time_to_stop_ns", int64_t{0}) > pause.at("duration_ns").get<int64_t>()) {
      return "/pauses/" + std::to_string(i) + "/time_to_stop_ns: above duration_ns";
    }
  }
  for (size_t i = 0; i < report["pause_totals"].size(); ++i) {
    const json& total = report["pause_totals"][i];
    int64_t count = 0;
    for (const json& bucket : total.at("histogram").at("buckets")) count += bucket.at(2).get<int64_t>();
    if (count != total.at("count").get<int64_t>()) {
      return differ("/pause_totals/" + std::to_string(i) + "/count", "is not the histogram's",
                    total["count"].get<int64_t>(), count);
    }
  }
  if (report.contains("memstats")) return memstats_fault(report);
  return {};
}

}  // namespace keel
