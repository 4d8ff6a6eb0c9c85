// Strategies: who runs next. Each is a function of its options alone, so that a run can be repeated.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "allocator/base/explore/session.h"
#include "allocator/base/explore/thread_record.h"
#include "allocator/base/rng.h"

namespace keel::explore {

/// Why somebody is chosen.
enum class Reason : uint8_t {
  kPoint,    // the current thread could go on
  kYield,    // it could, and asks for others to run
  kBlocked,  // it cannot
};

class Strategy {
 public:
  virtual ~Strategy() = default;
  virtual void on_new_thread(ThreadRecord&) {}
  /// Steps (points at which it may switch) from now until the next decision, at least 1. `steps`: so far.
  virtual uint64_t until_next(uint64_t steps) = 0;
  /// A race point of this kind is passed, as step `steps`: true if that calls for a decision here.
  virtual bool on_race_point(uint32_t /*kind*/, uint64_t /*steps*/) { return false; }
  /// A thread has become able to run: true if that calls for a decision at the next point.
  virtual bool on_wake() { return false; }
  /// One of `runnable` (never empty, ascending ids; without the current thread if that yields or is blocked
  /// and others can run). `current` is the thread that reached the point.
  virtual ThreadRecord* choose(const std::vector<ThreadRecord*>& runnable, ThreadRecord& current,
                               Reason reason, uint64_t steps) = 0;
  /// A waiting thread may be woken for no reason, now.
  virtual bool wakes_spuriously() { return false; }
  /// Time may jump to the deadline of a waiting thread though others can run: index into `count` of them, or
  /// `count` for none.
  virtual size_t jump(size_t count) { return count; }
  /// Which of `count` waiters, in the order they came, notify_one() wakes.
  virtual size_t pick_waiter(size_t /*count*/) { return 0; }
  virtual std::vector<Alternative> take_alternatives() { return {}; }
};

std::unique_ptr<Strategy> make_strategy(const SessionOptions& options);

}  // namespace keel::explore
