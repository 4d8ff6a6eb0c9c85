// Boehm's log (GC_PRINT_STATS, verbose or not, world-stopped and incremental; 7.x to 8.2) and its collection
// events one a line ("1049.049 us START"). The log has no clock: times count collections only, and the report
// says so. The events have one.
#include <array>

#include "reports/import/import.h"
#include "reports/import/line_scanner.h"
#include "reports/import/report_builder.h"

namespace keel {
namespace {

using nlohmann::json;

// Begins of lines that hold nothing the report has a place for.
constexpr std::array kKnown = {"Grow heap to ",
                               "Grew ",
                               "Adding block map",
                               "Initiating full world-stop",
                               "Will retry suspend",
                               "Number of processors",
                               "Soft-dirty bit",
                               "Recycle ",
                               "Marked from ",
                               "***>Full mark",
                               "Pushed ",
                               "Immediately reclaimed",
                               "Bytes recovered",
                               "Starting mark helper",
                               "Finished mark helper",
                               "Starting marking for",
                               "Finished marking for",
                               "Started ",
                               "0 finalization",
                               "prof ",
                               "Abandoned stopped marking",
                               "World-stopped marking abandoned",
                               "Heap section",
                               "GC Warning",
                               "Blacklisted",
                               "Registered ",
                               "Dropped ",
                               "Roots: ",
                               "Forcing ",
                               "Performing ",
                               "Counters ",
                               "Reclaim ",
                               "Stopping the world",
                               "World stopped",
                               "World starting",
                               "World started",
                               "Static roots",
                               "Ignoring ",
                               "Scanning ",
                               "Using ",
                               "Marking "};

class BoehmReader final : public LogReader {
 public:
  explicit BoehmReader(const std::string& workload) : builder_(workload) {
    builder_.collector = {{"name", "boehm"}};
  }

  void line(std::string_view text) override {
    if (take(text)) {
      builder_.line_read();
    } else if (is_known(text)) {
      builder_.line_ignored();
    } else {
      builder_.line_unread(text);
    }
  }

  json finish() override {
    end_cycle();
    if (number_ != 0) builder_.memstats["NumGC"] = number_;
    return builder_.finish("boehm", true, clock_);
  }

 private:
  bool take(std::string_view text) {
    LineScanner s(text);
    s.skip_spaces();
    if (const auto microseconds = s.decimal()) {
      if (s.accept(" us ")) return take_event(s.rest(), static_cast<int64_t>(*microseconds * 1e3 + 0.5));
      return false;
    }
    if (s.accept("--> Marking for collection #")) {
      end_cycle();
      const auto number = s.count(kMost);
      if (!number || *number == 0 || !s.accept(" after ")) return false;
      const auto bytes = s.count(kMost);
      if (!bytes || allocated_ > kMost) return false;
      open_ = true;
      begin_ns_ = now_ns_;
      allocated_ += *bytes;
      return true;
    }
    if (s.accept("GC #")) {
      const auto number = s.count(kMost);
      if (!number || *number == 0 || !s.accept(" freed ") || !s.integer() || !s.accept(" bytes, heap "))
        return false;
      const auto kib = s.count(kMost >> 10);
      if (!kib) return false;
      number_ = *number;
      heap_bytes_ = *kib << 10;
      return true;
    }
    if (s.accept("World-stopped marking took ")) return take_stop(s);
    if (s.accept("In-use heap: ")) {
      if (!s.until("% (")) return false;
      const auto pointers = s.count(kMost >> 10);
      if (!pointers || !s.accept(" KiB pointers + ")) return false;
      const auto other = s.count(kMost >> 10);
      if (!other) return false;
      live_bytes_ = (*pointers + *other) << 10;
      return true;
    }
    if (s.accept("Finalize and initiate sweep took ") || s.accept("Finalize plus initiate sweep took ")) {
      const auto first = milliseconds_and_nanoseconds(s);
      if (!first || !s.accept(" + ")) return false;
      const auto second = milliseconds_and_nanoseconds(s);
      if (!second) return false;
      now_ns_ += *first + *second;
      return true;
    }
    if (s.accept("Complete collection took ")) {
      const auto whole = milliseconds_and_nanoseconds(s);
      if (!whole) return false;
      if (open_) now_ns_ = std::max(now_ns_, begin_ns_ + *whole);
      end_cycle();
      return true;
    }
    return false;
  }

  // Of bytes and of collections: sums of two still fit.
  static constexpr int64_t kMost = int64_t{1} << 60;

