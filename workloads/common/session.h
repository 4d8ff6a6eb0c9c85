// Session: the life of one run around a workload: signals, progress, the report, the exit status.
//
// SIGINT and SIGTERM end a run early: the workload sees stop_requested() and comes back; if it does not
// within a second (it fills a store, waits for a collection, checks the heap), the signal thread itself
// writes the report, so that the program is gone within two. Either way the report is valid, says it is
// incomplete, and the status is 128 + n. An output that nobody reads (a FIFO, a pipe) is given up 1.2 seconds
// after the signal, with a line; files are written before it, and whole however long that takes. A second
// signal ends the program at once: a file is then the old one or the whole new one.
// A failed check or a fatal signal leaves <report>.crash.txt (see collector/api/crash_report.h) and, if the
// rest of the process is still able to, the incomplete report too.
// Out of memory: fail_out_of_memory(), status 3, report incomplete. Nothing measured is lost. Where nobody
// can catch it (a thread of the collector or of the recorder, a destructor), the process ends with a sentence
// and status 3, and the signal thread writes the incomplete report as it does in a crash, if there is memory
// for it.
#pragma once

#include <signal.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "allocator/base/thread.h"
#include "reports/api/run_recorder.h"
#include "workloads/common/options.h"

namespace keel {

class Session {
 public:
  Session(std::string workload, const CommonOptions& options);
  ~Session();

  [[nodiscard]] RunRecorder& recorder() { return recorder_; }
  [[nodiscard]] const CommonOptions& options() const { return options_; }
  /// relaxed [session.stop]: a flag that is looked at between requests.
  [[nodiscard]] bool stop_requested() const { return stop_.load(std::memory_order_relaxed); }
  void request_stop() { stop_.store(true, std::memory_order_relaxed); }
  /// A thread ran out of memory: the run ends, with what the collector said.
  void fail_out_of_memory(const std::string& text);

  void set_self_check(bool passed, const std::string& detail);

  [[nodiscard]] const std::string& workload() const { return workload_; }

  /// A progress bar is wanted, and there is a terminal for it.
  [[nodiscard]] bool shows_progress() const { return shows_progress_; }
  /// Draws it, some 50 times a second and not more often, if it is wanted. Threads: the main one.
  void show_progress(double share, const std::string& what);
  void end_progress();

  /// Sleeps until `done()` or the stop flag, drawing the progress bar. `share()` in [0, 1].
  void wait(const std::function<bool()>& done, const std::function<double()>& share, const std::string& what);

  /// Writes the report, prints the summary line, returns the exit status.
  int finish(const std::function<void(nlohmann::json&)>& add_sections);

 private:
  void signal_loop();
  /// Signal thread: the first signal has come.
  void answer(int number);
  /// The next watched signal, until `end_ns` (now_ns(); 0: for ever). 0: the time is up.
  int next_signal(const sigset_t& watched, int64_t end_ns) const;
  /// Signal thread: a thread dies, and waits for the report.
  [[noreturn]] void write_for_the_dying();
  CrashOptions crash_options();
  /// Dying thread: has the signal thread write the report, waits for it a while.
  void last_words(int signal, const char* what);
  void write_incomplete();
  /// A thread that nobody can catch ran out of memory (out_of_memory.h): the report, as in a crash.
  static void on_exhaustion(const char* sentence);
  /// The report and the trace, as far as they were asked for; false, with a line each, if one failed. What
  /// may wait for a reader comes last.
  bool write_files(const nlohmann::json& report) const;
  /// Says in a line what could not be written; false then.
  bool note_written(const char* what, const Result<bool>& written) const;
  nlohmann::json build(bool complete);
  void draw(double share, const std::string& what);

  const std::string workload_;
  const int pid_;  // a child after fork() writes no report
  const CommonOptions options_;
  const bool shows_progress_;
  RunRecorder recorder_;
  std::atomic<bool> stop_{false};
  std::atomic<int> signal_{0};  // relaxed [session.stop]
  std::atomic<int64_t> deadline_ns_{
      0};  // relaxed [session.stop]: after a signal, when the program is to be gone
  // relaxed [session.stop]: who sets it writes the report; the other one lets it. What it says is under mu_.
  std::atomic<bool> writing_{false};
  std::mutex mu_;  // sections_, self check, error_
  nlohmann::json sections_ = nlohmann::json::object();
  bool self_check_passed_ = false;
  bool self_check_done_ = false;
  std::string self_check_detail_;
  std::string error_;
  bool drawn_ = false;
  int64_t drawn_ns_ = 0;
  std::atomic<bool> finished_{false};
  sigset_t watched_{};
  Thread signals_;
  std::atomic<bool> crashed_{false};  // release/acquire [session.crash]: crash_text_ is written before it
  std::atomic<bool> crash_written_{false};  // relaxed [session.crash]: ends a wait that has a limit
  char crash_text_[512] = "";
  std::optional<CrashReporter> crash_reporter_;
};

/// The calling thread's use of the machine, for the report.
ThreadUse thread_use(uint32_t id, const std::string& name, const std::string& role);

}  // namespace keel
