// Thread: the one name under which the collector starts a thread; and what a thread asks of the system's
// scheduler.
//
// It is std::thread. The name is a seam: in the explore build a thread that a session's thread starts belongs
// to the session, and its scheduler decides when it runs (allocator/base/explore). Threads: any.
#pragma once

#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>

#include "allocator/base/build.h"
#include "allocator/base/explore/sync.h"
#include "allocator/base/system_calls.h"

namespace keel {

struct SystemThread {
  static void yield() { std::this_thread::yield(); }
  static void sleep_ns(int64_t ns) { std::this_thread::sleep_for(std::chrono::nanoseconds(ns)); }
};

/// std::thread, whose constructor throws std::system_error when the system has no thread to give.
class StartedThread : public std::thread {
 public:
  StartedThread() = default;
  template <typename F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, StartedThread>) explicit StartedThread(F&& f)
      : std::thread(permitted(std::forward<F>(f))) {}

 private:
  template <typename F>
  static F&& permitted(F&& f) {
    if (const int error = planned_error(SystemCall::kThread)) {
      throw std::system_error(error, std::generic_category());
    }
    return std::forward<F>(f);
  }
};

using Thread = std::conditional_t<kExploreBuild, explore::Thread, StartedThread>;
/// What the calling thread asks for: yield(), sleep_ns().
using ThisThread = std::conditional_t<kExploreBuild, explore::ThisThread, SystemThread>;

}  // namespace keel
