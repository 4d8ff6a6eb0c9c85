// Schema and identities; see identities.h.
#include "reports/analysis/identities.h"

#include <fmt/format.h>

#include <map>

#include "reports/analysis/schema_check.h"
#include "reports/document/pause_kinds.h"
#include "reports/document/report_stream.h"
#include "reports/schema/report_schema.h"

namespace keel {
namespace {

using nlohmann::json;
// Sums of fields that may each be as large as 2^63 - 1.
__extension__ typedef __int128 Wide;

std::string differ(const std::string& place, const std::string& what, Wide a, Wide b) {
  return place + ": " + what + ": " + fmt::to_string(a) + " != " + fmt::to_string(b);
}

// An integer field, 0 if absent. Precondition: the schema holds for it, or it was looked at by
// memstats_types().
Wide number(const json& object, const char* key) {
  const auto at = object.find(key);
  return at == object.end() || !at->is_number_integer() ? Wide{0} : Wide{at->get<int64_t>()};
}

const json& schema_json() {
  static const json schema = json::parse(kReportSchema);
  return schema;
}

// Compiled once: that costs more than checking a short report.
struct Schemas {
  SchemaCheck whole{schema_json()};
  SchemaCheck cycle{schema_json()["properties"]["cycles"]["items"]};
  SchemaCheck pause{schema_json()["properties"]["pauses"]["items"]};
  SchemaCheck sample{schema_json()["properties"]["samples"]["items"]};
  SchemaCheck workload{schema_json()["properties"]["workload"]};
  SchemaCheck collector{schema_json()["properties"]["collector"]};
  SchemaCheck environment{schema_json()["properties"]["environment"]};
};

const Schemas& schemas() {
  static thread_local const Schemas compiled;
  return compiled;
}

struct Single {
  Wide count = 0;
  Wide total = 0;
};

// What has been seen of the long arrays: sums, and the last of each.
struct Seen {
  std::string overlap;  // a fault if the collector is one that runs one collection at a time
  Wide cycles = 0;
  Wide last_end = 0;
  Wide last_number = 0;
  Wide last_alloc = 0;
  Wide last_sample = 0;
  Wide latest_pause = 0;
  std::map<std::string, Single> singles;
};

// Takes the elements of the long arrays one by one and the rest at the end.
class Checker {
 public:
  /// False after the first fault.
  bool element(const std::string& array, size_t index, const json& value) {
    const std::string place = "/" + array + "/" + std::to_string(index);
    if (array == "cycles") fault_ = cycle(value, place);
    if (array == "pauses") fault_ = pause(value, place);
    if (array == "samples") fault_ = sample(value, place);
    return fault_.empty();
  }

  [[nodiscard]] const std::string& fault() const { return fault_; }

  /// The element alone and after those before it, one collection at a time. One that is refused leaves no
  /// trace.
  bool accept(const std::string& array, const json& value) {
    const Seen before = seen_;
    if (element(array, 0, value) && seen_.overlap.empty()) return true;
    seen_ = before;
    fault_.clear();
    return false;
  }

  std::string finish(const json& rest) {
    if (std::string fault = schemas_.whole.fault(rest, ""); !fault.empty()) return fault;
    keel_ = rest["collector"]["name"] == "keel";
    if (keel_ && !seen_.overlap.empty()) return seen_.overlap;
    if (std::string fault = run(rest); !fault.empty()) return fault;
    if (std::string fault = totals(rest["pause_totals"]); !fault.empty()) return fault;
    if (std::string fault = latencies(rest["latency"]); !fault.empty()) return fault;
    if (std::string fault = mmu(rest); !fault.empty()) return fault;
    if (rest.contains("memstats")) return memstats(rest);
    return {};
  }

