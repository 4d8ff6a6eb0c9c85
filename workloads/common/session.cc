// Signals, progress and the exit; see session.h.
#include "workloads/common/session.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>

#include "allocator/base/clock.h"
#include "allocator/base/machine.h"
#include "allocator/base/out_of_memory.h"
#include "allocator/base/units.h"
#include "reports/api/files.h"
#include "reports/recorder/build_facts.h"
#include "workloads/common/exit_signals.h"

namespace keel {
namespace {

// relaxed [crash.hook]: set before anybody can fail; no data hangs on it that a dying thread could wait for.
std::atomic<Session*> g_session{nullptr};

// std::terminate(): an exception that nobody catches, or that leaves a destructor. Out of memory is not a
// crash.
extern const std::terminate_handler g_terminate_before;
void on_terminate() {
  if (const std::exception_ptr thrown = std::current_exception()) {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::bad_alloc& e) {
      char sentence[256];
      std::snprintf(sentence, sizeof sentence, "out of memory: %s", e.what());
      end_out_of_memory(sentence);
    } catch (...) {  // the handler before says what it is
    }
  }
  g_terminate_before();
  std::abort();
}
// Before main(): options take memory too.
const std::terminate_handler g_terminate_before = std::set_terminate(on_terminate);

// The main thread's stack grows as it is used, and where addresses are out (RLIMIT_AS) it does not: saying so
// would be a fault. So what the last words need is there before.
__attribute__((noinline)) void grow_stack() {
  constexpr size_t kLastWordsBytes = 128 * kKiB;
  [[maybe_unused]] volatile char room[kLastWordsBytes];
  for (size_t at = 0; at < kLastWordsBytes; at += 1024) room[at] = 0;
}

// A dying thread waits so long for the report.
constexpr int64_t kGraceNs = 5 * kSecond;
// A workload that was asked to stop has so long to come back and write the full report: the program is gone
// within two seconds, whatever it was at. The rest is for building and writing the report.
constexpr int64_t kStopGraceNs = kSecond;
constexpr int64_t kProgressNs = 20'000'000;
// From then on an output that nobody reads is given up, after 200 ms without a reader for each.
constexpr int64_t kGiveUpNs = 1200 * kMillisecond;
// And then nothing but standard output and error can still hold it up.
constexpr int64_t kLastNs = 1900 * kMillisecond;

nlohmann::json workload_json(const std::string& name, const CommonOptions& o) {
  return {{"name", name}, {"arguments", o.arguments}, {"seed", o.seed}, {"threads", o.threads}};
}

nlohmann::json collector_json(const CommonOptions& o) {
  nlohmann::json collector{{"name", to_string(o.collector)}, {"ballast_bytes", o.ballast_bytes}};
  if (o.collector == Collector::kKeel) {
    collector["version"] = kVersion;
    collector["barrier"] = o.heap.barrier;
    collector["transitions"] = o.heap.transitions;
    const HeapConfig& heap = o.heap;
    std::string goal = to_string(heap.goal);
    if (heap.goal == GoalRule::kFixed) goal += "=" + format_size(heap.fixed_goal_bytes);
    if (heap.goal == GoalRule::kMembalancer) goal += fmt::format("={}", heap.membalancer_per_mib);
    collector["goal"] = goal;
    if (heap.goal == GoalRule::kGogc && heap.gogc_percent >= 0) collector["gogc_percent"] = heap.gogc_percent;
    if (heap.memory_limit_bytes < HeapConfig::kNoLimit)
      collector["memory_limit_bytes"] = heap.memory_limit_bytes;
    collector["mark_workers"] =
        o.heap.mark_workers != 0 ? static_cast<int>(o.heap.mark_workers) : usable_cores();
    collector["roots"] = o.heap.roots == Roots::kPrecise ? "precise" : "conservative";
  }
  if (o.heap.max_heap_bytes != 0) collector["max_heap_bytes"] = o.heap.max_heap_bytes;
  return collector;
}

RecorderOptions recorder_options(const std::string& workload, const CommonOptions& o) {
  RecorderOptions r;
  r.gctrace = o.gctrace;
  r.pacertrace = o.pacertrace;
  r.scavtrace = o.scavtrace;
  r.anonymous = o.anonymous;
  r.sample_interval_ns = o.sample_interval_ns;
  r.events_path = o.events_path;
  if (!o.events_path.empty())
    r.about = {{"workload", workload_json(workload, o)}, {"collector", collector_json(o)}};
  return r;
}

}  // namespace

