// Handlers, the order of sections, and the guard around each; see collector/api/crash_report.h.
#include "collector/api/crash_report.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "allocator/base/check.h"
#include "allocator/base/poison.h"
#include "collector/api/heap.h"
#include "collector/crash/alternate_stack.h"
#include "collector/crash/crash_writer.h"
#include "collector/crash/heap_sections.h"
#include "collector/crash/thread_stacks.h"
#include "collector/cycle/heap_core.h"

namespace keel {
namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

struct Reporter {
  CrashOptions options;
  struct sigaction before[std::size(kSignals)];
  AlternateStack main_stack;
};
// relaxed [crash.hook]: set before anybody can fail; no data hangs on it that a dying thread could wait for.
std::atomic<Reporter*> g_reporter{nullptr};
// The thread that writes the report; 0: none yet. relaxed [crash.hook]: only the exchange's one winner
// matters.
std::atomic<int> g_dying{0};
sigjmp_buf g_guard;
volatile sig_atomic_t g_guarded = 0;
void (*g_after_report)(int) = nullptr;

int thread_id() { return static_cast<int>(syscall(SYS_gettid)); }

struct Reason {
  int signal = 0;
  const char* what = "";
  uintptr_t address = 0;  // 0: none is known
  const ucontext_t* context = nullptr;
};

void fall_through(int signal) {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  sigaction(signal, &standard, nullptr);
}

// Runs a section; a fault inside ends it, with a line.
template <typename Section>
void guarded(CrashWriter& out, const char* name, Section&& section) {
  if (sigsetjmp(g_guard, 1) == 0) {
    g_guarded = 1;
    section();
  } else {
    out.line("(%s: a second fault ended this section)", name);
  }
  g_guarded = 0;
}

// Registers that hold poison: which dead slots the thread has just read.
void write_poison_in_registers(const HeapCore& core, const ucontext_t* context, CrashWriter& out) {
#if defined(__x86_64__)
  const auto& registers = context->uc_mcontext.gregs;
#elif defined(__aarch64__)
  const auto& registers = context->uc_mcontext.regs;
#endif
#if defined(__x86_64__) || defined(__aarch64__)
  uintptr_t last = 0;
  for (const auto value : registers) {
    const uintptr_t address = poisoned_address(static_cast<uint64_t>(value));
    if (address == 0 || address == last || !core.memory.table().contains(address)) continue;
    out.line("a register holds poison, read from a dead slot (use after free):");
    write_address(core, address, out);
    last = address;
  }
#else
  static_cast<void>(core);
  static_cast<void>(context);
  static_cast<void>(out);
#endif
}

void write_report(const Reporter& reporter, const Reason& reason) {
  const std::string& path = reporter.options.path;
  const int copy = path.empty() ? -1 : open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  CrashWriter out(STDERR_FILENO, copy);
  out.line("keel: fatal: %s, on thread %d%s", reason.what, thread_id(),
           Mutator::current() != nullptr ? "" : " (not attached)");
  if (Heap* heap = Heap::current()) {
    const HeapCore& core = heap->core();
    guarded(out, "heap", [&] { write_heap_state(core, out); });
    if (reason.address != 0) guarded(out, "address", [&] { write_address(core, reason.address, out); });
    if (reason.context != nullptr) {
      guarded(out, "registers", [&] { write_poison_in_registers(core, reason.context, out); });
    }
    guarded(out, "threads", [&] { write_threads(core, out); });
  }
  const Traceback traceback = reporter.options.traceback;
  if (traceback != Traceback::kNone) guarded(out, "stack", [&] { write_own_stack(out); });
  if (traceback > Traceback::kSingle) {
    guarded(out, "stacks", [&] { write_other_stacks(out, traceback >= Traceback::kSystem); });
  }
  if (copy >= 0) {
    close(copy);
    CrashWriter(STDERR_FILENO, -1).line("keel: this is also in %s", path.c_str());
  }
}

void allow_core(bool allowed) {
  rlimit limit{};
  getrlimit(RLIMIT_CORE, &limit);
  limit.rlim_cur = allowed ? limit.rlim_max : 0;
  setrlimit(RLIMIT_CORE, &limit);
  if (allowed) prctl(PR_SET_DUMPABLE, 1);
}

void die(const Reason& reason) {
  Reporter* reporter = g_reporter.load(std::memory_order_relaxed);
  if (reporter == nullptr) return;
  int nobody = 0;
  if (!g_dying.compare_exchange_strong(nobody, thread_id(), std::memory_order_relaxed)) {
    if (nobody == thread_id()) return;
    for (;;) pause();  // another thread is writing; it will take us along
  }
  // A second fault must come to the handler and not end the process here: under a sanitizer, handlers run
  // with everything blocked.
  sigset_t faults;
  sigemptyset(&faults);
  for (const int signal : kSignals) sigaddset(&faults, signal);
  pthread_sigmask(SIG_UNBLOCK, &faults, nullptr);
  write_report(*reporter, reason);
  if (reporter->options.last_words) {
    CrashWriter out(STDERR_FILENO, -1);
    guarded(out, "last words", [&] { reporter->options.last_words(reason.signal, reason.what); });
  }
  allow_core(reporter->options.traceback == Traceback::kCrash);
  if (g_after_report != nullptr) g_after_report(reason.signal);
}

const char* name_of(int signal) {
  const char* name = sigabbrev_np(signal);
  return name == nullptr ? "?" : name;
}

void on_signal(int signal, siginfo_t* info, void* context) {
  if (g_dying.load(std::memory_order_relaxed) == thread_id() && g_guarded != 0) {
    g_guarded = 0;
    siglongjmp(g_guard, 1);
  }
  char what[160];
  const bool fault = signal == SIGSEGV || signal == SIGBUS;
  // The kernel knows no address for one that is not canonical.
  const bool known = fault && info->si_code != SI_KERNEL && info->si_code > 0;
  if (known) {
    std::snprintf(what, sizeof what, "signal %d (SIG%s) at address %p", signal, name_of(signal),
                  info->si_addr);
  } else {
    const bool sent = info->si_code <= 0;
    std::snprintf(what, sizeof what, "signal %d (SIG%s)%s", signal, name_of(signal),
                  sent    ? ", sent by a process"
                  : fault ? " at an address that is none (not canonical)"
                          : "");
  }
  die({signal, what, known ? reinterpret_cast<uintptr_t>(info->si_addr) : 0,
       static_cast<const ucontext_t*>(context)});
  fall_through(signal);
  // A fault comes again when the handler returns; what was sent must be sent again.
  if (!fault || info->si_code <= 0) raise(signal);
}

void on_failed_check(const CheckFailure& failure) {
  char what[1280];
  std::snprintf(what, sizeof what, "%s:%d: %s", failure.file, failure.line, failure.text);
  die({SIGABRT, what, failure.about, nullptr});
  if (g_reporter.load(std::memory_order_relaxed) != nullptr) fall_through(SIGABRT);
}

}  // namespace

