// Mutex with a rank, checked in debug builds, and Clang's thread-safety annotations.
//
// A field that a lock protects says so: `int n_ KEEL_GUARDED_BY(mu_);`. Threads: any. No lock is held by a
// mutator across a safepoint (it would stop the world's stop).
#pragma once

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <type_traits>

#include "allocator/base/build.h"
#include "allocator/base/check.h"
#include "allocator/base/explore/sync.h"
#include "allocator/base/lock_ranks.h"

#if defined(__clang__)
#define KEEL_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define KEEL_THREAD_ANNOTATION(x)
#endif
#define KEEL_CAPABILITY(x) KEEL_THREAD_ANNOTATION(capability(x))
#define KEEL_SCOPED_CAPABILITY KEEL_THREAD_ANNOTATION(scoped_lockable)
#define KEEL_GUARDED_BY(x) KEEL_THREAD_ANNOTATION(guarded_by(x))
#define KEEL_REQUIRES(x) KEEL_THREAD_ANNOTATION(requires_capability(x))
#define KEEL_ACQUIRE(...) KEEL_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define KEEL_RELEASE(...) KEEL_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define KEEL_NO_THREAD_SAFETY_ANALYSIS KEEL_THREAD_ANNOTATION(no_thread_safety_analysis)

namespace keel {

/// While it lives the calling thread is not cancelled: a wait of Keel's own is no cancellation point, since
/// what the thread waits for may know of its frame (work for the cycle thread, a place in a line).
class NotCancelled {
 public:
  NotCancelled() { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
  ~NotCancelled() { pthread_setcancelstate(before_, nullptr); }
  NotCancelled(const NotCancelled&) = delete;
  NotCancelled& operator=(const NotCancelled&) = delete;

 private:
  int before_ = 0;
};

/// The system's condition, with the waiting time in ns. No cancellation point.
class SystemCondition {
 public:
  template <typename Lock>
  void wait(Lock& lock) {
    const NotCancelled whole;
    cv_.wait(lock);
  }
  template <typename Lock>
  bool wait_for(Lock& lock, int64_t ns) {
    const NotCancelled whole;
    return cv_.wait_for(lock, std::chrono::nanoseconds(ns)) == std::cv_status::no_timeout;
  }
  void notify_one() { cv_.notify_one(); }
  void notify_all() { cv_.notify_all(); }

 private:
  std::condition_variable_any cv_;
};

// In the explore build a session's scheduler decides who gets a lock and who is woken
// (allocator/base/explore).
using RawMutex = std::conditional_t<kExploreBuild, explore::RawMutex, std::mutex>;
using RawCondition = std::conditional_t<kExploreBuild, explore::RawCondition, SystemCondition>;

class KEEL_CAPABILITY("mutex") Mutex {
 public:
  explicit Mutex(LockRank rank) : rank_(static_cast<int>(rank)) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() KEEL_ACQUIRE() {
    check_rank();
    mu_.lock();
    push_rank();
  }
  /// Never waits, so its rank is not checked.
  bool try_lock() KEEL_THREAD_ANNOTATION(try_acquire_capability(true)) {
    if (!mu_.try_lock()) return false;
    push_rank();
    return true;
  }
  void unlock() KEEL_RELEASE() {
    pop_rank();
    mu_.unlock();
  }

 private:
  static constexpr int kMaxHeld = 16;
  struct Held {
    int ranks[kMaxHeld];
    int count;
  };
  static Held& held() {
    static thread_local Held ranks{};
    return ranks;
  }
  void check_rank() const {
    if constexpr (KEEL_DEBUG_CHECKS) {
      Held& h = held();
      KEEL_CHECK(h.count == 0 || h.ranks[h.count - 1] < rank_, "lock: rank %d taken while holding rank %d",
                 rank_, h.ranks[h.count - 1]);
    }
  }
  void push_rank() const {
    if constexpr (KEEL_DEBUG_CHECKS) {
      Held& h = held();
      KEEL_CHECK(h.count < kMaxHeld, "lock: more than %d locks held", kMaxHeld);
      h.ranks[h.count++] = rank_;
    }
  }
  void pop_rank() const {
    if constexpr (KEEL_DEBUG_CHECKS) {
      Held& h = held();
      // Locks may be released out of order: take the last one of this rank out.
      int i = h.count - 1;
      while (i >= 0 && h.ranks[i] != rank_) --i;
      KEEL_CHECK(i >= 0, "lock: rank %d released but not held", rank_);
      for (; i + 1 < h.count; ++i) h.ranks[i] = h.ranks[i + 1];
      --h.count;
    }
  }

  RawMutex mu_;
  int rank_;
};

class KEEL_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mu) KEEL_ACQUIRE(mu) : mu_(mu) { mu_.lock(); }
  ~MutexLock() KEEL_RELEASE() { mu_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mu_;
};

/// Waits on a Mutex; the lock is released while waiting.
class ConditionVariable {
 public:
  void wait(Mutex& mu) KEEL_REQUIRES(mu) { cv_.wait(mu); }
  /// Returns false on time-out.
  bool wait_for(Mutex& mu, int64_t ns) KEEL_REQUIRES(mu) { return cv_.wait_for(mu, ns); }
  void notify_one() { cv_.notify_one(); }
  void notify_all() { cv_.notify_all(); }

 private:
  RawCondition cv_;
};

}  // namespace keel