// Without memory for its log there is nothing to run and nothing to report.
Session::Session(std::string workload, const CommonOptions& options) try
    : workload_(std::move(workload)),
      pid_(getpid()),
      options_(options),
      shows_progress_(options.progress && !options.quiet && isatty(STDERR_FILENO) != 0),
      recorder_(recorder_options(workload_, options)) {
  if (options.cores > 0) {
    // Before any thread exists: all of them inherit it, and the collector sizes itself by it.
    const std::vector<int> cores = affinity_cores();
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = 0; i < options.cores; ++i) CPU_SET(cores[static_cast<size_t>(i)], &set);
    sched_setaffinity(0, sizeof set, &set);
  }
  // Every thread started from here on leaves these signals to the signal thread.
  sigemptyset(&watched_);
  for (int n : {SIGINT, SIGTERM, SIGUSR2}) sigaddset(&watched_, n);
  pthread_sigmask(SIG_BLOCK, &watched_, nullptr);
  exit_signals::block();
  try {
    signals_ = Thread([this] { signal_loop(); });
  } catch (const std::system_error& e) {
    std::fprintf(stderr, "%s: no thread to wait for signals: %s\n", workload_.c_str(),
                 e.code().message().c_str());
    std::_Exit(3);
  }
  crash_reporter_.emplace(crash_options());
  grow_stack();
  g_session.store(this, std::memory_order_relaxed);
  set_exhaustion_hook(on_exhaustion);
} catch (const std::bad_alloc& e) {
  std::fprintf(stderr, "keel: %s\n", e.what());
  std::_Exit(3);
}

CrashOptions Session::crash_options() {
  CrashOptions crash;
  crash.traceback = options_.traceback;
  if (!options_.report_path.empty() && is_file_output(options_.report_path))
    crash.path = options_.report_path + ".crash.txt";
  // Boehm's incremental mode learns of stores by SIGSEGV.
  crash.memory_faults = options_.collector != Collector::kBoehmIncremental;
  crash.last_words = [this](int signal, const char* what) { last_words(signal, what); };
  return crash;
}

void Session::last_words(int signal, const char* what) {
  if (options_.report_path.empty() || getpid() != pid_ ||
      pthread_equal(pthread_self(), signals_.native_handle()) != 0) {
    return;
  }
  std::snprintf(crash_text_, sizeof crash_text_, "%s", what);
  if (signal != 0) signal_.store(signal, std::memory_order_relaxed);
  crashed_.store(true, std::memory_order_release);
  pthread_kill(signals_.native_handle(), SIGUSR2);
  // It allocates and takes locks, which this thread may hold: then there is no report, but an end.
  const int64_t end = now_ns() + kGraceNs;
  while (!crash_written_.load(std::memory_order_relaxed) && now_ns() < end) {
    const timespec pause{0, 1'000'000};
    nanosleep(&pause, nullptr);
  }
}

void Session::on_exhaustion(const char* sentence) {
  if (Session* session = g_session.load(std::memory_order_relaxed)) session->last_words(0, sentence);
}

Session::~Session() {
  set_exhaustion_hook(nullptr);
  g_session.store(nullptr, std::memory_order_relaxed);
  crash_reporter_.reset();
  finished_.store(true, std::memory_order_relaxed);
  pthread_kill(signals_.native_handle(), SIGUSR2);
  signals_.join();
  // The program's exit is left, in which standard output may wait for its reader.
  exit_signals::note_written();
  exit_signals::answer_at_once(deadline_ns_.load(std::memory_order_relaxed));
}