bool crash_reporting() { return g_reporter.load(std::memory_order_relaxed) != nullptr; }

const char* to_string(Traceback traceback) {
  switch (traceback) {
    case Traceback::kNone:
      return "none";
    case Traceback::kSingle:
      return "single";
    case Traceback::kAll:
      return "all";
    case Traceback::kSystem:
      return "system";
    case Traceback::kCrash:
      return "crash";
  }
  return "?";
}

void set_after_report_for_testing(void (*hook)(int signal)) { g_after_report = hook; }

CrashReporter::CrashReporter(CrashOptions options) {
  auto* reporter = new Reporter;
  reporter->options = std::move(options);
  prepare_thread_stacks();
  reporter->main_stack.install();
  Reporter* none = nullptr;
  const bool first = g_reporter.compare_exchange_strong(none, reporter, std::memory_order_relaxed);
  KEEL_CHECK(first, "crash reporter: another one exists");
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (size_t i = 0; i < std::size(kSignals); ++i) {
    const bool memory_fault = kSignals[i] == SIGSEGV || kSignals[i] == SIGBUS;
    if (!memory_fault || reporter->options.memory_faults)
      sigaction(kSignals[i], &action, &reporter->before[i]);
  }
  set_crash_hook(on_failed_check);
}

CrashReporter::~CrashReporter() {
  set_crash_hook(nullptr);
  Reporter* reporter = g_reporter.exchange(nullptr, std::memory_order_relaxed);
  for (size_t i = 0; i < std::size(kSignals); ++i) {
    const bool memory_fault = kSignals[i] == SIGSEGV || kSignals[i] == SIGBUS;
    if (!memory_fault || reporter->options.memory_faults)
      sigaction(kSignals[i], &reporter->before[i], nullptr);
  }
  delete reporter;
}

}  // namespace keel
