// Recording: threads, rings, samples; see reports/api/run_recorder.h.
#include "reports/api/run_recorder.h"

#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "allocator/base/check.h"
#include "allocator/base/clock.h"
#include "allocator/base/machine.h"
#include "reports/output/file_calls.h"
#include "reports/output/gctrace.h"
#include "reports/output/output_file.h"
#include "reports/recorder/environment.h"
#include "reports/recorder/event_log.h"

namespace keel {
namespace {

// The longest pauses that are no world stops; all of them are in the totals.
constexpr size_t kLongest = 10000;
// Preallocated samples: more than half an hour at the default interval.
constexpr size_t kMostSamples = 200000;
constexpr int64_t kControlSleepNs = 1'000'000;
// Of one thread: 256 MiB of addresses.
constexpr size_t kMostRequests = size_t{1} << 25;
static_assert(kPauseKinds <= IntervalLog::kKinds);

bool longer(const PauseRecord& a, const PauseRecord& b) { return a.duration_ns > b.duration_ns; }

}  // namespace

RunRecorder::RunRecorder(RecorderOptions options) : options_(std::move(options)) {
  started_ns_ = now_ns();
  started_unix_ns_ = to_unix_ns(started_ns_);
}

RunRecorder::~RunRecorder() { finish(); }

Result<bool> RunRecorder::start(std::function<HeapSample()> sample) {
  sample_ = std::move(sample);
  if (const Result<bool> opened = open_events(); !opened) return opened;
  {
    MutexLock lock(mu_);
    samples_.reserve(4096);
    cycles_.reserve(1024);
    world_stops_.reserve(2048);
    longest_.reserve(kLongest + 1);
    if (events_ != nullptr) {
      nlohmann::json head{
          {"schema", "keel.events"}, {"schema_version", 1}, {"started_unix_ns", started_unix_ns_}};
      head.update(options_.about);
      head["environment"] = environment_json(options_.anonymous);
      write_event(head);
    }
  }
  try {
    sampler_ = Thread([this] { sample_loop(); });
    control_ = Thread([this] { control_loop(); });
  } catch (const std::system_error& e) {
    finish();
    static_cast<void>(finish_events());
    return Error{std::string("no thread to record with: ") + e.code().message()};
  }
  return true;
}

Result<bool> RunRecorder::open_events() {
  const std::string& path = options_.events_path;
  if (path.empty()) return true;
  {
    // What is true while a FIFO has no reader, for the report that a signal asks for meanwhile.
    MutexLock lock(mu_);
    events_error_ = "'" + path + "' cannot be written: nobody reads it";
  }
  // Not under the lock: a FIFO waits for its reader.
  Result<std::unique_ptr<OutputFile>> opened = OutputFile::open(path, OutputWay::kInPlace);
  if (!opened) {
    // Given up because the run is to end: it does without.
    if (file_calls::is_giving_up()) return true;
    return Error{"option --events: " + opened.error()};
  }
  try {
    auto log = std::make_unique<EventLog>(std::move(opened).value());
    MutexLock lock(mu_);
    events_ = std::move(log);
    events_error_.clear();
  } catch (const std::system_error& e) {
    return Error{std::string("no thread to record with: ") + e.code().message()};
  }
  return true;
}

void RunRecorder::begin_measured() {
  MutexLock lock(mu_);
  measured_begin_ns_ = now_ns();
  if (events_ != nullptr) write_event({{"measured", {{"begin_ns", since_start(measured_begin_ns_)}}}});
}

void RunRecorder::end_measured() {
  MutexLock lock(mu_);
  measured_end_ns_ = now_ns();
  if (events_ != nullptr) write_event({{"measured", {{"end_ns", since_start(measured_end_ns_)}}}});
}

void RunRecorder::note_rss_start() {
  const ProcessMemory memory = process_memory();
  MutexLock lock(mu_);
  rss_start_ = memory.resident_bytes - std::min(memory.resident_bytes, held_up_.bytes());
}

void RunRecorder::note_rss_end() {
  const ProcessMemory memory = process_memory();
  const uint64_t reserved = reserved_ ? reserved_() : 0;
  MutexLock lock(mu_);
  uint64_t log_bytes = held_up_.bytes();
  uint64_t log_addresses = held_up_.address_bytes();
  for (const auto& log : request_logs_) {
    log_bytes += log->bytes();
    log_addresses += log->address_bytes();
  }
  rss_end_ = memory.resident_bytes - std::min(memory.resident_bytes, log_bytes);
  peak_rss_ = memory.peak_resident_bytes;
  virtual_bytes_ = memory.virtual_bytes - std::min(memory.virtual_bytes, reserved + log_addresses);
}

void RunRecorder::end_run() {
  MutexLock lock(mu_);
  if (finished_ns_ >= 0) return;
  drain_logs();
  finished_ns_ = now_ns();
}

void RunRecorder::finish() {
  end_run();
  // relaxed [recorder.stop].
  stopping_.store(true, std::memory_order_relaxed);
  if (sampler_.joinable()) sampler_.join();
  if (control_.joinable()) control_.join();
  MutexLock lock(mu_);
  drain_logs();
}

void* RunRecorder::on_attach(uint32_t thread, const char* name) {
  MutexLock lock(mu_);
  if (free_logs_.empty()) {
    logs_.push_back(std::make_unique<PauseLog>(thread, name));
  } else {
    logs_.push_back(std::move(free_logs_.back()));
    free_logs_.pop_back();
    logs_.back()->reuse(thread, name);
  }
  return logs_.back().get();
}

// The thread's totals stay, its log is for the next one: programs start threads by the thousand.
void RunRecorder::on_detach(void* thread_data) {
  MutexLock lock(mu_);
  const auto at =
      std::find_if(logs_.begin(), logs_.end(), [&](const auto& log) { return log.get() == thread_data; });
  KEEL_CHECK(at != logs_.end(), "recorder: an unknown thread leaves");
  drain_log(**at);
  for (int k = 0; k < kPauseKinds; ++k) {
    const auto kind = static_cast<PauseKind>(k);
    const LogHistogram& total = (*at)->totals(kind);
    if (total.count() == 0) continue;
    if (gone_totals_.size() < kMostGoneTotals) {
      gone_totals_.push_back(total_json(kind, (*at)->thread(), total));
    } else {
      rest_totals_[static_cast<size_t>(k)].merge(total);
    }
  }
  gone_recorded_ += (*at)->recorded();
  gone_dropped_ += (*at)->dropped();
  free_logs_.push_back(std::move(*at));
  logs_.erase(at);
}

void RunRecorder::on_pause(void* thread_data, const PauseRecord& pause) {
  static_cast<PauseLog*>(thread_data)->add(pause);
}

void RunRecorder::on_world_stop(const PauseRecord& pause) {
  MutexLock lock(mu_);
  if (finished_ns_ >= 0) return;
  world_stops_.push_back(pause);
  stop_totals_[pause.kind == PauseKind::kSweepTermination ? 0 : 1].record(pause.duration_ns);
  if (events_ != nullptr) write_event({{"pause", pause_json(pause)}});
}

void RunRecorder::on_cycle(const CycleRecord& cycle) {
  if (options_.pacertrace) std::fprintf(stderr, "%s\n", pacertrace_lines(cycle).c_str());
  if (options_.scavtrace) std::fprintf(stderr, "%s\n", scavtrace_line(cycle).c_str());
  if (options_.gctrace) std::fprintf(stderr, "%s\n", gctrace_line(cycle, started_ns_).c_str());
  MutexLock lock(mu_);
  if (finished_ns_ >= 0) return;
  cycles_.push_back(cycle);
  if (events_ != nullptr) write_event({{"cycle", cycle_json(cycle)}});
}

void RunRecorder::on_worker(uint32_t cycle, const WorkerRecord& stretch) {
  MutexLock lock(mu_);
  if (finished_ns_ >= 0) return;
  if (work_.size() < kMostWork) {
    work_.emplace_back(cycle, stretch);
  } else {
    ++dropped_work_;
  }
}

void RunRecorder::add_foreign_cycle(const ForeignCycle& cycle) {
  MutexLock lock(mu_);
  if (finished_ns_ >= 0) return;
  foreign_cycles_.push_back(cycle);
  if (events_ != nullptr) write_event({{"cycle", foreign_json(cycle)}});
}

void RunRecorder::add_thread(ThreadUse use) {
  MutexLock lock(mu_);
  threads_.push_back(std::move(use));
}

void RunRecorder::add_latency(const LogHistogram& histogram) {
  MutexLock lock(mu_);
  latency_.merge(histogram);
}

IntervalLog& RunRecorder::request_log() {
  MutexLock lock(mu_);
  request_logs_.push_back(std::make_unique<IntervalLog>(kMostRequests));
  return *request_logs_.back();
}

void RunRecorder::keep_longest(const PauseRecord& pause) {
  longest_.push_back(pause);
  std::push_heap(longest_.begin(), longest_.end(), longer);
  if (longest_.size() <= kLongest) return;
  std::pop_heap(longest_.begin(), longest_.end(), longer);
  longest_.pop_back();
}

void RunRecorder::drain_logs() {
  for (auto& log : logs_) drain_log(*log);
  // Every millisecond, so that a killed run has lost no more: a flush for each of a burst would hold up all.
  flush_events();
}

void RunRecorder::drain_log(PauseLog& log) {
  log.drain([this](const PauseRecord& pause) KEEL_REQUIRES(mu_) {
    if (finished_ns_ >= 0 && pause.begin_ns + pause.duration_ns > finished_ns_) return;
    keep_longest(pause);
    held_up_.add(pause.begin_ns, pause.begin_ns + pause.duration_ns, static_cast<uint32_t>(pause.kind));
    if (events_ != nullptr) write_event({{"pause", pause_json(pause)}});
  });
}

void RunRecorder::write_event(const nlohmann::json& line) {
  events_->add(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

// What cannot be written ends the log where it is: finish_events() tells.
void RunRecorder::flush_events() {
  if (events_ != nullptr) events_->flush();
}

Result<bool> RunRecorder::finish_events() {
  std::unique_ptr<EventLog> events;
  {
    MutexLock lock(mu_);
    events = std::move(events_);
    if (events == nullptr && !events_error_.empty()) return Error{events_error_};
  }
  if (events == nullptr) return true;
  // Not under the lock: it may wait for a reader.
  const EventLog::Ended ended = events->finish();
  MutexLock lock(mu_);
  events_error_ = ended.error;
  events_dropped_ = ended.dropped;
  if (ended.error.empty() && ended.dropped == 0) return true;
  const std::string lines =
      std::to_string(ended.dropped) + (ended.dropped == 1 ? " line" : " lines") + " dropped";
  if (!ended.error.empty()) return Error{ended.error + "; " + lines};
  return Error{"'" + options_.events_path + "' cannot be written as fast as events come: " + lines};
}

void RunRecorder::sample_loop() {
  pthread_setname_np(pthread_self(), "keel-sampler");
  int64_t next = now_ns();
  while (!stopping_.load(std::memory_order_relaxed)) {
    const HeapSample heap = sample_ ? sample_() : HeapSample{};
    const Sample sample{now_ns(), resident_bytes(), heap};
    {
      MutexLock lock(mu_);
      if (finished_ns_ >= 0) return;
      if (samples_.size() < kMostSamples) {
        samples_.push_back(sample);
      } else {
        ++dropped_samples_;
      }
      if (events_ != nullptr) {
        write_event({{"sample", sample_json(sample)}});
      }
    }
    next = std::max(next + options_.sample_interval_ns, now_ns());
    timespec at{next / kSecond, next % kSecond};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr);
  }
}

// Sleeps a millisecond at a time; what a sleep takes beyond that is the machine's doing (jHiccup's idea).
void RunRecorder::control_loop() {
  pthread_setname_np(pthread_self(), "keel-control");
  while (!stopping_.load(std::memory_order_relaxed)) {
    const int64_t before = now_ns();
    timespec pause{0, kControlSleepNs};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
    hiccups_.record(std::max<int64_t>(0, now_ns() - before - kControlSleepNs));
    // Outside what is measured here, and often enough that a ring of 4,096 holds a burst of sweep shares.
    MutexLock lock(mu_);
    drain_logs();
  }
}

}  // namespace keel
