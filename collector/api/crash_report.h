// Crash report: what a process says before it dies of a failed check or a signal.
//
// Phase, cycle, pacer and locks' view of the heap; the span and object around the address that was touched,
// and what a poisoned slot was; the last events of every mutator and of the cycle thread; stacks by level. To
// stderr and, if a path is given, to that file. It allocates nothing, takes no lock it would have to wait
// for, and a second fault while one section is written ends that section, not the report.
//
// Signals: SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT (an uncaught exception ends there). The process dies of
// the signal afterwards, so its exit status is what it would have been. Signals that a program or a sanitizer
// handles itself are given back when the reporter goes.
#pragma once

#include <functional>
#include <string>

namespace keel {

/// Whose stacks are shown, as Go's GOTRACEBACK: none; the failing thread's; every thread's that is not the
/// collector's; the collector's as well; those, and a core file is left (the others leave none).
enum class Traceback { kNone, kSingle, kAll, kSystem, kCrash };
const char* to_string(Traceback traceback);

struct CrashOptions {
  Traceback traceback = Traceback::kSingle;
  std::string path;  // of the copy; empty: none
  bool memory_faults =
      true;  // SIGSEGV and SIGBUS too; off where the collector uses them itself (Boehm, incremental)
  /// Called after the report, on the dying thread, with one line that says what happened: a last chance to
  /// write what was measured. It must not trust the heap, and what it waits for it must wait for with a
  /// limit.
  std::function<void(int signal, const char* what)> last_words;
};

/// Installs the handlers for its life. One at a time in a process. Threads: made and destroyed by one thread
/// while nobody can fail.
class CrashReporter {
 public:
  explicit CrashReporter(CrashOptions options);
  ~CrashReporter();
  CrashReporter(const CrashReporter&) = delete;
  CrashReporter& operator=(const CrashReporter&) = delete;
};

/// Called when all has been said, right before the process dies; null for none.
void set_after_report_for_testing(void (*hook)(int signal));

}  // namespace keel
