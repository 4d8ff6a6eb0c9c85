// keel.events: what a run flushed as it went, rebuilt into a report that says it is incomplete. After a
// SIGKILL the last line may be half a line.
#include "reports/analysis/identities.h"
#include "reports/document/report_stream.h"
#include "reports/import/import.h"
#include "reports/import/report_builder.h"

namespace keel {
namespace {

using nlohmann::json;

class EventsReader final : public LogReader {
 public:
  explicit EventsReader(const std::string& workload) : name_(workload), builder_(workload) {
    builder_.collector = {{"name", "unknown"}};
  }

  void line(std::string_view text) override {
    if (text.empty()) {
      builder_.line_ignored();
      return;
    }
    const Result<json> event = read_json_text(text);
    if (event && event.value().is_object() && take(event.value())) {
      builder_.line_read();
    } else {
      builder_.line_unread(text);
    }
  }

  json finish() override {
    if (!measured_.empty()) {
      // A run that was killed while measuring: up to where it lived.
      if (!measured_.contains("begin_ns")) measured_["begin_ns"] = 0;
      const int64_t begin = measured_["begin_ns"].get<int64_t>();
      if (!measured_.contains("end_ns") || measured_["end_ns"].get<int64_t>() < begin)
        measured_["end_ns"] = std::max(last_ns_, begin);
      builder_.alive(measured_["end_ns"].get<int64_t>());
      builder_.run["measured"] = measured_;
    }
    return builder_.finish("events", false, true);
  }

 private:
  static bool is_count(const json& object, const char* key) {
    return object.contains(key) && object[key].is_number_integer() && object[key].get<int64_t>() >= 0;
  }

  static bool is_time(const json& object, const char* key) {
    return is_count(object, key) && object[key].get<int64_t>() <= ReportBuilder::kLatestNs;
  }

  bool take(const json& event) {
    if (event.value("schema", json()) == "keel.events") return take_head(event);
    if (event.contains("cycle")) {
      const json& c = event["cycle"];
      if (!c.is_object() || !is_time(c, "end_ns") || !check_.accept("cycles", c)) return false;
      last_ns_ = std::max(last_ns_, c["end_ns"].get<int64_t>());
      builder_.add_cycle(c);
      return true;
    }
    if (event.contains("pause")) return take_pause(event["pause"]);
    if (event.contains("sample")) {
      const json& s = event["sample"];
      if (!s.is_object() || !is_time(s, "at_ns") || !check_.accept("samples", s)) return false;
      builder_.alive(s["at_ns"].get<int64_t>());
      last_ns_ = std::max(last_ns_, s["at_ns"].get<int64_t>());
      builder_.add_sample(s);
      return true;
    }
    if (event.contains("measured") && event["measured"].is_object()) {
      for (const char* key : {"begin_ns", "end_ns"}) {
        if (is_time(event["measured"], key)) measured_[key] = event["measured"][key];
      }
      return true;
    }
    return false;
  }

  bool take_head(const json& event) {
    if (event.contains("workload") && ElementCheck::is_section("workload", event["workload"])) {
      builder_.workload = event["workload"];
      if (!name_.empty()) builder_.workload["name"] = name_;
      builder_.set_thread_count(builder_.workload["threads"].get<uint64_t>());
    }
    if (event.contains("collector") && ElementCheck::is_section("collector", event["collector"]))
      builder_.collector = event["collector"];
    if (event.contains("environment") && ElementCheck::is_section("environment", event["environment"]))
      builder_.environment = event["environment"];
    if (is_count(event, "started_unix_ns")) builder_.run["started_unix_ns"] = event["started_unix_ns"];
    return true;
  }

  bool take_pause(const json& p) {
    if (!p.is_object() || !is_time(p, "begin_ns") || !is_time(p, "duration_ns") ||
        !check_.accept("pauses", p))
      return false;
    auto optional = [&](const char* key) {
      return is_count(p, key) ? std::optional(p[key].get<int64_t>()) : std::nullopt;
    };
    builder_.add_pause({p["kind"],
                        p["begin_ns"].get<int64_t>(),
                        p["duration_ns"].get<int64_t>(),
                        optional("time_to_stop_ns"),
                        optional("cycle"),
                        optional("thread"),
                        {}});
    return true;
  }

  const std::string name_;
  ReportBuilder builder_;
  ElementCheck check_;
  json measured_ = json::object();
  int64_t last_ns_ = 0;
};

}  // namespace

std::unique_ptr<LogReader> make_events_reader(const std::string& workload) {
  return std::make_unique<EventsReader>(workload);
}

}  // namespace keel
