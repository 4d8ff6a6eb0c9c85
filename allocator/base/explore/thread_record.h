// What the scheduler knows of one thread of a session. Written by the thread that runs; nobody else does.
#pragma once

#include <pthread.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "allocator/base/explore/point.h"

namespace keel::explore {

enum class ThreadState : uint8_t {
  kRunnable,
  kWaitsForLock,
  kWaitsOnCondition,
  kWaitsOnFutex,
  kSleeps,
  kJoins,
  kDone,
  kGone,  // did not come along into a forked child
};

/// A place that a thread has passed.
struct PassedPoint {
  Point point = Point::kStart;
  const void* object = nullptr;
  std::array<void*, 4> places{};  // return addresses, innermost first
  uint64_t number = 0;            // of all points of the session
};

struct ThreadRecord {
  static constexpr uint32_t kRemembered = 8;
  static constexpr int kFrames = 24;
  static constexpr int64_t kNever = INT64_MAX;
  // What the thread is told: futex word, outside the seam.
  enum Token : uint32_t { kWait, kRun, kShowStack };

  uint32_t id = 0;
  pthread_t handle{};
  int system_id = 0;  // gettid
  std::atomic<uint32_t> token{kWait};

  ThreadState state = ThreadState::kRunnable;
  const void* waits_for = nullptr;    // lock, condition, futex word or thread
  int64_t deadline_ns = kNever;       // of a timed wait, while it waits
  int64_t wait_deadline_ns = kNever;  // of the wait on `condition`
  bool woken = false;                 // before its time
  const void* condition = nullptr;    // that it is queued on, also while it still gives the lock back
  uint64_t queued = 0;                // order among those that wait on a condition
  int64_t cpu_ns = 0;
  uint64_t priority = 0;  // of the strategy
  std::array<PassedPoint, kRemembered> passed{};
  uint32_t passed_count = 0;
  std::array<void*, kFrames> frames{};
  int frame_count = 0;
};

}  // namespace keel::explore
