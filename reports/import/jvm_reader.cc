// JVM unified logs: Serial, Parallel, G1, ZGC (generational too), Shenandoah; JDK 11 to 25.
//
// What the traps are (docs/import.md): a line that ends in a duration is stamped at the end of its phase; ids
// of concurrent collections stay open while others come and go; stalls of mutators carry no id; ZGC's pauses
// stand in gc,phases and its heap sizes in gc; a pause leaves out the time to reach the safepoint, which the
// safepoint line has.
#include <algorithm>
#include <map>

#include "reports/import/import.h"
#include "reports/import/jvm_line.h"
#include "reports/import/line_scanner.h"
#include "reports/import/report_builder.h"

namespace keel {
namespace {

using nlohmann::json;

constexpr int64_t kMostId = int64_t{1} << 53;

struct OpenCycle {
  int64_t begin_ns = -1;
  int64_t end_ns = -1;
  std::string kind;
  std::string cause;
  std::optional<int64_t> heap_begin;
  std::optional<int64_t> heap_end;
  std::optional<int64_t> capacity;
  std::optional<int64_t> live;
  int64_t mark_ns = 0;
  bool happened = false;  // more than a start line: the log may end inside a collection
  int64_t cpu_ns = -1;
};

struct HeapChange {
  int64_t before = 0;
  int64_t after = 0;
  std::optional<int64_t> capacity;
};

// "6M->3M(64M)" or ZGC's "8M(12%)->6M(9%)".
std::optional<HeapChange> heap_change(LineScanner& s) {
  const LineScanner before = s;
  HeapChange change;
  const auto from = s.size();
  if (from) {
    if (s.accept("(")) {
      if (!s.integer() || !s.accept("%)")) {
        s = before;
        return std::nullopt;
      }
    }
    if (s.accept("->")) {
      if (const auto to = s.size()) {
        change.before = *from;
        change.after = *to;
        if (s.accept("(")) {
          change.capacity = s.size();
          if (!change.capacity) s.integer();
          s.accept("%");
          s.accept(")");
        }
        return change;
      }
    }
  }
  s = before;
  return std::nullopt;
}

// A phase's name up to where sizes or the duration begin, what stands in its brackets, and those.
struct Phase {
  std::string_view name;  // "Pause Young", "Concurrent Mark"
  std::string brackets;   // "(Normal) (G1 Evacuation Pause)"
  std::optional<HeapChange> heap;
  std::optional<int64_t> duration_ns;
};

Phase phase_of(std::string_view text) {
  Phase phase;
  const size_t bracket = text.find(" (");
  size_t name_end = bracket;
  // A number ends the name too: "Concurrent Mark 5.957ms", "Concurrent cleanup 14M->14M(48M) 0.010ms".
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i - 1] == ' ' && text[i] >= '0' && text[i] <= '9') {
      name_end = std::min(name_end, i - 1);
      break;
    }
  }
  phase.name = text.substr(0, std::min(name_end, text.size()));
  LineScanner s(text.substr(phase.name.size()));
  for (;;) {
    s.skip_spaces();
    if (!s.accept("(")) break;
    // Brackets within: "(System.gc())".
    size_t depth = 1;
    size_t i = 0;
    const std::string_view rest = s.rest();
    for (; i < rest.size() && depth != 0; ++i) depth += rest[i] == '(' ? 1 : rest[i] == ')' ? -1 : 0;
    if (depth != 0) break;
    if (!phase.brackets.empty()) phase.brackets += " ";
    phase.brackets.append("(").append(rest.substr(0, i));
    s = LineScanner(rest.substr(i));
  }
  s.skip_spaces();
  phase.heap = heap_change(s);
  s.skip_spaces();
  phase.duration_ns = s.duration();
  return phase;
}

std::string pause_kind(const Phase& p) {
  if (p.name == "Pause Young") return p.brackets.find("(Mixed)") != std::string::npos ? "mixed" : "young";
  if (p.name == "Pause Full") return "full";
  if (p.name == "Pause Degenerated GC") return "degenerated";
  if (p.name == "Pause Remark" || p.name == "Pause Final Mark" || p.name == "Pause Mark End")
    return "final_mark";
  if (p.name == "Pause Init Mark" || p.name == "Pause Initial Mark" || p.name == "Pause Mark Start") {
    return "initial_mark";
  }
  if (p.name == "Pause Relocate Start") return "relocate_start";
  if (p.name == "Pause Init Update Refs") return "init_update_refs";
  if (p.name == "Pause Final Update Refs") return "final_update_refs";
  return "cleanup";  // G1's Cleanup, Shenandoah's Final Roots, and whatever comes: its name is the cause
}