  // "0 ms 174259 ns", or "12 msecs" before 8.0.
  std::optional<int64_t> milliseconds_and_nanoseconds(LineScanner& s) const {
    const auto ms = s.integer();
    if (!ms || *ms < 0 || *ms > 1'000'000'000 || now_ns_ > ReportBuilder::kLatestNs) return std::nullopt;
    if (s.accept(" msecs")) return *ms * 1'000'000;
    if (!s.accept(" ms ")) return std::nullopt;
    const auto ns = s.integer();
    if (!ns || *ns < 0 || *ns >= 1'000'000 || !s.accept(" ns")) return std::nullopt;
    return *ms * 1'000'000 + *ns;
  }

  bool take_stop(LineScanner& s) {
    const auto duration = milliseconds_and_nanoseconds(s);
    if (!duration) return false;
    ImportedPause pause{"mark", now_ns_, *duration, {}, {}, {}, {}};
    if (number_ != 0) pause.cycle = number_;
    builder_.add_pause(std::move(pause));
    now_ns_ += *duration;
    mark_ns_ += *duration;
    return true;
  }

  // A collection of the log ends where the next begins, or with its "Complete" line.
  void end_cycle() {
    if (!open_) return;
    open_ = false;
    if (heap_bytes_ == 0) return;  // abandoned: a stop, but no collection
    json cycle{{"number", number_},
               {"kind", "full"},
               {"trigger", "heap"},
               {"begin_ns", std::min(begin_ns_, now_ns_)},  // later where events stand in between
               {"end_ns", now_ns_},
               {"total_alloc_bytes", allocated_},
               {"durations_ns", {{"mark", mark_ns_}}},
               {"heap_bytes", {{"live", live_bytes_}, {"capacity", heap_bytes_}}}};
    builder_.add_cycle(std::move(cycle));
    heap_bytes_ = 0;
    live_bytes_ = 0;
    mark_ns_ = 0;
  }

  bool take_event(std::string_view name, int64_t at) {
    if (at < last_event_ns_) return false;  // of another process, or damaged
    last_event_ns_ = at;
    clock_ = true;
    builder_.alive(at);
    if (name == "START") {
      begin_ns_ = at;
      stopped_ = false;
    } else if (name == "PRE_STOP_WORLD") {
      stop_begin_ns_ = at;
    } else if (name == "POST_STOP_WORLD") {
      stop_reached_ns_ = at;
    } else if (name == "MARK_START") {
      mark_begin_ns_ = at;
    } else if (name == "MARK_END") {
      mark_ns_ = std::min(ReportBuilder::kLatestNs, mark_ns_ + at - mark_begin_ns_);
    } else if (name == "POST_START_WORLD") {
      builder_.add_pause({"mark",
                          stop_begin_ns_,
                          at - stop_begin_ns_,
                          stop_reached_ns_ - stop_begin_ns_,
                          number_ + 1,
                          {},
                          {}});
      stopped_ = true;
    } else if (name == "END") {
      if (!stopped_) return true;  // an attempt that was given up
      builder_.add_cycle({{"number", ++number_},
                          {"kind", "full"},
                          {"trigger", "heap"},
                          {"begin_ns", std::min(begin_ns_, at)},
                          {"end_ns", at},
                          {"durations_ns", {{"mark", mark_ns_}}}});
      mark_ns_ = 0;
    } else {
      return name == "PRE_START_WORLD" || name == "RECLAIM_START" || name == "RECLAIM_END" ||
             name == "THREAD_SUSPENDED" || name == "THREAD_UNSUSPENDED";
    }
    return true;
  }

  static bool is_known(std::string_view text) {
    if (text.empty()) return true;
    for (const char* known : kKnown) {
      if (text.starts_with(known)) return true;
    }
    LineScanner s(text);
    if (!s.integer()) return false;
    for (const char* known : {" finalization", " bytes in heap blacklisted", " bytes in "}) {
      if (s.rest().starts_with(known)) return true;
    }
    return false;
  }

  ReportBuilder builder_;
  bool clock_ = false;
  bool open_ = false;
  bool stopped_ = false;
  int64_t now_ns_ = 0;  // of the log: time spent in collections
  int64_t begin_ns_ = 0;
  int64_t mark_ns_ = 0;
  int64_t number_ = 0;
  int64_t allocated_ = 0;
  int64_t heap_bytes_ = 0;
  int64_t live_bytes_ = 0;
  int64_t stop_begin_ns_ = 0;
  int64_t stop_reached_ns_ = 0;
  int64_t mark_begin_ns_ = 0;
  int64_t last_event_ns_ = 0;
};

}  // namespace

std::unique_ptr<LogReader> make_boehm_reader(const std::string& workload) {
  return std::make_unique<BoehmReader>(workload);
}

}  // namespace keel
