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

// Takes the elements of the long arrays one by one and the rest at the end; keeps sums.
class Checker {
 public:
  Checker()
      : whole_(schema_json()),
        cycle_(schema_json()["properties"]["cycles"]["items"]),
        pause_(schema_json()["properties"]["pauses"]["items"]),
        sample_(schema_json()["properties"]["samples"]["items"]) {}

  /// False after the first fault.
  bool element(const std::string& array, size_t index, const json& value) {
    const std::string place = "/" + array + "/" + std::to_string(index);
    if (array == "cycles") fault_ = cycle(value, place);
    if (array == "pauses") fault_ = pause(value, place);
    if (array == "samples") fault_ = sample(value, place);
    return fault_.empty();
  }

  [[nodiscard]] const std::string& fault() const { return fault_; }

  std::string finish(const json& rest) {
    if (std::string fault = whole_.fault(rest, ""); !fault.empty()) return fault;
    keel_ = rest["collector"]["name"] == "keel";
    if (keel_ && !overlap_.empty()) return overlap_;
    if (std::string fault = run(rest); !fault.empty()) return fault;
    if (std::string fault = totals(rest["pause_totals"]); !fault.empty()) return fault;
    if (std::string fault = latencies(rest["latency"]); !fault.empty()) return fault;
    if (std::string fault = mmu(rest); !fault.empty()) return fault;
    if (rest.contains("memstats")) return memstats(rest);
    return {};
  }

 private:
  std::string cycle(const json& c, const std::string& place) {
    if (std::string fault = cycle_.fault(c, place); !fault.empty()) return fault;
    const Wide begin = number(c, "begin_ns");
    const Wide end = number(c, "end_ns");
    if (end < begin) return place + "/end_ns: ends before it begins";
    // Only where one collection at a time is the rule; the JVM's overlap.
    if (begin < last_end_ && overlap_.empty())
      overlap_ = place + "/begin_ns: begins before the last cycle ended";
    if (end < last_end_) return place + "/end_ns: ends before the last cycle ended";
    const Wide n = number(c, "number");
    if (n <= last_number_ && overlap_.empty()) overlap_ = place + "/number: not above the last cycle's";
    if (c.contains("total_alloc_bytes")) {
      const Wide allocated = number(c, "total_alloc_bytes");
      if (allocated < last_alloc_) return place + "/total_alloc_bytes: below the last cycle's";
      last_alloc_ = allocated;
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
    ++cycles_;
    last_end_ = end;
    last_number_ = n;
    return {};
  }

  std::string pause(const json& p, const std::string& place) {
    if (std::string fault = pause_.fault(p, place); !fault.empty()) return fault;
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
      Single& single = singles_[kind];
      ++single.count;
      single.total += duration;
    }
    latest_pause_ = std::max(latest_pause_, number(p, "begin_ns") + duration);
    return {};
  }

  std::string sample(const json& s, const std::string& place) {
    if (std::string fault = sample_.fault(s, place); !fault.empty()) return fault;
    const Wide at = number(s, "at_ns");
    if (at < last_sample_) return place + "/at_ns: before the last sample";
    last_sample_ = at;
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
    if (last_end_ > wall) return "/run/wall_ns: the last cycle ends after it";
    if (rest.value("complete", false) && latest_pause_ > wall) return "/run/wall_ns: a pause ends after it";
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
      const auto at = singles_.find(kind);
      const Single single = at == singles_.end() ? Single{} : at->second;
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
    if (!keel_ || cycles_ == 0) return {};
    if (cycles_ != n("NumGC"))
      return differ("/memstats/NumGC", "is not the number of cycles", n("NumGC"), cycles_);
    const Wide last = n("LastGC") - number(rest["run"], "started_unix_ns");
    if (last != last_end_)
      return differ("/memstats/LastGC", "is not the end of the last cycle", last, last_end_);
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

  struct Single {
    Wide count = 0;
    Wide total = 0;
  };
  SchemaCheck whole_;
  SchemaCheck cycle_;
  SchemaCheck pause_;
  SchemaCheck sample_;
  std::string fault_;
  std::string overlap_;  // a fault if the collector is one that runs one collection at a time
  bool keel_ = false;
  Wide cycles_ = 0;
  Wide last_end_ = 0;
  Wide last_number_ = 0;
  Wide last_alloc_ = 0;
  Wide last_sample_ = 0;
  Wide latest_pause_ = 0;
  std::map<std::string, Single> singles_;
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

std::string first_fault(std::istream& in) {
  Checker checker;
  const Result<json> rest =
      read_report_stream(in, [&](const std::string& array, size_t i, const json& value) {
        return checker.element(array, i, value);
      });
  if (!rest) return rest.error();
  if (!checker.fault().empty()) return checker.fault();
  return checker.finish(rest.value());
}

}  // namespace keel