// The cause is in the last brackets.
std::string cause_of(const std::string& brackets) {
  const size_t at = brackets.rfind(" (");
  std::string last = at == std::string::npos ? brackets : brackets.substr(at + 1);
  if (last.size() >= 2) last = last.substr(1, last.size() - 2);
  return last;
}

std::string trigger_of(const std::string& cause) {
  if (cause.starts_with("System.gc") || cause.starts_with("Diagnostic Command") ||
      cause.starts_with("Heap Inspection") || cause.starts_with("JvmtiEnv")) {
    return "forced";
  }
  return cause == "Timer" || cause == "G1 Periodic Collection" || cause == "Proactive" ? "periodic" : "heap";
}

class JvmReader final : public LogReader {
 public:
  explicit JvmReader(const std::string& workload) : builder_(workload) {
    builder_.collector = {{"name", "jvm"}};
  }

  void line(std::string_view text) override {
    const JvmLine l = split_jvm_line(text);
    if (!l.decorated) {
      if (text.empty()) {
        builder_.line_ignored();
      } else {
        builder_.line_unread(text);
      }
      return;
    }
    const int64_t now = time_of(l);
    if (now >= 0) builder_.alive(now);
    if (now >= 0 && take(l, now)) {
      builder_.line_read();
    } else if (is_known(l)) {
      builder_.line_ignored();
    } else {
      builder_.line_unread(text);
    }
  }

  json finish() override {
    for (auto& [id, cycle] : open_) add_cycle(id, cycle);
    open_.clear();
    if (origin_unix_ns_ >= 0) builder_.run["started_unix_ns"] = origin_unix_ns_;
    builder_.set_thread_count(std::max<uint64_t>(1, stalled_.size()));
    return builder_.finish("jvm", true, true);
  }

 private:
  // ns since the JVM began; from the first date where there is no uptime; < 0 without any clock.
  int64_t time_of(const JvmLine& l) {
    if (l.uptime_ns) {
      if (l.unix_ns && origin_unix_ns_ < 0) origin_unix_ns_ = std::max<int64_t>(0, *l.unix_ns - *l.uptime_ns);
      return *l.uptime_ns;
    }
    if (!l.unix_ns) return -1;
    if (origin_unix_ns_ < 0) origin_unix_ns_ = std::max<int64_t>(0, *l.unix_ns);
    return std::max<int64_t>(0, *l.unix_ns - origin_unix_ns_);
  }

  bool take(const JvmLine& l, int64_t now) {
    LineScanner s(l.message);
    if (s.accept("GC(")) {
      const auto id = s.count(kMostId);
      if (!id || !s.accept(") ")) return false;
      return take_of_cycle(l, *id, s.rest(), now);
    }
    if (s.accept("Safepoint \"")) return take_safepoint(s, now);
    if (s.accept("Allocation Stall (")) return take_stall(s, "allocation_stall", now);
    if (s.accept("Relocation Stall (")) return take_stall(s, "relocation_stall", now);
    if (s.accept("Using ")) {
      std::string_view name = s.rest();
      if (name == "The Z Garbage Collector") name = "Z";
      if (name.empty() || name.find(' ') != std::string_view::npos) return false;
      builder_.collector["name"] = std::string(name);
      return true;
    }
    if (s.accept("Version: ")) {
      builder_.collector["version"] = std::string(s.rest().substr(0, 100));
      return true;
    }
    if (s.accept("CPUs: ")) {
      const auto cores = s.integer();
      if (cores && *cores > 0) builder_.environment["cores"] = *cores;
      return cores.has_value();
    }
    if (s.accept("Heap Max Capacity: ") || s.accept("Max Capacity: ")) {
      const auto size = s.size();
      if (size) builder_.collector["max_heap_bytes"] = *size;
      return size.has_value();
    }
    return false;
  }

