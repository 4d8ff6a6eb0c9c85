// The clocks everything is measured with.
#pragma once

#include <ctime>

#include <cstdint>
#include <type_traits>

#include "allocator/base/build.h"
#include "allocator/base/explore/point.h"
#include "allocator/base/system_calls.h"

namespace keel {

/// A clock that cannot be read twice in a row ends the process with a sentence: nothing measured would be
/// true.
inline int64_t read_clock_ns(clockid_t clock) {
  timespec t{};
  auto read = [&] {
    return system_call(SystemCall::kClock, -1, [&] { return clock_gettime(clock, &t); }) == 0;
  };
  if (!read() && !read()) [[unlikely]]
    give_up_without_clock(clock);
  return int64_t{t.tv_sec} * 1000000000 + t.tv_nsec;
}

struct SystemClocks {
  static int64_t monotonic_ns() { return read_clock_ns(CLOCK_MONOTONIC); }
  static int64_t thread_cpu_ns() { return read_clock_ns(CLOCK_THREAD_CPUTIME_ID); }
  static int64_t process_cpu_ns() { return read_clock_ns(CLOCK_PROCESS_CPUTIME_ID); }
};

/// While a session explores, its scheduler advances these (allocator/base/explore); else the system does.
using Clocks = std::conditional_t<kExploreBuild, explore::Clocks, SystemClocks>;

/// Monotonic time in ns. Cost: ~20 ns (vDSO).
inline int64_t now_ns() { return Clocks::monotonic_ns(); }
/// Unix time of a monotonic time, in ns, by one offset read once a process: so LastGC is exactly the end of a
/// cycle, and a step of the wall clock does not tear the timeline. Only for stamps that leave the process.
inline int64_t to_unix_ns(int64_t monotonic_ns) {
  static const int64_t offset = read_clock_ns(CLOCK_REALTIME) - now_ns();
  return monotonic_ns + offset;
}
/// CPU time of the calling thread in ns. Cost: a system call (~200 ns).
inline int64_t thread_cpu_ns() { return Clocks::thread_cpu_ns(); }

/// CPU time of the whole process in ns. Cost: a system call (~300 ns).
inline int64_t process_cpu_ns() { return Clocks::process_cpu_ns(); }

}  // namespace keel
