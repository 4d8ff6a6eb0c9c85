// Points: the places where the explorer may switch threads, and what a thread asks before each of them.
//
// In the explore build (allocator/base/build.h) every primitive that threads meet at (Atomic, Mutex,
// ConditionVariable, futex_wait, race points, Thread, the clocks) asks here first. A thread that belongs to
// no session pays one load and a branch and goes on with the real primitive. Threads: any.
#pragma once

#include <cstdint>

namespace keel::explore {

enum class Point : uint8_t {
  kRelaxed,  // an atomic access of relaxed order
  kOrdered,  // an atomic access of any other order
  kLock,
  kUnlock,
  kWait,  // on a condition
  kNotify,
  kFutexWait,
  kFutexWake,
  kRace,  // a named window (race_points.h)
  kStart,
  kJoin,
  kExit,
  kYield,
  kSleep,
  kClock,
  kCount,
};
const char* to_string(Point point);

struct ThreadRecord;

/// The calling thread in the session that runs; null outside. Plain: only the thread itself reads it.
inline constinit thread_local ThreadRecord* t_self = nullptr;

/// `object`: what the point is about, for reports; null if nothing.
__attribute__((noinline)) void reach_point(Point point, const void* object);

inline void point(Point point, const void* object) {
  if (t_self != nullptr) [[unlikely]]
    reach_point(point, object);
}

/// A race point's kind, in the place of an object.
inline const void* race_object(uint32_t kind) { return reinterpret_cast<const void*>(uintptr_t{kind} + 1); }
inline uint32_t race_kind(const void* object) {
  return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(object) - 1);
}

/// Clocks that the scheduler advances while the calling thread is in a session; else the system's.
struct Clocks {
  static int64_t monotonic_ns();
  static int64_t thread_cpu_ns();
  static int64_t process_cpu_ns();
};

struct ThisThread {
  static void yield();
  static void sleep_ns(int64_t ns);
};

/// The cores that the session's machine has; 0 outside a session.
int session_cores();
/// What the session's scheduler knows of the thread with this number of the system: CPU time so far, and
/// whether it could run. False outside a session, or for a thread that is not of it.
bool session_thread(int thread, int64_t& cpu_ns, bool& runnable);
/// Where the session's heaps ask for addresses, so that they lie at the same ones every time; null outside.
void* session_addresses();

}  // namespace keel::explore