  bool take_of_cycle(const JvmLine& l, int64_t id, std::string_view text, int64_t now) {
    // Generational ZGC names the generation first.
    for (const char* generation : {"y: ", "Y: ", "O: ", "o: "}) {
      if (text.starts_with(generation)) text.remove_prefix(3);
    }
    OpenCycle& c = open_[id];
    if (c.begin_ns < 0) c.begin_ns = now;
    c.end_ns = std::max(c.end_ns, now);
    if (text.starts_with("Pause ")) return take_pause(c, id, phase_of(text), now);
    if (text.starts_with("Concurrent ")) return take_concurrent(c, phase_of(text), now);
    for (const char* summary : {"Garbage Collection", "Minor Collection", "Major Collection",
                                "Young Generation", "Old Generation", "Collection"}) {
      if (text.starts_with(summary)) return take_summary(c, phase_of(text), now);
    }
    LineScanner s(text);
    if (s.accept("User=")) {
      const auto user = s.duration();
      s.accept(" Sys=");
      const auto system = s.duration();
      if (!user || !system) return false;
      c.cpu_ns = std::min(ReportBuilder::kLatestNs, std::max<int64_t>(0, c.cpu_ns) + *user + *system);
      return true;
    }
    s.skip_spaces();
    // ZGC's table: the second column is the end of marking.
    if (l.tags == "gc,heap" && s.accept("Live:")) {
      for (int column = 0; column < 2; ++column) {
        s.skip_spaces();
        if (s.accept("-")) continue;
        if (const auto live = s.size()) {
          c.live = *live;
          return true;
        }
      }
    }
    return false;
  }

  bool take_pause(OpenCycle& c, int64_t id, const Phase& p, int64_t now) {
    if (c.cause.empty() && !p.brackets.empty()) c.cause = cause_of(p.brackets);
    if (!p.duration_ns) return true;  // its beginning
    const int64_t begin = std::max<int64_t>(0, now - *p.duration_ns);
    const std::string kind = pause_kind(p);
    ImportedPause pause{kind, begin, *p.duration_ns, {}, id + 1, {}, {}};
    if (kind == "cleanup") pause.cause = std::string(p.name);
    c.begin_ns = std::min(c.begin_ns, begin);
    c.happened = true;
    if (kind == "full" || kind == "degenerated" || kind == "mixed" || (kind == "young" && c.kind.empty()))
      c.kind = kind;
    note_heap(c, p.heap);
    // A full collection inside a degenerated one: the longer has been logged last and holds the other.
    auto& pauses = builder_.pauses();
    while (!pauses.empty() && pauses.back().cycle == id + 1 && pauses.back().begin_ns >= begin) {
      pauses.pop_back();
    }
    pauses.push_back(std::move(pause));
    ++since_safepoint_;
    return true;
  }

  bool take_concurrent(OpenCycle& c, const Phase& p, int64_t now) {
    if (c.kind.empty()) c.kind = "concurrent";
    if (p.duration_ns) c.happened = true;
    if (!p.duration_ns) {
      note_heap(c, p.heap);
      return true;
    }
    c.begin_ns = std::min(c.begin_ns, std::max<int64_t>(0, now - *p.duration_ns));
    if (p.name == "Concurrent Mark" || p.name == "Concurrent marking")
      c.mark_ns = std::min(ReportBuilder::kLatestNs, c.mark_ns + *p.duration_ns);
    note_heap(c, p.heap);
    return true;
  }

  bool take_summary(OpenCycle& c, const Phase& p, int64_t now) {
    const bool minor = p.name.starts_with("Minor");
    if (!p.name.ends_with("Generation")) {
      c.kind = minor ? "young" : "full";
      if (!p.brackets.empty()) c.cause = cause_of(p.brackets);
    }
    note_heap(c, p.heap);
    if (p.heap) c.happened = true;
    if (p.duration_ns) c.begin_ns = std::min(c.begin_ns, std::max<int64_t>(0, now - *p.duration_ns));
    return true;
  }

  static void note_heap(OpenCycle& c, const std::optional<HeapChange>& heap) {
    if (!heap) return;
    if (!c.heap_begin) c.heap_begin = heap->before;
    c.heap_end = heap->after;
    if (heap->capacity) c.capacity = heap->capacity;
  }

