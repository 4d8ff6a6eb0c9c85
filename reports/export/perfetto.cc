// Trace Event JSON for Perfetto's UI (and chrome://tracing).
//
// The trace processor's rules: complete events ("X") of one thread must nest; what overlaps without nesting
// goes to asynchronous events ("b"/"e"), which have a track for each name and id. Times are microseconds; the
// fraction holds the nanoseconds.
//
// Tracks: collections (asynchronous: a JVM's overlap) with their phases; world stops; one for each mark
// worker, and for each core's idle-time one, with the stretches in which it held work; one for each mutator
// with its assists, sweep shares, handshakes and stalls; counters for the heap, its goal, what lived,
// resident memory, and the cores that each kind of GC work took while marking.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "reports/analysis/run_facts.h"
#include "reports/document/pause_kinds.h"
#include "reports/export/export.h"

namespace keel {
namespace {

using nlohmann::json;

constexpr int kProcess = 1;
constexpr int64_t kStopsTrack = 1;
constexpr int64_t kFirstWorkerTrack = 10;  // threads for idle time follow, from 1,010
constexpr int64_t kIdleTracks = 1000;
constexpr int64_t kFirstMutatorTrack = 100'000;

struct Slice {
  int64_t begin_ns;
  int64_t end_ns;
  std::string name;
  json args;
};

class TraceWriter {
 public:
  explicit TraceWriter(std::ostream& out) : out_(out) {
    out_ << R"({"displayTimeUnit":"ns","traceEvents":[)";
  }
  void finish() { out_ << "\n]}\n"; }

  void name_process(const std::string& name) { meta("process_name", 0, name); }
  void name_track(int64_t track, const std::string& name) { meta("thread_name", track, name); }

  // Slices of one track in any order: those that nest as complete events, the others asynchronous.
  void slices(int64_t track, std::vector<Slice> all) {
    std::sort(all.begin(), all.end(), [](const Slice& a, const Slice& b) {
      return a.begin_ns != b.begin_ns ? a.begin_ns < b.begin_ns : a.end_ns > b.end_ns;
    });
    std::vector<int64_t> open;  // ends of the slices around the next one
    for (const Slice& s : all) {
      while (!open.empty() && open.back() <= s.begin_ns) open.pop_back();
      if (!open.empty() && s.end_ns > open.back()) {
        async("overlapping", s.name, ++next_id_, s);
        continue;
      }
      open.push_back(s.end_ns);
      json event = base("X", s.name, track, s.begin_ns);
      event["dur"] = microseconds(s.end_ns - s.begin_ns);
      if (!s.args.empty()) event["args"] = s.args;
      write(std::move(event));
    }
  }

  void async(const std::string& category, const std::string& name, int64_t id, const Slice& s) {
    json begin = base("b", name, 0, s.begin_ns);
    begin["cat"] = category;
    begin["id"] = id;
    if (!s.args.empty()) begin["args"] = s.args;
    write(std::move(begin));
    json end = base("e", name, 0, s.end_ns);
    end["cat"] = category;
    end["id"] = id;
    write(std::move(end));
  }

  void counter(const std::string& name, int64_t at_ns, json values) {
    json event = base("C", name, 0, at_ns);
    event["args"] = std::move(values);
    write(std::move(event));
  }

 private:
  static json microseconds(int64_t ns) { return static_cast<double>(ns) / 1e3; }
  static json base(const char* phase, const std::string& name, int64_t track, int64_t at_ns) {
    return {{"ph", phase}, {"name", name}, {"pid", kProcess}, {"tid", track}, {"ts", microseconds(at_ns)}};
  }
  void meta(const char* what, int64_t track, const std::string& name) {
    write({{"ph", "M"}, {"name", what}, {"pid", kProcess}, {"tid", track}, {"args", {{"name", name}}}});
  }
  void write(const json& event) {
    out_ << (first_ ? "\n" : ",\n") << event.dump(-1, ' ', false, json::error_handler_t::replace);
    first_ = false;
  }

