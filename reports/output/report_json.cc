// The report of schema keel.report, version 1: from what was recorded to JSON. What was not measured is
// absent.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "allocator/base/clock.h"
#include "allocator/base/machine.h"
#include "reports/analysis/metered_latency.h"
#include "reports/analysis/utilization.h"
#include "reports/api/run_recorder.h"
#include "reports/recorder/environment.h"

namespace keel {

using nlohmann::json;

nlohmann::json histogram_json(const LogHistogram& histogram) {
  json buckets = json::array();
  histogram.for_each_bucket([&](uint64_t lower, uint64_t upper, uint64_t count) {
    buckets.push_back({lower, upper, count});
  });
  return {{"relative_error", LogHistogram::kRelativeError}, {"buckets", std::move(buckets)}};
}

nlohmann::json mmu_json(const Utilization& all, const Utilization& without_assists) {
  json out = json::array();
  for (const int64_t window : all.windows(10 * kMicrosecond)) {
    out.push_back({{"window_ns", window},
                   {"utilization", all.mmu(window)},
                   {"bounded", all.bmu(window)},
                   {"without_assists", without_assists.mmu(window)}});
  }
  return out;
}

nlohmann::json latency_json(const LogHistogram& h) {
  json out{{"count", h.count()}};
  if (h.count() == 0) return out;
  // A quantile with less than one value beyond it says nothing that the maximum does not.
  struct {
    const char* name;
    double q;
  } const kQuantiles[] = {
      {"p50_ns", .5}, {"p90_ns", .9}, {"p99_ns", .99}, {"p99_9_ns", .999}, {"p99_99_ns", .9999}};
  for (const auto& quantile : kQuantiles) {
    if (static_cast<double>(h.count()) * (1 - quantile.q) >= 1) out[quantile.name] = h.quantile(quantile.q);
  }
  out["max_ns"] = h.max();
  out["histogram"] = histogram_json(h);
  return out;
}

nlohmann::json gc_stats_json(const GcStats& s) {
  return {{"LastGC", s.last_gc_unix_ns},
          {"NumGC", s.num_gc},
          {"PauseTotal", s.pause_total_ns},
          {"PauseQuantiles", s.pause_quantiles_ns}};
}

nlohmann::json finalizers_json(const FinalizerCounts& c) {
  json out{{"finalizers", {{"queued", c.finalizers_queued}, {"executed", c.finalizers_executed}}},
           {"cleanups", {{"queued", c.cleanups_queued}, {"executed", c.cleanups_executed}}}};
  if (c.running_ns != 0) out["running_ns"] = c.running_ns;
  return out;
}

nlohmann::json memstats_json(const HeapStats& s) {
  json by_size = json::array();
  for (const HeapStats::BySize& size : s.by_size) {
    by_size.push_back({{"Size", size.slot_bytes}, {"Mallocs", size.mallocs}, {"Frees", size.frees}});
  }
  return {{"Alloc", s.heap_alloc_bytes},
          {"TotalAlloc", s.total_alloc_bytes},
          {"Sys", s.sys_bytes()},
          {"Lookups", 0},
          {"Mallocs", s.mallocs},
          {"Frees", s.frees},
          {"HeapAlloc", s.heap_alloc_bytes},
          {"HeapSys", s.heap_sys_bytes},
          {"HeapIdle", s.heap_idle_bytes},
          {"HeapInuse", s.heap_in_use_bytes},
          {"HeapReleased", s.heap_released_bytes},
          {"HeapObjects", s.heap_objects},
          {"StackInuse", 0},
          {"StackSys", 0},
          {"MSpanInuse", s.span_in_use_bytes},
          {"MSpanSys", s.span_sys_bytes},
          {"MCacheInuse", s.cache_bytes},
          {"MCacheSys", s.cache_bytes},
          {"BuckHashSys", 0},
          {"GCSys", s.gc_sys_bytes},
          {"OtherSys", s.other_sys_bytes},
          {"NextGC", s.next_gc_bytes},
          {"LastGC", s.last_gc_unix_ns},
          {"PauseTotalNs", s.pause_total_ns},
          {"NumGC", s.num_gc},
          {"NumForcedGC", s.num_forced_gc},
          {"GCCPUFraction", s.gc_cpu_fraction},
          {"EnableGC", true},
          {"DebugGC", false},
          {"BySize", std::move(by_size)}};
}

nlohmann::json RunRecorder::pause_json(const PauseRecord& p) const {
  json out{
      {"kind", to_string(p.kind)}, {"begin_ns", since_start(p.begin_ns)}, {"duration_ns", p.duration_ns}};
  if (p.cycle != 0) out["cycle"] = p.cycle;
  if (p.thread != 0) out["thread"] = p.thread;
  if (p.time_to_stop_ns >= 0) out["time_to_stop_ns"] = p.time_to_stop_ns;
  if (p.wait_ns >= 0) {
    out["parts_ns"] = {{"wait", p.wait_ns},
                       {"own_stack", p.own_stack_ns},
                       {"rest", std::max<int64_t>(0, p.duration_ns - p.wait_ns - p.own_stack_ns)}};
  }
  return out;
}

nlohmann::json RunRecorder::sample_json(const Sample& s) const {
  json sample{{"at_ns", since_start(s.at_ns)}, {"rss_bytes", s.rss_bytes}};
  if (s.heap.heap_bytes) sample["heap_bytes"] = *s.heap.heap_bytes;
  if (s.heap.goal_bytes && *s.heap.goal_bytes < uint64_t{1} << 62)
    sample["heap_goal_bytes"] = *s.heap.goal_bytes;
  if (s.heap.last_gc_unix_ns && *s.heap.last_gc_unix_ns != 0) {
    sample["last_gc_ns"] = *s.heap.last_gc_unix_ns - started_unix_ns_;
  }
  if (s.heap.num_gc) sample["num_gc"] = *s.heap.num_gc;
  return sample;
}

nlohmann::json RunRecorder::cycle_json(const CycleRecord& c) const {
  json out{
      {"number", c.number},
      {"kind", "full"},
      {"trigger", to_string(c.trigger)},
      {"begin_ns", since_start(c.begin_ns)},
      {"end_ns", since_start(c.end_ns)},
      {"total_alloc_bytes", c.total_alloc_bytes},
      {"durations_ns",
       {{"sweep_termination", c.mark_begin_ns - c.begin_ns},
        {"mark", c.mark_termination_ns - c.mark_begin_ns},
        {"mark_termination", c.end_ns - c.mark_termination_ns}}},
      {"transition_ns", {{"start", c.mark_begin_ns - c.begin_ns}, {"end", c.end_ns - c.mark_termination_ns}}},
      {"time_to_stop_ns",
       {{"sweep_termination", c.sweep_termination_stop_ns},
        {"mark_termination", c.mark_termination_stop_ns}}},
      {"heap_bytes",
       {{"trigger", c.heap_trigger_bytes},
        {"begin", c.heap_begin_bytes},
        {"mark_end", c.heap_mark_end_bytes},
        {"live", c.heap_live_bytes},
        {"black", c.black_bytes},
        {"goal", c.heap_goal_bytes}}},
      {"scanned_bytes",
       {{"heap", c.scanned_heap_bytes},
        {"stacks", c.scanned_stack_bytes},
        {"globals", c.scanned_root_bytes}}},
      {"marked_objects", c.marked_objects},
      {"cpu_ns",
       {{"dedicated", c.dedicated_cpu_ns},
        {"fractional", c.fractional_cpu_ns},
        {"idle", c.idle_cpu_ns},
        {"assist", c.assist_ns},
        {"pause", c.pause_cpu_ns},
        {"sweep", c.sweep_cpu_ns},
        {"scavenge", c.scavenge_cpu_ns}}},
      {"limiter_active", c.limiter_active},
      {"pacing",
       {{"assist_ratio", c.assist_ratio},
        {"expected_scan_bytes", c.expected_scan_bytes},
        {"utilization", c.utilization},
        {"cons_mark", c.cons_mark}}},
      {"workers",
       {{"dedicated", c.dedicated_workers}, {"fractional", c.fractional_workers}, {"idle", c.idle_workers}}},
      {"barrier", {{"shaded", c.barrier_shaded}, {"flushes", c.barrier_flushes}}},
      {"roots", {{"words", c.root_words}, {"hits", c.root_hits}}},
      {"termination_rounds", c.termination_rounds},
      {"grey_overflows", c.grey_overflows}};
  if (c.retained_bytes >= 0) {
    out["roots"]["retained_bytes"] = c.retained_bytes;
    out["roots"]["unmarked_targets"] = c.unmarked_stack_targets;
  }
  if (c.rescanned_words != 0) out["roots"]["rescanned_words"] = c.rescanned_words;
  if (c.fallback_stops != 0) out["fallback_stops"] = c.fallback_stops;
  if (c.slowest_thread != 0) out["time_to_stop_ns"]["slowest_thread"] = c.slowest_thread;
  return out;
}

nlohmann::json RunRecorder::foreign_json(const ForeignCycle& c) const {
  json out{{"number", c.number},
           {"kind", "full"},
           {"trigger", c.forced ? "forced" : "heap"},
           {"begin_ns", since_start(c.begin_ns)},
           {"end_ns", since_start(c.end_ns)}};
  if (c.mark_ns >= 0) out["durations_ns"] = {{"mark", c.mark_ns}};
  if (c.total_alloc_bytes) out["total_alloc_bytes"] = *c.total_alloc_bytes;
  json heap = json::object();
  if (c.heap_begin_bytes) heap["begin"] = *c.heap_begin_bytes;
  if (c.heap_live_bytes) heap["live"] = *c.heap_live_bytes;
  if (!heap.empty()) out["heap_bytes"] = heap;
  return out;
}

nlohmann::json RunRecorder::pause_totals() {
  json out = json::array();
  auto add = [&](PauseKind kind, uint32_t thread, const LogHistogram& h) {
    if (h.count() != 0) out.push_back(total_json(kind, thread, h));
  };
  add(PauseKind::kSweepTermination, 0, stop_totals_[0]);
  add(PauseKind::kMarkTermination, 0, stop_totals_[1]);
  for (const json& total : gone_totals_) out.push_back(total);
  for (int kind = 0; kind < kPauseKinds; ++kind)
    add(static_cast<PauseKind>(kind), 0, rest_totals_[static_cast<size_t>(kind)]);
  for (const auto& log : logs_) {
    for (int kind = 0; kind < kPauseKinds; ++kind) {
      add(static_cast<PauseKind>(kind), log->thread(), log->totals(static_cast<PauseKind>(kind)));
    }
  }
  return out;
}

// Of a thread that is still attached or has left.
uint64_t RunRecorder::assist_ns_of(uint32_t thread) {
  for (const auto& log : logs_) {
    if (log->thread() == thread) return log->totals(PauseKind::kAssist).total();
  }
  for (const json& total : gone_totals_) {
    if (total.value("thread", 0U) == thread && total["kind"] == to_string(PauseKind::kAssist))
      return total["total_ns"];
  }
  return 0;
}

nlohmann::json RunRecorder::total_json(PauseKind kind, uint32_t thread, const LogHistogram& h) {
  json total{{"kind", to_string(kind)},
             {"count", h.count()},
             {"total_ns", h.total()},
             {"max_ns", h.max()},
             {"histogram", histogram_json(h)}};
  if (thread != 0) total["thread"] = thread;
  return total;
}

// Absent where a single interruption is missing, in the rings or here: the curve would flatter.
nlohmann::json RunRecorder::utilization_json(uint64_t mutators) {
  uint64_t missing = held_up_.dropped() + gone_dropped_;
  for (const auto& log : logs_) missing += log->dropped();
  if (missing != 0 || (world_stops_.empty() && held_up_.size() == 0)) return json::array();
  const int64_t end = finished_ns_ >= 0 ? finished_ns_ : now_ns();
  const int64_t from = measured_begin_ns_ >= 0 ? measured_begin_ns_ : started_ns_;
  const int64_t to = measured_end_ns_ >= 0 ? measured_end_ns_ : end;
  std::vector<Interruption> all;
  std::vector<Interruption> without_assists;
  auto add = [&](const Interruption& i) {
    all.push_back(i);
    if (static_cast<PauseKind>(i.cause) != PauseKind::kAssist) without_assists.push_back(i);
  };
  for (const PauseRecord& p : world_stops_) {
    add({p.begin_ns, p.begin_ns + p.duration_ns, 1, static_cast<uint32_t>(p.kind)});
  }
  const double share = 1 / static_cast<double>(std::max<uint64_t>(1, mutators));
  held_up_.for_each([&](const IntervalLog::Interval& i) { add({i.begin_ns, i.end_ns, share, i.kind}); });
  return mmu_json(Utilization(std::move(all), from, to), Utilization(std::move(without_assists), from, to));
}

nlohmann::json RunRecorder::metered_json() {
  json out = json::array();
  std::vector<IntervalLog::Interval> requests;
  for (const auto& log : request_logs_) {
    if (log->dropped() != 0) return out;
    requests.reserve(requests.size() + log->size());
    log->for_each([&](const IntervalLog::Interval& r) { requests.push_back(r); });
  }
  if (requests.empty()) return out;
  const MeteredLatency metered(std::move(requests));
  const int64_t span = metered.span_ns();
  std::vector<int64_t> windows;
  for (const int64_t w : {kMillisecond, 10 * kMillisecond, 100 * kMillisecond, kSecond}) {
    if (w < span) windows.push_back(w);
  }
  windows.push_back(span);
  for (const int64_t window : windows) {
    LogHistogram histogram;
    metered.record(window, histogram);
    json row = latency_json(histogram);
    row["window_ns"] = window;
    out.push_back(std::move(row));
  }
  return out;
}

nlohmann::json RunRecorder::run_json() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto ns = [](const timeval& t) { return int64_t{t.tv_sec} * kSecond + int64_t{t.tv_usec} * kMicrosecond; };
  const int64_t end = finished_ns_ >= 0 ? finished_ns_ : now_ns();
  json run{{"started_unix_ns", started_unix_ns_},
           {"wall_ns", end - started_ns_},
           {"user_cpu_ns", ns(usage.ru_utime)},
           {"system_cpu_ns", ns(usage.ru_stime)},
           {"peak_rss_bytes", std::max({peak_rss_ != 0 ? peak_rss_ : process_memory().peak_resident_bytes,
                                        rss_start_, rss_end_})}};  // the kernel counts both a little apart
  if (measured_begin_ns_ >= 0) {
    const int64_t measured_end = measured_end_ns_ >= 0 ? measured_end_ns_ : end;
    run["measured"] = {{"begin_ns", since_start(measured_begin_ns_)}, {"end_ns", since_start(measured_end)}};
  }
  if (rss_start_ != 0) run["rss_start_bytes"] = rss_start_;
  if (rss_end_ != 0) run["rss_end_bytes"] = rss_end_;
  if (virtual_bytes_ != 0) run["virtual_bytes"] = virtual_bytes_;
  return run;
}