  // Reached, worked, left: the pauses logged since the last safepoint lay in this one.
  bool take_safepoint(LineScanner& s, int64_t now) {
    const auto name = s.until("\"");
    if (!name) return false;
    int64_t reaching = -1;
    int64_t total = -1;
    while (s.until(", ")) {
      if (s.accept("Reaching safepoint: ")) reaching = s.duration().value_or(-1);
      if (s.accept("Total: ")) total = s.duration().value_or(-1);
    }
    if (reaching < 0 || total < reaching) return false;
    const int64_t begin = std::max<int64_t>(0, now - total);
    auto& pauses = builder_.pauses();
    const size_t count = std::min(since_safepoint_, pauses.size());
    since_safepoint_ = 0;
    if (count == 0) {
      builder_.add_pause(
          {"other_stop", begin, now - begin, std::min(reaching, now - begin), {}, {}, std::string(*name)});
      return true;
    }
    ImportedPause& first = pauses[pauses.size() - count];
    ImportedPause& last = pauses.back();
    // From the request to stop until the mutators run again, as the report defines a stop.
    const int64_t end = std::max(now, last.begin_ns + last.duration_ns);
    if (begin < first.begin_ns) {
      first.duration_ns += first.begin_ns - begin;
      first.begin_ns = begin;
    }
    first.time_to_stop_ns = std::min(reaching, first.duration_ns);
    last.duration_ns = end - last.begin_ns;
    return true;
  }

  bool take_stall(LineScanner& s, const char* kind, int64_t now) {
    const auto thread = s.until(") ");
    const auto duration = s.duration();
    if (!thread || !duration) return false;
    auto [at, fresh] = stalled_.try_emplace(std::string(*thread), static_cast<int64_t>(stalled_.size()) + 1);
    builder_.add_pause({kind, std::max<int64_t>(0, now - *duration), *duration, {}, {}, at->second, {}});
    since_safepoint_ = 0;  // what follows is another safepoint's
    return true;
  }

  void add_cycle(int64_t id, const OpenCycle& c) {
    if (c.begin_ns < 0 || !c.happened) return;
    json cycle{{"number", id + 1},
               {"kind", c.kind.empty() ? "full" : c.kind},
               {"trigger", trigger_of(c.cause)},
               {"begin_ns", c.begin_ns},
               {"end_ns", std::max(c.begin_ns, c.end_ns)}};
    if (!c.cause.empty()) cycle["cause"] = c.cause;
    if (c.mark_ns != 0) cycle["durations_ns"] = {{"mark", c.mark_ns}};
    if (c.cpu_ns >= 0) cycle["cpu_ns"] = {{"background", c.cpu_ns}};
    json heap = json::object();
    if (c.heap_begin) heap["begin"] = *c.heap_begin;
    if (c.heap_end) heap["end"] = *c.heap_end;
    if (c.capacity) heap["capacity"] = *c.capacity;
    if (c.live) heap["live"] = *c.live;
    if (!heap.empty()) cycle["heap_bytes"] = heap;
    if (c.heap_begin) builder_.add_sample({{"at_ns", c.begin_ns}, {"heap_bytes", *c.heap_begin}});
    if (c.heap_end)
      builder_.add_sample({{"at_ns", std::max(c.begin_ns, c.end_ns)}, {"heap_bytes", *c.heap_end}});
    builder_.add_cycle(std::move(cycle));
  }

  // Lines of the JVM that are no events: configuration, tables, details of a phase.
  static bool is_known(const JvmLine& l) {
    if (l.tags.starts_with("gc,") || l.tags.starts_with("safepoint") || l.tags == "gc,init") return true;
    for (const char* known :
         {"Trigger: ", "Cancelling GC", "Failed to allocate", "Heuristics ergonomically", "Min heap ",
          "Free: ", "Pacer for ", "To-space exhausted", "Evacuation Failure", "Initializing The Z",
          "Periodic GC", "Concurrent Mark Abort", "Attempt heap expansion", "Uncommit"}) {
      if (l.message.find(known) != std::string_view::npos) return true;
    }
    // Other subsystems' lines in the same file.
    return !l.tags.empty() && l.tags != "gc" && !l.tags.starts_with("gc,");
  }

  ReportBuilder builder_;
  std::map<int64_t, OpenCycle> open_;
  std::map<std::string, int64_t> stalled_;  // thread names, numbered
  size_t since_safepoint_ = 0;              // pauses logged since the last safepoint line
  int64_t origin_unix_ns_ = -1;
};

}  // namespace

std::unique_ptr<LogReader> make_jvm_reader(const std::string& workload) {
  return std::make_unique<JvmReader>(workload);
}

}  // namespace keel