 private:
  std::string cycle(const json& c, const std::string& place) {
    if (std::string fault = schemas_.cycle.fault(c, place); !fault.empty()) return fault;
    const Wide begin = number(c, "begin_ns");
    const Wide end = number(c, "end_ns");
    if (end < begin) return place + "/end_ns: ends before it begins";
    // Only where one collection at a time is the rule; the JVM's overlap.
    if (begin < seen_.last_end && seen_.overlap.empty())
      seen_.overlap = place + "/begin_ns: begins before the last cycle ended";
    if (end < seen_.last_end) return place + "/end_ns: ends before the last cycle ended";
    const Wide n = number(c, "number");
    if (n <= seen_.last_number && seen_.overlap.empty())
      seen_.overlap = place + "/number: not above the last cycle's";
    if (c.contains("total_alloc_bytes")) {
      const Wide allocated = number(c, "total_alloc_bytes");
      if (allocated < seen_.last_alloc) return place + "/total_alloc_bytes: below the last cycle's";
      seen_.last_alloc = allocated;
    }
    if (c.contains("durations_ns") && c["durations_ns"].contains("mark_termination")) {
      const json& d = c["durations_ns"];
      const Wide sum = number(d, "sweep_termination") + number(d, "mark") + number(d, "mark_termination");
      if (sum != end - begin) {
        return differ(place + "/durations_ns", "parts do not add up to end - begin", sum, end - begin);
      }
    }
    if (c.contains("time_to_stop_ns") && c.contains("durations_ns")) {
      for (const char* part : {"sweep_termination", "mark_termination"}) {
        if (c["durations_ns"].contains(part) &&
            number(c["time_to_stop_ns"], part) > number(c["durations_ns"], part)) {
          return place + "/time_to_stop_ns/" + part + ": above the duration it is part of";
        }
      }
    }
    ++seen_.cycles;
    seen_.last_end = end;
    seen_.last_number = n;
    return {};
  }

  std::string pause(const json& p, const std::string& place) {
    if (std::string fault = schemas_.pause.fault(p, place); !fault.empty()) return fault;
    const Wide duration = number(p, "duration_ns");
    if (number(p, "time_to_stop_ns") > duration) return place + "/time_to_stop_ns: above duration_ns";
    if (p.contains("parts_ns")) {
      const json& parts = p["parts_ns"];
      const Wide sum = number(parts, "wait") + number(parts, "own_stack") + number(parts, "rest");
      if (sum > duration && number(parts, "rest") != 0) {
        return differ(place + "/parts_ns", "add up to more than duration_ns", sum, duration);
      }
    }
    const std::string kind = p["kind"];
    if (stops_world(kind)) {
      Single& single = seen_.singles[kind];
      ++single.count;
      single.total += duration;
    }
    seen_.latest_pause = std::max(seen_.latest_pause, number(p, "begin_ns") + duration);
    return {};
  }

  std::string sample(const json& s, const std::string& place) {
    if (std::string fault = schemas_.sample.fault(s, place); !fault.empty()) return fault;
    const Wide at = number(s, "at_ns");
    if (at < seen_.last_sample) return place + "/at_ns: before the last sample";
    seen_.last_sample = at;
    return {};
  }

  [[nodiscard]] std::string run(const json& rest) const {
    const json& run = rest["run"];
    const Wide wall = number(run, "wall_ns");
    if (run.contains("measured")) {
      const Wide begin = number(run["measured"], "begin_ns");
      const Wide end = number(run["measured"], "end_ns");
      if (end < begin) return "/run/measured/end_ns: before begin_ns";
      if (end > wall) return "/run/measured/end_ns: after the run's end, wall_ns";
    }
    if (seen_.last_end > wall) return "/run/wall_ns: the last cycle ends after it";
    if (rest.value("complete", false) && seen_.latest_pause > wall)
      return "/run/wall_ns: a pause ends after it";
    if (run.contains("peak_rss_bytes")) {
      for (const char* other : {"rss_start_bytes", "rss_end_bytes"}) {
        if (number(run, other) > number(run, "peak_rss_bytes")) {
          return std::string("/run/peak_rss_bytes: below ") + other;
        }
      }
    }
    return {};
  }

  [[nodiscard]] static std::string histogram(const json& h, const std::string& place, Wide count) {
    Wide sum = 0;
    Wide last = 0;
    size_t i = 0;
    for (const json& bucket : h["buckets"]) {
      const std::string at = place + "/buckets/" + std::to_string(i++);
      if (bucket.size() != 3) return at + ": is not [lower, upper, count]";
      const Wide lower = bucket[0].get<int64_t>();
      if (lower < last || Wide{bucket[1].get<int64_t>()} <= lower) return at + ": buckets do not ascend";
      last = bucket[1].get<int64_t>();
      sum += bucket[2].get<int64_t>();
    }
    if (sum != count) return differ(place + "/buckets", "counts do not add up to count", sum, count);
    return {};
  }

