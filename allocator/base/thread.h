// Thread: the one name under which the collector starts a thread; and what a thread asks of the system's
// scheduler.
//
// It is std::thread. The name is a seam: in the explore build a thread that a session's thread starts belongs
// to the session, and its scheduler decides when it runs (allocator/base/explore). Threads: any.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <thread>
#include <type_traits>

#include "allocator/base/build.h"
#include "allocator/base/explore/sync.h"

namespace keel {

struct SystemThread {
  static void yield() { std::this_thread::yield(); }
  static void sleep_ns(int64_t ns) { std::this_thread::sleep_for(std::chrono::nanoseconds(ns)); }
  static int set_class(uint64_t thread, int policy) {
    const sched_param parameters{};
    return pthread_setschedparam(thread, policy, &parameters);
  }
};

using Thread = std::conditional_t<kExploreBuild, explore::Thread, std::thread>;
/// What the calling thread asks for: yield(), sleep_ns(), and set_class() of any thread (0, or the error).
using ThisThread = std::conditional_t<kExploreBuild, explore::ThisThread, SystemThread>;

}  // namespace keel
