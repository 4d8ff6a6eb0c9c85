// Finalizer queue: functions whose objects have become unreachable, and the one thread that runs them.
//
// Filled when a mark ends, in table order; run one after the other on a mutator of its own
// ("keel-finalizer"), which starts with the first registration. A queued object is held by a slot of the root
// table until its finalizer has returned. A function that blocks delays only others. Threads: the cycle
// thread adds; any thread reads the counts.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>

#include "allocator/base/mutex.h"
#include "allocator/base/thread.h"
#include "collector/api/finalizers.h"
#include "collector/roots/root_table.h"

namespace keel {

class HeapCore;

class FinalizerQueue {
 public:
  FinalizerQueue(HeapCore& core, RootTable& roots) : core_(core), roots_(roots) {}
  ~FinalizerQueue() { stop(); }
  FinalizerQueue(const FinalizerQueue&) = delete;
  FinalizerQueue& operator=(const FinalizerQueue&) = delete;

  /// Starts the thread if it does not run. Threads: mutators, before a registration.
  void start();
  /// Ends the thread after the function that runs now. What is queued or registered stays unrun, and goes,
  /// with the Roots it holds, on the finalizer thread. Threads: not attached, the heap's public face still
  /// whole.
  void stop();

  /// The object is marked. Threads: the cycle thread.
  void add_finalizer(uintptr_t object, const char* type, std::function<void(void*)> run, SourcePlace where);
  void add_cleanup(const char* type, std::function<void()> run, SourcePlace where);

  /// Waits until everything queued has run, at most `limit_ns`; true if so. Threads: blocked or not attached.
  bool wait_until_empty(int64_t limit_ns);
  [[nodiscard]] FinalizerCounts counts() const;
  /// Held across fork(), so that the child finds the queue whole.
  [[nodiscard]] Mutex& fork_lock() { return mu_; }
  /// Calls visit(is a finalizer, type, where it was set) for what is queued and has not begun. Threads: any.
  template <typename Visit>
  void for_each_waiting(Visit&& visit) {
    MutexLock lock(mu_);
    for (const Item& item : items_) visit(item.slot != nullptr, item.type, item.where);
  }

 private:
  struct Item {
    Slot* slot = nullptr;  // holds the object; null for a cleanup
    const char* type = nullptr;
    std::function<void(void*)> finalizer;
    std::function<void()> cleanup;
    SourcePlace where;
  };
  void run();
  void run_attached();
  void run_item(Item& item) noexcept;
  bool take(Item& item);
  bool drop_waiting();

  HeapCore& core_;
  RootTable& roots_;
  mutable Mutex mu_{LockRank::kFinalizers};
  ConditionVariable wake_;
  ConditionVariable empty_;
  std::deque<Item> items_ KEEL_GUARDED_BY(mu_);
  FinalizerCounts counts_ KEEL_GUARDED_BY(mu_);
  int64_t running_since_ns_ KEEL_GUARDED_BY(mu_) = 0;
  bool started_ KEEL_GUARDED_BY(mu_) = false;
  bool stopping_ KEEL_GUARDED_BY(mu_) = false;
  Thread thread_;
};

}  // namespace keel