  [[nodiscard]] std::string totals(const json& list) const {
    std::map<std::string, Single> sums;
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string place = "/pause_totals/" + std::to_string(i);
      const json& total = list[i];
      const Wide count = number(total, "count");
      if (std::string fault = histogram(total["histogram"], place + "/histogram", count); !fault.empty())
        return fault;
      if (number(total, "max_ns") > number(total, "total_ns")) return place + "/max_ns: above total_ns";
      Single& sum = sums[total["kind"].get<std::string>()];
      sum.count += count;
      sum.total += number(total, "total_ns");
    }
    // Every world stop is listed one by one, so both tell the same.
    for (const auto& [kind, sum] : sums) {
      if (!stops_world(kind)) continue;
      const auto at = seen_.singles.find(kind);
      const Single single = at == seen_.singles.end() ? Single{} : at->second;
      if (single.count != sum.count) {
        return differ("/pauses", "number of " + kind + " is not that of /pause_totals", single.count,
                      sum.count);
      }
      if (single.total != sum.total) {
        return differ("/pauses", "sum of " + kind + " is not that of /pause_totals", single.total, sum.total);
      }
    }
    return {};
  }

  [[nodiscard]] static std::string latency(const json& l, const std::string& place) {
    Wide last = 0;
    for (const char* key : {"p50_ns", "p90_ns", "p99_ns", "p99_9_ns", "p99_99_ns", "max_ns"}) {
      if (!l.contains(key)) continue;
      if (number(l, key) < last) return place + "/" + key + ": below a lower percentile";
      last = number(l, key);
    }
    if (l.contains("histogram")) return histogram(l["histogram"], place + "/histogram", number(l, "count"));
    return {};
  }
  [[nodiscard]] static std::string latencies(const json& l) {
    for (const char* key : {"simple", "hiccup"}) {
      if (!l.contains(key)) continue;
      if (std::string fault = latency(l[key], std::string("/latency/") + key); !fault.empty()) return fault;
    }
    if (!l.contains("metered")) return {};
    for (size_t i = 0; i < l["metered"].size(); ++i) {
      const std::string place = "/latency/metered/" + std::to_string(i);
      const json& m = l["metered"][i];
      if (std::string fault = latency(m, place); !fault.empty()) return fault;
      if (l.contains("simple") && number(m, "count") != number(l["simple"], "count")) {
        return differ(place + "/count", "is not that of /latency/simple", number(m, "count"),
                      number(l["simple"], "count"));
      }
      if (l.contains("simple") && number(m, "max_ns") < number(l["simple"], "max_ns")) {
        return place + "/max_ns: below that of /latency/simple";
      }
    }
    return {};
  }

  [[nodiscard]] static std::string mmu(const json& rest) {
    if (!rest.contains("mmu")) return {};
    Wide last = 0;
    for (size_t i = 0; i < rest["mmu"].size(); ++i) {
      const json& m = rest["mmu"][i];
      const std::string place = "/mmu/" + std::to_string(i);
      if (number(m, "window_ns") <= last) return place + "/window_ns: windows do not ascend";
      last = number(m, "window_ns");
      const double u = m["utilization"].get<double>();
      if (!(u >= 0 && u <= 1)) return place + "/utilization: not in 0 to 1";
      if (m.contains("bounded") && m["bounded"].get<double>() > u + 1e-9) {
        return place + "/bounded: above utilization";
      }
      if (m.contains("without_assists") && m["without_assists"].get<double>() < u - 1e-9) {
        return place + "/without_assists: below utilization";
      }
    }
    return {};
  }

