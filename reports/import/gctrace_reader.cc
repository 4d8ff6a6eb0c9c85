// Go's gctrace, 1.5 to today. Fields: go-surface notes in docs/import.md, from runtime/mgc.go's
// gcMarkTermination. Times are rounded there (3 decimals of a second, 2 significant digits of a ms), so a
// cycle may seem to begin before the last ended: it is put right after it.
#include <cmath>
#include <vector>

#include "reports/import/import.h"
#include "reports/import/line_scanner.h"
#include "reports/import/report_builder.h"

namespace keel {
namespace {

using nlohmann::json;

struct GcLine {
  int64_t number = 0;
  int64_t at_ns = 0;
  int64_t percent = 0;
  std::vector<int64_t> clock_ns;             // 3 phases; Go 1.5: 5
  std::vector<std::vector<int64_t>> cpu_ns;  // the same phases, each split by '/'
  int64_t start_mib = 0;
  int64_t end_mib = 0;
  int64_t live_mib = 0;
  int64_t goal_mib = 0;
  std::optional<int64_t> stacks_mib;
  std::optional<int64_t> globals_mib;
  int64_t procs = 0;
  bool forced = false;
};

// Bounds, so that a damaged line adds up to no nonsense: ten days for a phase, an exbibyte for a heap.
constexpr double kLongestPhaseMs = 1e9;
constexpr int64_t kMostMib = int64_t{1} << 40;
constexpr size_t kMostParts = 8;

std::optional<int64_t> milliseconds(LineScanner& s) {
  const auto value = s.decimal();
  if (!value || *value > kLongestPhaseMs) return std::nullopt;
  return static_cast<int64_t>(std::llround(*value * 1e6));
}

std::optional<GcLine> parse(std::string_view text) {
  // The program's own output may stand before it on the same line.
  const size_t at = text.find("gc ");
  if (at == std::string_view::npos) return std::nullopt;
  LineScanner s(text.substr(at));
  GcLine g;
  s.accept("gc ");
  auto take = [&](int64_t& into) {
    const auto value = s.count(kMostMib);
    if (value) into = *value;
    return value.has_value();
  };
  if (!take(g.number) || !s.accept(" @")) return std::nullopt;
  const auto seconds = s.decimal();
  if (!seconds || *seconds > 1e9 || !s.accept("s ")) return std::nullopt;
  g.at_ns = static_cast<int64_t>(std::llround(*seconds * 1e9));
  if (!take(g.percent) || !s.accept("%: ")) return std::nullopt;
  do {
    const auto part = milliseconds(s);
    if (!part || g.clock_ns.size() == kMostParts) return std::nullopt;
    g.clock_ns.push_back(*part);
  } while (s.accept("+"));
  if (!s.accept(" ms clock, ") || g.clock_ns.size() < 3) return std::nullopt;
  g.cpu_ns.emplace_back();
  for (;;) {
    const auto part = milliseconds(s);
    if (!part || g.cpu_ns.size() > kMostParts || g.cpu_ns.back().size() == kMostParts) return std::nullopt;
    g.cpu_ns.back().push_back(*part);
    if (s.accept("/")) continue;
    if (!s.accept("+")) break;
    g.cpu_ns.emplace_back();
  }
  if (!s.accept(" ms cpu, ") || !take(g.start_mib) || !s.accept("->") || !take(g.end_mib) ||
      !s.accept("->") || !take(g.live_mib) || !s.accept(" MB, ") || !take(g.goal_mib) ||
      !s.accept(" MB goal, ")) {
    return std::nullopt;
  }
  auto procs = s.count(kMostMib);
  if (procs && s.accept(" MB stacks, ")) {
    g.stacks_mib = *procs;
    g.globals_mib = s.count(kMostMib);
    if (!g.globals_mib || !s.accept(" MB globals, ")) return std::nullopt;
    procs = s.count(kMostMib);
  }
  if (!procs || *procs <= 0 || !s.accept(" P")) return std::nullopt;
  g.procs = *procs;
  g.forced = s.accept(" (forced)");
  return g;
}

// Lines of the same GODEBUG family, which hold nothing the report has a place for.
bool is_companion(std::string_view text) {
  LineScanner s(text);
  if (s.accept("pacer: ")) return true;
  if (s.accept("scav ")) return true;
  if (s.accept("scvg")) return true;  // before Go 1.14
  if (s.accept("init ")) return text.find(" ms clock, ") != std::string_view::npos;
  if (s.accept("sweep done at phase ")) return true;
  return text.empty();
}

class GctraceReader final : public LogReader {
 public:
  explicit GctraceReader(const std::string& workload) : builder_(workload) {
    builder_.collector = {{"name", "go"}};
  }