  std::ostream& out_;
  bool first_ = true;
  int64_t next_id_ = 0;
};

void write_cycles(TraceWriter& trace, const json& cycles) {
  int64_t id = 0;
  for (const json& c : cycles) {
    ++id;
    const auto begin = c["begin_ns"].get<int64_t>();
    const auto end = c["end_ns"].get<int64_t>();
    const std::string name = c["kind"].get<std::string>() + " collection";
    json args = {{"number", c["number"]}, {"trigger", c["trigger"]}};
    for (const char* key : {"cause", "heap_bytes", "cpu_ns", "marked_objects", "workers"}) {
      if (c.contains(key)) args[key] = c[key];
    }
    trace.async("collection", name, id, {begin, end, name, args});
    if (c.contains("durations_ns") && c["durations_ns"].contains("mark_termination")) {
      const json& d = c["durations_ns"];
      const int64_t mark = begin + d.value("sweep_termination", int64_t{0});
      const int64_t termination = mark + d.value("mark", int64_t{0});
      trace.async("collection", "sweep termination", id, {begin, mark, "", {}});
      trace.async("collection", "mark", id, {mark, termination, "", {}});
      trace.async("collection", "mark termination", id, {termination, end, "", {}});
      if (c.contains("cpu_ns") && termination > mark) {
        json cores = json::object();
        for (const char* key : {"dedicated", "fractional", "background", "idle", "assist"}) {
          if (!c["cpu_ns"].contains(key)) continue;
          cores[key] = c["cpu_ns"][key].get<double>() / static_cast<double>(termination - mark);
        }
        trace.counter("cores marking", mark, cores);
        for (auto& [key, value] : cores.items()) value = 0;
        trace.counter("cores marking", termination, cores);
      }
    }
    if (!c.contains("heap_bytes")) continue;
    const json& heap = c["heap_bytes"];
    if (heap.contains("goal")) trace.counter("heap goal, bytes", begin, {{"goal", heap["goal"]}});
    if (heap.contains("live")) trace.counter("live after mark, bytes", end, {{"live", heap["live"]}});
  }
}

}  // namespace

Result<bool> export_perfetto(const json& report, std::ostream& out) {
  TraceWriter trace(out);
  trace.name_process(report["workload"].value("name", "?") + " on " + run_label(report));
  trace.name_track(kStopsTrack, "world stops");
  std::map<int64_t, std::string> names;
  for (const json& t : report["threads"]) names[t["id"].get<int64_t>()] = t["name"].get<std::string>();
  std::map<int64_t, std::vector<Slice>> tracks;
  for (const json& p : report["pauses"]) {
    const std::string kind = p["kind"];
    const auto begin = p["begin_ns"].get<int64_t>();
    json args = json::object();
    for (const char* key : {"cycle", "time_to_stop_ns", "parts_ns", "cause"}) {
      if (p.contains(key)) args[key] = p[key];
    }
    const Slice slice{begin, begin + p["duration_ns"].get<int64_t>(), kind, args};
    if (!stops_world(kind)) {
      tracks[kFirstMutatorTrack + p.value("thread", int64_t{0})].push_back(slice);
      continue;
    }
    tracks[kStopsTrack].push_back(slice);
    // The way to the stop, inside it.
    const int64_t reached = p.value("time_to_stop_ns", int64_t{0});
    if (reached > 0) tracks[kStopsTrack].push_back({begin, begin + reached, "time to stop", json::object()});
  }
  for (const json& w : report.value("work", json::array())) {
    const std::string kind = w["kind"];
    const auto begin = w["begin_ns"].get<int64_t>();
    const int64_t index = std::min(w["worker"].get<int64_t>(), kIdleTracks - kFirstWorkerTrack - 1);
    const int64_t track = kFirstWorkerTrack + index + (kind == "idle" ? kIdleTracks : 0);
    tracks[track].push_back({begin,
                             begin + w["duration_ns"].get<int64_t>(),
                             "mark, " + kind,
                             {{"cycle", w["cycle"]}, {"cpu_ns", w["cpu_ns"]}}});
  }
  for (auto& [track, slices] : tracks) {
    if (track >= kFirstWorkerTrack && track < kFirstMutatorTrack) {
      const bool idle = track >= kIdleTracks;
      trace.name_track(track, fmt::format("{} {}", idle ? "idle-time worker" : "mark worker",
                                          track - kFirstWorkerTrack - (idle ? kIdleTracks : 0)));
    } else if (track != kStopsTrack) {
      const int64_t thread = track - kFirstMutatorTrack;
      trace.name_track(track, names.contains(thread) ? names[thread] : fmt::format("thread {}", thread));
    }
    trace.slices(track, std::move(slices));
  }
  write_cycles(trace, report["cycles"]);
  for (const json& s : report["samples"]) {
    const auto at = s["at_ns"].get<int64_t>();
    if (s.contains("rss_bytes")) trace.counter("resident, bytes", at, {{"rss", s["rss_bytes"]}});
    if (s.contains("heap_bytes")) trace.counter("heap, bytes", at, {{"heap", s["heap_bytes"]}});
  }
  trace.finish();
  return true;
}

}  // namespace keel
