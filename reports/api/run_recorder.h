// Run recorder: everything that is measured in one run, and the report made of it.
//
// It listens to a Keel heap (GcListener) or takes cycles and stops from another collector's backend, samples
// memory, runs the control thread that measures the machine's own stalls, and writes the report of schema
// keel.report. Recording stops nobody and allocates nothing on the GC heap; drops are counted.
//
// Threads: start(), finish() and write() from the main thread (write() also from the signal thread once
// start() has returned); listener callbacks as GcListener says; add_thread() from any.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "allocator/base/mutex.h"
#include "allocator/base/result.h"
#include "allocator/base/thread.h"
#include "collector/api/events.h"
#include "collector/api/heap.h"
#include "reports/api/interval_log.h"
#include "reports/api/log_histogram.h"
#include "reports/recorder/pause_log.h"

namespace keel {

class EventLog;
class Utilization;

/// A collection of a collector that is not Keel: what its hooks tell, and nothing else.
struct ForeignCycle {
  uint32_t number = 0;
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
  int64_t end_unix_ns = 0;
  int64_t mark_ns = -1;  // < 0: unknown
  bool forced = false;
  std::optional<uint64_t> total_alloc_bytes;
  std::optional<uint64_t> heap_begin_bytes;
  std::optional<uint64_t> heap_live_bytes;
};

/// A moment of the heap, for the sampler: cheap, from any thread, stops nobody.
struct HeapSample {
  std::optional<uint64_t> heap_bytes;
  std::optional<uint64_t> goal_bytes;
  std::optional<int64_t> last_gc_unix_ns;
  std::optional<uint32_t> num_gc;
};

struct ThreadUse {
  uint32_t id = 0;
  std::string name;
  std::string role;
  int64_t cpu_ns = 0;
  int64_t assist_ns = -1;  // < 0: not measured
  int64_t involuntary_switches = 0;
};

struct RecorderOptions {
  bool gctrace = false;
  bool pacertrace = false;
  bool scavtrace = false;
  bool anonymous = false;
  int64_t sample_interval_ns = 10'000'000;
  std::string events_path;
  nlohmann::json about = nlohmann::json::object();  // workload and collector, for the first line of events
};

class RunRecorder final : public GcListener {
 public:
  explicit RunRecorder(RecorderOptions options);
  ~RunRecorder() override;

  /// Starts the clock, the sampler and the control thread. Error: the events file cannot be written. Waits
  /// for the reader of a FIFO, until outputs are given up (reports/output/file_calls.h).
  Result<bool> start(std::function<HeapSample()> sample);
  /// The measured part begins or ends now.
  void begin_measured();
  void end_measured();
  /// Memory: set up, ballast taken, first request not yet served.
  void note_rss_start();
  /// Memory: after the final collection; request logs, which are not the run's, are left out.
  void note_rss_end();
  /// The run ends now: wall_ns. A cycle, a stop, a pause or a sample that ends later is not of this run.
  /// Called where no cycle runs (Heap::between_cycles()), so that none is cut in two. Only the first call
  /// counts. Threads: any.
  void end_run();
  /// end_run(), unless it was; then stops sampler and control thread. Idempotent.
  void finish();
  /// Closes the events file, to which nothing comes any more. Error: something of it could not be written, or
  /// its reader was too slow for all of it; the report says so too. Waits for a reader that reads:
  /// event_log.h. Threads: any.
  Result<bool> finish_events();

  // GcListener.
  void* on_attach(uint32_t thread, const char* name) override;
  void on_detach(void* thread_data) override;
  void on_pause(void* thread_data, const PauseRecord& pause) override;
  void on_world_stop(const PauseRecord& pause) override;
  void on_cycle(const CycleRecord& cycle) override;
  void on_worker(uint32_t cycle, const WorkerRecord& stretch) override;

  /// From another collector.
  void add_foreign_cycle(const ForeignCycle& cycle);

  void add_thread(ThreadUse use);
  /// Adds to the run's request latencies. Threads: any.
  void add_latency(const LogHistogram& histogram);
  /// A log for one thread's requests, those behind add_latency(): for metered latency. Lives as long as the
  /// recorder; read by the report of a complete run, when its thread has stopped. Threads: any.
  IntervalLog& request_log();

  /// The report. `sections` brings workload, collector, results, and memstats and heap_by_layout where known.
  nlohmann::json report(const nlohmann::json& sections, bool complete);

  /// From `started_unix_ns`, in ns.
  [[nodiscard]] int64_t since_start(int64_t monotonic_ns) const { return monotonic_ns - started_ns_; }
  /// Counts virtual memory without addresses that are only reserved.
  void set_reserved_bytes(std::function<uint64_t()> reserved) { reserved_ = std::move(reserved); }