  void line(std::string_view text) override {
    const auto g = parse(text);
    if (!g) {
      if (is_companion(text)) {
        builder_.line_ignored();
      } else {
        builder_.line_unread(text);
      }
      return;
    }
    if (add(*g)) {
      builder_.line_read();
    } else {
      builder_.line_unread(text);
    }
  }

  json finish() override {
    builder_.set_thread_count(std::max<uint64_t>(1, procs_));
    if (procs_ != 0) builder_.environment["cores"] = procs_;
    if (cycles_ != 0) {
      builder_.memstats = {{"NumGC", number_}, {"NumForcedGC", forced_}, {"PauseTotalNs", paused_ns_}};
      builder_.memstats["GCCPUFraction"] = percent_ / 100.0;
    }
    return builder_.finish("gctrace", true, true);
  }

 private:
  // False: it lies in no time a log can have.
  bool add(const GcLine& g) {
    if (g.number <= number_) offset_ns_ = last_end_ns_;  // another process in the same file: on one time line
    const int64_t begin = std::max(g.at_ns + offset_ns_, last_end_ns_);
    const int64_t first = g.clock_ns.front();
    const int64_t last = g.clock_ns.back();
    int64_t middle = 0;
    for (size_t i = 1; i + 1 < g.clock_ns.size(); ++i) middle += g.clock_ns[i];
    const int64_t end = begin + first + middle + last;
    if (end > ReportBuilder::kLatestNs) return false;
    json cpu{{"pause", total(g.cpu_ns.front()) + total(g.cpu_ns.back())}};
    for (const auto& part : g.cpu_ns) {
      if (part.size() != 3) continue;
      cpu["assist"] = part[0];
      cpu["background"] = part[1];  // dedicated and fractional, which gctrace adds up
      cpu["idle"] = part[2];
    }
    // Names of two cycles may be the same only across processes.
    json cycle{{"number", ++cycles_},
               {"kind", "full"},
               {"trigger", g.forced ? "forced" : "heap"},
               {"begin_ns", begin},
               {"end_ns", end},
               {"durations_ns", {{"sweep_termination", first}, {"mark", middle}, {"mark_termination", last}}},
               {"heap_bytes",
                {{"begin", g.start_mib << 20},
                 {"mark_end", g.end_mib << 20},
                 {"live", g.live_mib << 20},
                 {"goal", g.goal_mib << 20}}},
               {"cpu_ns", std::move(cpu)}};
    if (g.stacks_mib) {
      cycle["scanned_bytes"] = {{"stacks", *g.stacks_mib << 20}, {"globals", *g.globals_mib << 20}};
    }
    builder_.add_cycle(std::move(cycle));
    builder_.add_pause({"sweep_termination", begin, first, {}, cycles_, {}, {}});
    builder_.add_pause({"mark_termination", begin + first + middle, last, {}, cycles_, {}, {}});
    builder_.add_sample(
        {{"at_ns", begin}, {"heap_bytes", g.start_mib << 20}, {"heap_goal_bytes", g.goal_mib << 20}});
    builder_.add_sample(
        {{"at_ns", end}, {"heap_bytes", g.live_mib << 20}, {"heap_goal_bytes", g.goal_mib << 20}});
    last_end_ns_ = end;
    number_ = g.number;
    paused_ns_ += first + last;
    forced_ += g.forced ? 1 : 0;
    procs_ = std::max(procs_, static_cast<uint64_t>(g.procs));
    percent_ = static_cast<double>(g.percent);
    return true;
  }

  static int64_t total(const std::vector<int64_t>& parts) {
    int64_t sum = 0;
    for (const int64_t p : parts) sum += p;
    return sum;
  }

  ReportBuilder builder_;
  int64_t cycles_ = 0;
  int64_t number_ = 0;
  int64_t offset_ns_ = 0;
  int64_t last_end_ns_ = 0;
  int64_t paused_ns_ = 0;
  int64_t forced_ = 0;
  uint64_t procs_ = 0;
  double percent_ = 0;
};

}  // namespace

std::unique_ptr<LogReader> make_gctrace_reader(const std::string& workload) {
  return std::make_unique<GctraceReader>(workload);
}

}  // namespace keel
