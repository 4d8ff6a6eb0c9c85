// System calls that a test can make fail: the seam between the program and the system.
//
// Every call that may fail in the field goes through system_call(); builds with checks count the calls by
// kind and let the ones that KEEL_FAIL names fail with the error it gives (docs/defects.md):
//
//   KEEL_FAIL=madvise:3:ENOMEM             the third madvise of the process
//   KEEL_FAIL=mmap:1+:ENOMEM,open:2:EACCES every mmap, and the second open
//   KEEL_FAIL=write:2:short                the second write takes half of what it is given
//   KEEL_FAIL=new:7:ENOMEM                 the seventh operator new (failing_new.h)
//
// Optimised builds make the call and nothing else. KEEL_FAIL_LOG=PATH: what failed, and at the end how many
// calls of each kind there were. Threads: any.
#pragma once

#include <cerrno>
#include <cstdint>

#include "allocator/base/build.h"
#include "allocator/base/check.h"

namespace keel {

enum class SystemCall : uint8_t {
  kMmap,
  kMunmap,
  kMprotect,
  kMadvise,
  kThread,     // pthread_create
  kClock,      // clock_gettime
  kAffinity,   // sched_setaffinity, sched_getaffinity
  kScheduler,  // sched_setattr
  kFutex,      // FUTEX_WAIT
  kOpen,
  kWrite,
  kSync,
  kRename,
  kClose,
  kNew,  // operator new, in programs that link failing_new.cc
  kCount,
};

inline constexpr bool kCallsCanFail = KEEL_DEBUG_CHECKS || kExploreBuild;

/// Not an errno: a write that takes less than it is given.
inline constexpr int kShortWrite = -1;

namespace detail {
int planned_error_slow(SystemCall call) noexcept;
}  // namespace detail

/// Counts one call. The error that it is to fail with; 0: it is to be made. Cost: nothing in optimised
/// builds, else an atomic increment.
inline int planned_error(SystemCall call) noexcept {
  if constexpr (kCallsCanFail) return detail::planned_error_slow(call);
  static_cast<void>(call);
  return 0;
}

/// As KEEL_FAIL, with calls counted from now; null: nothing fails. Threads: while nobody else makes calls.
void set_failures_for_testing(const char* plan);

/// Names the clock and the error (errno), and ends the process with status 1.
[[noreturn]] void give_up_without_clock(int clock) __attribute__((cold));

/// Makes the call, or fails it: `failed` with errno set.
template <typename R, typename F>
R system_call(SystemCall call, R failed, F&& make) {
  if (const int error = planned_error(call); error > 0) {
    errno = error;
    return failed;
  }
  return make();
}

}  // namespace keel