int Session::next_signal(const sigset_t& watched, int64_t end_ns) const {
  for (;;) {
    const int64_t left = std::max<int64_t>(0, end_ns - now_ns());
    const timespec time{left / kSecond, left % kSecond};
    const int number = end_ns != 0 ? sigtimedwait(&watched, nullptr, &time) : sigwaitinfo(&watched, nullptr);
    if (number > 0) return number;
    if (end_ns != 0 && errno == EAGAIN) return 0;
  }
}

void Session::signal_loop() {
  pthread_setname_np(pthread_self(), "keel-signals");
  for (;;) {
    const int number = next_signal(watched_, 0);
    // relaxed [session.stop], and acquire [session.crash].
    if (finished_.load(std::memory_order_relaxed)) return;
    if (crashed_.load(std::memory_order_acquire)) write_for_the_dying();
    if (number != SIGUSR2) return answer(number);
  }
}

void Session::answer(int number) {
  const int64_t begin = now_ns();
  deadline_ns_.store(begin + kLastNs, std::memory_order_relaxed);
  signal_.store(number, std::memory_order_relaxed);
  exit_signals::note_first(number);
  give_up_outputs_from(begin + kGiveUpNs);
  request_stop();
  // Time for the workload to come back and write the full report.
  for (int next = 0; (next = next_signal(watched_, begin + kStopGraceNs)) != 0;) {
    if (next != SIGUSR2) _exit(128 + next);
    if (finished_.load(std::memory_order_relaxed)) return;
    if (crashed_.load(std::memory_order_acquire)) write_for_the_dying();
  }
  exit_signals::answer_at_once(begin + kLastNs);
  if (!writing_.exchange(true, std::memory_order_relaxed)) {
    write_incomplete();
    if (crashed_.load(std::memory_order_acquire)) write_for_the_dying();
    _exit(128 + number);
  }
  // The workload has come back and writes.
  sigset_t own;
  sigemptyset(&own);
  sigaddset(&own, SIGUSR2);
  while (!finished_.load(std::memory_order_relaxed)) {
    next_signal(own, 0);
    if (crashed_.load(std::memory_order_acquire)) write_for_the_dying();
  }
}

void Session::write_for_the_dying() {
  exit_signals::answer_at_once(deadline_ns_.load(std::memory_order_relaxed));
  give_up_outputs_from(now_ns() + kGiveUpNs);
  try {
    {
      std::lock_guard lock(mu_);
      error_ = crash_text_;
    }
    write_incomplete();
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "%s: report: not written: there is no memory for it\n", workload_.c_str());
  }
  crash_written_.store(true, std::memory_order_relaxed);
  for (;;) pause();  // the dying thread takes the process
}

void Session::write_incomplete() {
  note_written("events", recorder_.finish_events());
  if (!options_.report_path.empty() || !options_.trace_path.empty()) write_files(build(false));
}

bool Session::note_written(const char* what, const Result<bool>& written) const {
  if (!written) print_error_line(workload_ + ": " + what + ": " + written.error());
  return written.ok();
}

bool Session::write_files(const nlohmann::json& report) const {
  const bool report_last = !is_file_output(options_.report_path);
  bool all = true;
  for (const bool last : {false, true}) {
    if (!options_.report_path.empty() && last == report_last)
      all = note_written("report", write_report(report, options_.report_path)) && all;
    if (!options_.trace_path.empty() && last == !is_file_output(options_.trace_path))
      all = note_written("trace", write_trace(report, options_.trace_path)) && all;
  }
  return all;
}

void Session::fail_out_of_memory(const std::string& text) {
  {
    std::lock_guard lock(mu_);
    if (error_.empty()) error_ = text;
  }
  request_stop();
}

void Session::set_self_check(bool passed, const std::string& detail) {
  std::lock_guard lock(mu_);
  self_check_done_ = true;
  self_check_passed_ = passed;
  self_check_detail_ = detail;
}

nlohmann::json Session::build(bool complete) {
  nlohmann::json sections;
  {
    std::lock_guard lock(mu_);
    sections = sections_;
    nlohmann::json workload = workload_json(workload_, options_);
    if (self_check_done_)
      workload["self_check"] = {{"passed", self_check_passed_}, {"detail", self_check_detail_}};
    sections["workload"] = std::move(workload);
    if (!error_.empty()) sections["run"]["error"] = error_;
  }
  sections["collector"] = collector_json(options_);
  if (const int number = signal_.load(std::memory_order_relaxed)) sections["run"]["signal"] = number;
  return recorder_.report(sections, complete);
}