nlohmann::json RunRecorder::report(const json& sections, bool complete) {
  MutexLock lock(mu_);
  drain_logs();
  json out{{"schema", "keel.report"}, {"schema_version", 1}, {"complete", complete}};
  out["environment"] = environment_json(options_.anonymous);
  out["run"] = run_json();
  for (const auto& [key, value] : sections.items()) {
    if (key == "run") {
      out["run"].update(value);
    } else {
      out[key] = value;
    }
  }

  json cycles = json::array();
  for (const CycleRecord& cycle : cycles_) cycles.push_back(cycle_json(cycle));
  for (const ForeignCycle& cycle : foreign_cycles_) cycles.push_back(foreign_json(cycle));
  json pauses = json::array();
  for (const PauseRecord& pause : world_stops_) pauses.push_back(pause_json(pause));
  std::vector<PauseRecord> longest = longest_;
  std::sort(longest.begin(), longest.end(),
            [](const PauseRecord& a, const PauseRecord& b) { return a.begin_ns < b.begin_ns; });
  for (const PauseRecord& pause : longest) pauses.push_back(pause_json(pause));
  json samples = json::array();
  for (const Sample& s : samples_) samples.push_back(sample_json(s));
  json threads = json::array();
  for (const ThreadUse& t : threads_) {
    json thread{{"id", t.id},
                {"name", t.name},
                {"role", t.role},
                {"cpu_ns", t.cpu_ns},
                {"involuntary_switches", t.involuntary_switches}};
    if (t.assist_ns >= 0) {
      thread["assist_ns"] = t.assist_ns;
    } else if (!cycles_.empty()) {
      thread["assist_ns"] = assist_ns_of(t.id);
    }
    threads.push_back(std::move(thread));
  }
  // Go's rings of the last 256: entry (NumGC + 255) % 256 is the most recent.
  if (out.contains("memstats") && !cycles_.empty()) {
    json pause_ns = json::array();
    json pause_end = json::array();
    for (size_t i = 0; i < 256; ++i) {
      pause_ns.push_back(0);
      pause_end.push_back(0);
    }
    for (const CycleRecord& c : cycles_) {
      const size_t at = (c.number + 255) % 256;
      pause_ns[at] = c.world_stop_ns;
      pause_end[at] = c.end_unix_ns;
    }
    out["memstats"]["PauseNs"] = std::move(pause_ns);
    out["memstats"]["PauseEnd"] = std::move(pause_end);
  }
  out["cycles"] = std::move(cycles);
  out["pauses"] = std::move(pauses);
  out["pause_totals"] = pause_totals();
  if (!work_.empty()) {
    json work = json::array();
    for (const auto& [cycle, w] : work_) {
      work.push_back({{"cycle", cycle},
                      {"worker", w.worker},
                      {"kind", to_string(w.kind)},
                      {"begin_ns", since_start(w.begin_ns)},
                      {"duration_ns", w.end_ns - w.begin_ns},
                      {"cpu_ns", w.cpu_ns}});
    }
    out["work"] = std::move(work);
  }
  out["threads"] = std::move(threads);
  out["samples"] = std::move(samples);
  json latency = json::object();
  if (latency_.count() != 0) latency["simple"] = latency_json(latency_);
  if (complete) {
    if (json metered = metered_json(); !metered.empty()) latency["metered"] = std::move(metered);
  }
  latency["hiccup"] = latency_json(hiccups_);
  out["latency"] = std::move(latency);
  const json workload = out.value("workload", json::object());
  if (json mmu = utilization_json(workload.value("threads", uint64_t{1})); !mmu.empty()) {
    out["mmu"] = std::move(mmu);
  }
  uint64_t recorded = cycles_.size() + foreign_cycles_.size() + world_stops_.size() + samples_.size();
  uint64_t dropped = dropped_samples_ + gone_dropped_ + dropped_work_;
  recorded += gone_recorded_ + work_.size();
  for (const auto& log : logs_) {
    recorded += log->recorded();
    dropped += log->dropped();
  }
  out["events"] = {{"recorded", recorded}, {"dropped", dropped}};
  out["events"]["interruption_bytes"] = held_up_.bytes();
  if (!events_error_.empty()) out["events"]["log_error"] = events_error_;
  if (events_dropped_ != 0) out["events"]["log_dropped"] = events_dropped_;
  if (complete) {
    uint64_t request_bytes = 0;
    uint64_t dropped_requests = 0;
    for (const auto& log : request_logs_) {
      request_bytes += log->bytes();
      dropped_requests += log->dropped();
    }
    if (request_bytes != 0) out["events"]["request_bytes"] = request_bytes;
    if (dropped_requests != 0) out["events"]["dropped_requests"] = dropped_requests;
  }
  return out;
}

}  // namespace keel