 private:
  struct Sample {
    int64_t at_ns;
    uint64_t rss_bytes;
    HeapSample heap;
  };
  Result<bool> open_events();
  void sample_loop();
  void control_loop();
  void drain_logs() KEEL_REQUIRES(mu_);
  void drain_log(PauseLog& log) KEEL_REQUIRES(mu_);
  [[nodiscard]] uint64_t assist_ns_of(uint32_t thread) KEEL_REQUIRES(mu_);
  static nlohmann::json total_json(PauseKind kind, uint32_t thread, const LogHistogram& histogram);
  void keep_longest(const PauseRecord& pause) KEEL_REQUIRES(mu_);
  [[nodiscard]] nlohmann::json utilization_json(uint64_t mutators) KEEL_REQUIRES(mu_);
  [[nodiscard]] nlohmann::json metered_json() KEEL_REQUIRES(mu_);
  void write_event(const nlohmann::json& line) KEEL_REQUIRES(mu_);
  void flush_events() KEEL_REQUIRES(mu_);
  [[nodiscard]] nlohmann::json sample_json(const Sample& sample) const;
  [[nodiscard]] nlohmann::json pause_json(const PauseRecord& pause) const;
  [[nodiscard]] nlohmann::json cycle_json(const CycleRecord& cycle) const;
  [[nodiscard]] nlohmann::json foreign_json(const ForeignCycle& cycle) const;
  [[nodiscard]] nlohmann::json pause_totals() KEEL_REQUIRES(mu_);
  [[nodiscard]] nlohmann::json run_json() KEEL_REQUIRES(mu_);

  const RecorderOptions options_;
  std::function<HeapSample()> sample_;
  std::function<uint64_t()> reserved_;
  int64_t started_ns_ = 0;
  int64_t started_unix_ns_ = 0;

  Mutex mu_{LockRank::kListener};
  std::vector<std::unique_ptr<PauseLog>> logs_ KEEL_GUARDED_BY(mu_);
  std::vector<std::unique_ptr<PauseLog>> free_logs_ KEEL_GUARDED_BY(mu_);
  // Of threads that have left: each one's, up to a number that keeps the report readable; then all in one.
  static constexpr size_t kMostGoneTotals = 4096;
  std::vector<nlohmann::json> gone_totals_ KEEL_GUARDED_BY(mu_);
  LogHistogram rest_totals_[kPauseKinds] KEEL_GUARDED_BY(mu_);
  uint64_t gone_recorded_ KEEL_GUARDED_BY(mu_) = 0;
  uint64_t gone_dropped_ KEEL_GUARDED_BY(mu_) = 0;
  std::vector<PauseRecord> world_stops_ KEEL_GUARDED_BY(mu_);
  std::vector<PauseRecord> longest_ KEEL_GUARDED_BY(mu_);  // min-heap by duration
  // Every interruption of a single mutator, for utilisation; world stops are above. 64 MiB of addresses: a
  // hundred thousand a second for more than a minute.
  IntervalLog held_up_ KEEL_GUARDED_BY(mu_){size_t{1} << 23};
  LogHistogram stop_totals_[2] KEEL_GUARDED_BY(mu_);
  std::vector<CycleRecord> cycles_ KEEL_GUARDED_BY(mu_);
  static constexpr size_t kMostWork = 100'000;  // stretches of workers; further ones are counted as dropped
  std::vector<std::pair<uint32_t, WorkerRecord>> work_ KEEL_GUARDED_BY(mu_);
  uint64_t dropped_work_ KEEL_GUARDED_BY(mu_) = 0;
  std::vector<ForeignCycle> foreign_cycles_ KEEL_GUARDED_BY(mu_);
  std::vector<Sample> samples_ KEEL_GUARDED_BY(mu_);
  std::vector<ThreadUse> threads_ KEEL_GUARDED_BY(mu_);
  LogHistogram latency_ KEEL_GUARDED_BY(mu_);
  std::vector<std::unique_ptr<IntervalLog>> request_logs_ KEEL_GUARDED_BY(mu_);
  LogHistogram hiccups_;  // written by the control thread alone
  uint64_t dropped_samples_ KEEL_GUARDED_BY(mu_) = 0;
  std::unique_ptr<EventLog> events_ KEEL_GUARDED_BY(mu_);
  uint64_t events_dropped_ KEEL_GUARDED_BY(mu_) = 0;  // finish_events()
  std::string events_error_ KEEL_GUARDED_BY(mu_);
  int64_t measured_begin_ns_ KEEL_GUARDED_BY(mu_) = -1;
  int64_t measured_end_ns_ KEEL_GUARDED_BY(mu_) = -1;
  int64_t finished_ns_ KEEL_GUARDED_BY(mu_) = -1;  // end_run()
  uint64_t rss_start_ KEEL_GUARDED_BY(mu_) = 0;    // without the logs above, which are not the run's
  uint64_t rss_end_ KEEL_GUARDED_BY(mu_) = 0;
  uint64_t peak_rss_ KEEL_GUARDED_BY(mu_) = 0;  // at note_rss_end(): before the report is made
  uint64_t virtual_bytes_ KEEL_GUARDED_BY(mu_) = 0;

  // relaxed [recorder.stop]: the threads look every millisecond; joining orders the rest.
  std::atomic<bool> stopping_{false};
  Thread sampler_;
  Thread control_;
};

/// One entry a window, 1-2-5 steps from 10 us: utilization, bounded, without_assists.
nlohmann::json mmu_json(const Utilization& all, const Utilization& without_assists);
/// {"relative_error": ..., "buckets": [[lower_ns, upper_ns, count], ...]}
nlohmann::json histogram_json(const LogHistogram& histogram);
/// count, p50_ns ... p99_99_ns (where the count allows), max_ns, histogram.
nlohmann::json latency_json(const LogHistogram& histogram);
/// Go's runtime.MemStats names from Keel's counts. PauseNs and PauseEnd come from the cycles in the report.
nlohmann::json memstats_json(const HeapStats& stats);
/// Functions of finalizers and cleanups, queued and executed.
nlohmann::json finalizers_json(const FinalizerCounts& counts);
/// Go's debug.GCStats, without the lists that memstats has.
nlohmann::json gc_stats_json(const GcStats& stats);

}  // namespace keel
