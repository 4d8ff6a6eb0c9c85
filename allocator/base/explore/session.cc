// Beginning and end of a session, require(), fork, and the signals of a check that failed; see session.h.
#include "allocator/base/explore/session.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <memory>

#include "allocator/base/check.h"
#include "allocator/base/explore/scheduler.h"

namespace keel::explore {
namespace {

constexpr int kSignals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
struct sigaction g_before[std::size(kSignals)];
std::unique_ptr<Scheduler> g_scheduler;  // of the session that runs

// A check has failed, or the code has crashed, on a thread of the session.
void on_signal(int number) {
  for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &g_before[i], nullptr);
  if (!in_session()) {
    raise(number);
    return;
  }
  char text[64];
  std::snprintf(text, sizeof text, "signal %d (%s)", number, strsignal(number));
  Scheduler::current()->fail(text);
}

void catch_signals() {
  for (size_t i = 0; i < std::size(kSignals); ++i) {
    struct sigaction action {};
    action.sa_handler = on_signal;
    sigaction(kSignals[i], &action, &g_before[i]);
  }
}

void after_fork_in_child() {
  if (in_session()) Scheduler::current()->forget_others();
}

}  // namespace

Session::Session(const SessionOptions& options) {
  KEEL_CHECK(kExploreBuild, "explore: this is no explore build (cmake --preset explore)");
  KEEL_CHECK(g_scheduler == nullptr, "explore: a session runs already");
  // Before a heap registers its own handler, so that in a child this one comes first.
  static const int registered = pthread_atfork(nullptr, nullptr, after_fork_in_child);
  KEEL_CHECK(registered == 0, "explore: pthread_atfork: error %d", registered);
  catch_signals();
  g_scheduler = std::make_unique<Scheduler>(options);
  g_scheduler->begin();
}

Session::~Session() {
  if (g_scheduler != nullptr) finish();
}

SessionResult Session::finish() {
  const SessionResult result = g_scheduler->end();
  alternatives_ = g_scheduler->take_alternatives();
  g_scheduler.reset();
  for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &g_before[i], nullptr);
  return result;
}

SessionOptions options_of_seed(uint64_t seed, uint64_t expected_points) {
  SessionOptions options;
  options.seed = seed;
  constexpr StrategyKind kMix[] = {StrategyKind::kPct, StrategyKind::kRandom, StrategyKind::kWindows,
                                   StrategyKind::kRandom};
  options.strategy = kMix[seed % std::size(kMix)];
  options.depth = static_cast<uint32_t>(2 + seed / 4 % 4);
  options.expected_points = expected_points;
  options.switch_at = static_cast<SwitchAt>(seed / 16 % 3);
  return options;
}

bool in_session() { return t_self != nullptr; }

void require(bool condition, const char* format, ...) {
  if (condition) return;
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  KEEL_CHECK(in_session(), "explore: %s", text);
  Scheduler::current()->fail(text);
}

int fork_in_session(int (*child)(void*), void* argument) {
  std::fflush(nullptr);
  const pid_t pid = fork();
  KEEL_CHECK(pid >= 0, "explore: fork failed");
  if (pid == 0) {
    const int status = child(argument);
    std::fflush(nullptr);
    _exit(status);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace keel::explore
