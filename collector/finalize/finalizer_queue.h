// Finalizer queue: functions whose objects have become unreachable, and the one thread that runs them.
//
// Filled by the sweep, span by span; run one after the other on a mutator of its own ("keel-finalizer"),
// which starts with the first registration. A queued object is held by its special (special.h), a root until
// its finalizer has returned. A function that blocks delays only others. Threads: sweepers add; any thread
// reads the counts.
#pragma once

#include <cstdint>

#include "allocator/base/atomic.h"
#include "allocator/base/mutex.h"
#include "allocator/base/thread.h"
#include "collector/finalize/special.h"

namespace keel {

class HeapCore;

class FinalizerQueue {
 public:
  explicit FinalizerQueue(HeapCore& core) : core_(core) {}
  ~FinalizerQueue() { stop(); }
  FinalizerQueue(const FinalizerQueue&) = delete;
  FinalizerQueue& operator=(const FinalizerQueue&) = delete;

  /// Starts the thread if it does not run. Threads: mutators, before a registration.
  void start() {
    // acquire [finalizers.started]: pairs with the release in start_slow(); nothing else depends on it.
    if (!started_.load(std::memory_order_acquire)) start_slow();
  }
  /// Ends the thread after the function that runs now. What is queued or registered stays unrun, and goes,
  /// with the Roots it holds, on the finalizer thread. Threads: not attached, the heap's public face still
  /// whole.
  void stop();

  /// Finalizers and cleanups whose objects have died, marked as queued. Threads: any, with no lock but none
  /// of a higher rank.
  void add(const SpecialChain& ready);

  /// Waits until everything queued has run, at most `limit_ns`; true if so. Threads: blocked or not attached.
  bool wait_until_empty(int64_t limit_ns);
  [[nodiscard]] FinalizerCounts counts() const;
  /// Held across fork(), so that the child finds the queue whole.
  [[nodiscard]] Mutex& fork_lock() { return mu_; }
  /// Calls visit(is a finalizer, type, where it was set) for what is queued and has not begun. Threads: any.
  template <typename Visit>
  void for_each_waiting(Visit&& visit) {
    MutexLock lock(mu_);
    for (const Special* at = waiting_.first; at != nullptr; at = at->next) {
      visit(at->kind == SpecialKind::kFinalizer, at->type, at->where);
    }
  }

 private:
  void start_slow();
  void run();
  void run_attached();
  void run_function(Special& special) noexcept;
  void let_go(Special& special);
  Special* take();
  bool drop_waiting();

  HeapCore& core_;
  mutable Mutex mu_{LockRank::kFinalizers};
  ConditionVariable wake_;
  ConditionVariable empty_;
  SpecialChain waiting_ KEEL_GUARDED_BY(mu_);
  FinalizerCounts counts_ KEEL_GUARDED_BY(mu_);
  int64_t running_since_ns_ KEEL_GUARDED_BY(mu_) = 0;
  bool stopping_ KEEL_GUARDED_BY(mu_) = false;
  Atomic<bool> started_{false};  // [finalizers.started], set under the lock
  Thread thread_;
};

}  // namespace keel