  [[nodiscard]] std::string memstats(const json& rest) const {
    const json& m = rest["memstats"];
    for (const char* key : {"HeapSys", "HeapInuse", "HeapIdle", "HeapReleased", "HeapObjects", "Mallocs",
                            "Frees", "Sys", "StackSys", "MSpanSys", "MCacheSys", "BuckHashSys", "GCSys",
                            "OtherSys", "NumGC", "LastGC", "PauseTotalNs"}) {
      if (m.contains(key) && !m[key].is_number_integer())
        return std::string("/memstats/") + key + ": is no integer";
    }
    const auto n = [&](const char* key) { return number(m, key); };
    if (m.contains("HeapInuse") && m.contains("HeapIdle") && n("HeapSys") != n("HeapInuse") + n("HeapIdle")) {
      return differ("/memstats/HeapSys", "is not HeapInuse + HeapIdle", n("HeapSys"),
                    n("HeapInuse") + n("HeapIdle"));
    }
    if (m.contains("Frees") && n("HeapObjects") != n("Mallocs") - n("Frees")) {
      return differ("/memstats/HeapObjects", "is not Mallocs - Frees", n("HeapObjects"),
                    n("Mallocs") - n("Frees"));
    }
    if (m.contains("BySize") && m.contains("OtherSys")) {
      const Wide parts = n("HeapSys") + n("StackSys") + n("MSpanSys") + n("MCacheSys") + n("BuckHashSys") +
                         n("GCSys") + n("OtherSys");
      if (n("Sys") != parts) return differ("/memstats/Sys", "is not the sum of its parts", n("Sys"), parts);
      if (std::string fault = by_size(m); !fault.empty()) return fault;
    }
    if (n("HeapReleased") > n("HeapIdle")) return "/memstats/HeapReleased: above HeapIdle";
    if (!keel_ || seen_.cycles == 0) return {};
    if (seen_.cycles != n("NumGC"))
      return differ("/memstats/NumGC", "is not the number of cycles", n("NumGC"), seen_.cycles);
    const Wide last = n("LastGC") - number(rest["run"], "started_unix_ns");
    if (last != seen_.last_end)
      return differ("/memstats/LastGC", "is not the end of the last cycle", last, seen_.last_end);
    Wide sum = 0;
    for (const json& total : rest["pause_totals"]) {
      if (stops_world(total["kind"].get<std::string>())) sum += number(total, "total_ns");
    }
    if (sum != n("PauseTotalNs"))
      return differ("/memstats/PauseTotalNs", "is not the sum of the stops", n("PauseTotalNs"), sum);
    return {};
  }

  [[nodiscard]] static std::string by_size(const json& m) {
    if (!m["BySize"].is_array()) return "/memstats/BySize: is no array";
    Wide mallocs = 0;
    size_t i = 0;
    for (const json& size : m["BySize"]) {
      const std::string place = "/memstats/BySize/" + std::to_string(i++);
      if (!size.is_object()) return place + ": is no object";
      if (number(size, "Mallocs") < number(size, "Frees")) return place + "/Frees: above Mallocs";
      mallocs += number(size, "Mallocs");
    }
    if (mallocs > number(m, "Mallocs")) {
      return differ("/memstats/BySize", "more mallocs than Mallocs", mallocs, number(m, "Mallocs"));
    }
    return {};
  }

  const Schemas& schemas_ = schemas();
  std::string fault_;
  bool keel_ = false;
  Seen seen_;
};

}  // namespace

std::string first_fault(const json& report) {
  Checker checker;
  if (!report.is_object()) return checker.finish(report);
  json rest = json::object();
  for (const auto& [key, value] : report.items()) {
    if ((key != "cycles" && key != "pauses" && key != "samples") || !value.is_array()) {
      rest[key] = value;
      continue;
    }
    rest[key] = json::array();
    for (size_t i = 0; i < value.size(); ++i) {
      if (!checker.element(key, i, value[i])) return checker.fault();
    }
  }
  return checker.finish(rest);
}

namespace {

// `read`: hands each element to the visitor it is given, and returns the rest.
template <typename Read>
std::string fault_of_what_is_read(Read&& read) {
  Checker checker;
  const Result<json> rest = read([&](const std::string& array, size_t i, const json& value) {
    return checker.element(array, i, value);
  });
  if (!rest) return rest.error();
  if (!checker.fault().empty()) return checker.fault();
  return checker.finish(rest.value());
}

}  // namespace

std::string first_fault(std::istream& in) {
  return fault_of_what_is_read([&](const ElementVisitor& visit) { return read_report_stream(in, visit); });
}

std::string first_fault_in_text(std::string_view text) {
  return fault_of_what_is_read([&](const ElementVisitor& visit) { return read_report_text(text, visit); });
}

struct ElementCheck::State {
  Checker checker;
};

ElementCheck::ElementCheck() : state_(std::make_unique<State>()) {}
ElementCheck::~ElementCheck() = default;

bool ElementCheck::accept(const std::string& array, const json& value) {
  return state_->checker.accept(array, value);
}

bool ElementCheck::is_section(const std::string& name, const json& value) {
  const Schemas& all = schemas();
  const SchemaCheck& check = name == "workload"    ? all.workload
                             : name == "collector" ? all.collector
                                                   : all.environment;
  return check.fault(value, "").empty();
}

}  // namespace keel
