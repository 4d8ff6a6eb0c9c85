// See exit_signals.h. The handlers use atomics, poll(), write(), setitimer() and _exit() alone.
#include "workloads/common/exit_signals.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "allocator/base/clock.h"
#include "allocator/base/units.h"

namespace keel::exit_signals {
namespace {

constexpr int kAnswered[] = {SIGINT, SIGTERM, SIGALRM};
// After the deadline: how often it is looked whether the files are written.
constexpr int64_t kLookNs = 50 * kMillisecond;

// relaxed [session.exit]: flags that the handlers look at, and that come with nothing else.
std::atomic<int> g_first{0};
std::atomic<bool> g_written{false};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

timeval as_timeval(int64_t ns) { return {ns / kSecond, (ns % kSecond) / kMicrosecond}; }

void arm(int64_t in_ns) {
  const itimerval timer{as_timeval(kLookNs), as_timeval(std::max<int64_t>(in_ns, kMillisecond))};
  setitimer(ITIMER_REAL, &timer, nullptr);
}

void on_request(int number) {
  const int error = errno;
  if (g_first.exchange(number, std::memory_order_relaxed) != 0) _exit(128 + number);
  arm(kSecond);
  errno = error;
}

bool takes_nothing(int descriptor) {
  pollfd room{descriptor, POLLOUT, 0};
  return poll(&room, 1, 0) == 0;
}

// A program that is slow for another reason is left to end by itself.
void on_alarm(int) {
  if (!g_written.load(std::memory_order_relaxed)) return;
  const bool no_error = takes_nothing(STDERR_FILENO);
  if (!no_error && !takes_nothing(STDOUT_FILENO)) return;
  static const char kText[] = "keel: nobody reads standard output; given up\n";
  if (!no_error && write(STDERR_FILENO, kText, sizeof kText - 1) < 0) {
    // Then it is not said.
  }
  _exit(128 + g_first.load(std::memory_order_relaxed));
}

sigset_t answered() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : kAnswered) sigaddset(&set, number);
  return set;
}

}  // namespace

void block() {
  const sigset_t set = answered();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

void note_first(int number) { g_first.store(number, std::memory_order_relaxed); }

void note_written() { g_written.store(true, std::memory_order_relaxed); }

void answer_at_once(int64_t deadline_ns) {
  const sigset_t set = answered();
  for (const int number : kAnswered) {
    struct sigaction action {};
    action.sa_handler = number == SIGALRM ? on_alarm : on_request;
    action.sa_mask = set;
    action.sa_flags = SA_RESTART;
    sigaction(number, &action, nullptr);
  }
  if (g_first.load(std::memory_order_relaxed) != 0) arm(deadline_ns - now_ns());
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace keel::exit_signals