void Session::draw(double share, const std::string& what) {
  constexpr int kWidth = 30;
  const int full = static_cast<int>(std::clamp(share, 0.0, 1.0) * kWidth);
  std::fprintf(stderr, "\r%s [%s%s] %3d %% %s\033[K", workload_.c_str(),
               std::string(static_cast<size_t>(full), '#').c_str(),
               std::string(static_cast<size_t>(kWidth - full), '.').c_str(), static_cast<int>(share * 100),
               what.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void Session::show_progress(double share, const std::string& what) {
  if (!shows_progress_) return;
  const int64_t now = now_ns();
  if (now - drawn_ns_ < kProgressNs) return;
  drawn_ns_ = now;
  draw(share, what);
}

void Session::end_progress() {
  if (drawn_) std::fprintf(stderr, "\r\033[K");
  drawn_ = false;
}

void Session::wait(const std::function<bool()>& done, const std::function<double()>& share,
                   const std::string& what) {
  while (!stop_requested() && !done()) {
    if (shows_progress_) draw(share(), what);
    timespec pause{0, kProgressNs};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
  }
  end_progress();
}

int Session::finish(const std::function<void(nlohmann::json&)>& add_sections) {
  if (getpid() != pid_) return 2;
  nlohmann::json more = nlohmann::json::object();
  add_sections(more);
  recorder_.finish();
  {
    std::lock_guard lock(mu_);
    for (auto& [key, value] : more.items()) sections_[key] = value;
  }
  if (writing_.exchange(true, std::memory_order_relaxed)) {
    for (;;) pause();  // too late: the signal thread writes the report and ends the process
  }
  const int number = signal_.load(std::memory_order_relaxed);
  std::string error;
  {
    std::lock_guard lock(mu_);
    error = error_;
  }
  // Not under the lock: it may wait for who reads stderr.
  const bool out_of_memory = !error.empty();
  if (out_of_memory) print_error_line(workload_ + ": " + error);
  bool all_written = note_written("events", recorder_.finish_events());
  const nlohmann::json report = build(number == 0 && !out_of_memory);
  int status = number != 0 ? 128 + number : out_of_memory ? 3 : 0;
  if (status == 0 && self_check_done_ && !self_check_passed_) {
    print_error_line(workload_ + ": self-check failed: " + self_check_detail_);
    status = 1;
  }
  all_written = write_files(report) && all_written;
  exit_signals::note_written();
  if (!all_written && status == 0) {
    // Given up because of a signal that came meanwhile, or not writable.
    const int late = signal_.load(std::memory_order_relaxed);
    status = late != 0 ? 128 + late : 1;
  }
  if (!options_.quiet && options_.report_path != "-") {
    const auto& run = report["run"];
    std::string line = workload_ + ": " + std::to_string(report["cycles"].size()) + " collections";
    const auto& latency = report["latency"];
    if (latency.contains("simple")) {
      const auto& simple = latency["simple"];
      line += ", " + std::to_string(simple.value("count", uint64_t{0})) + " operations, p50 " +
              human_duration(simple.value("p50_ns", 0.0));
      if (simple.contains("p99_ns")) line += ", p99 " + human_duration(simple.value("p99_ns", 0.0));
      line += ", max " + human_duration(simple.value("max_ns", 0.0));
    }
    line += ", peak resident " + human_size(run.value("peak_rss_bytes", 0.0));
    std::printf("%s\n", line.c_str());
    if (number != 0)
      std::printf("%s: stopped by signal %d; the report is marked incomplete\n", workload_.c_str(), number);
  }
  return status;
}

ThreadUse thread_use(uint32_t id, const std::string& name, const std::string& role) {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  ThreadUse use;
  use.id = id;
  use.name = name;
  use.role = role;
  use.cpu_ns = thread_cpu_ns();
  use.involuntary_switches = usage.ru_nivcsw;
  return use;
}

}  // namespace keel
