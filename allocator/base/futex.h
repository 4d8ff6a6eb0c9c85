// Sleeping until a word changes: the one place that calls futex(2).
//
// In the explore build a session's scheduler decides who sleeps and who is woken (allocator/base/explore).
// The atomics themselves carry the ordering (and ThreadSanitizer sees them); these calls only sleep and wake.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>
#include <ctime>
#include <type_traits>

#include "allocator/base/atomic.h"
#include "allocator/base/build.h"
#include "allocator/base/explore/sync.h"
#include "allocator/base/system_calls.h"

namespace keel {

struct SystemFutex {
  static void wait(const std::atomic<uint32_t>& word, uint32_t expected, int64_t timeout_ns) {
    timespec timeout{timeout_ns / 1000000000, timeout_ns % 1000000000};
    system_call(SystemCall::kFutex, -1L, [&] {
      return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, timeout_ns < 0 ? nullptr : &timeout,
                     nullptr, 0);
    });
  }
  static void wake_all(const std::atomic<uint32_t>& word) {
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
  }
};

using Futex = std::conditional_t<kExploreBuild, explore::Futex, SystemFutex>;

/// Sleeps while `word` == `expected`, at most `timeout_ns` (< 0: no limit). May return early; callers loop.
inline void futex_wait(const Atomic<uint32_t>& word, uint32_t expected, int64_t timeout_ns = -1) {
  Futex::wait(word, expected, timeout_ns);
}

inline void futex_wake_all(const Atomic<uint32_t>& word) { Futex::wake_all(word); }

}  // namespace keel
