// The scheduler of a session: hands one token from thread to thread, and keeps what each waits for.
//
// Whoever holds the token runs, and only it touches the scheduler: its fields need no lock. Handing over is a
// futex of the receiver, outside the seam. A thread that waits (lock, condition, futex word, time, another
// thread's end) is not runnable; whoever releases, notifies, wakes or ends makes it so, and it looks again.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "allocator/base/explore/strategy.h"

namespace keel::explore {

class Scheduler {
 public:
  explicit Scheduler(const SessionOptions& options);

  /// The session that runs, or null.
  static Scheduler* current();

  /// Thread 0 is the caller; makes this the current session.
  void begin();
  /// Nobody but thread 0 is left.
  SessionResult end();

  // By the thread that holds the token.
  /// `frame`: of the function that the point is in, where the walk to its callers begins.
  void reach(Point point, const void* object, void* frame);
  void yield(void* frame);
  /// Waits until woken, or until `deadline_ns`: false then.
  bool wait(ThreadState state, const void* object, int64_t deadline_ns);
  void wake(ThreadState state, const void* object);
  void begin_wait(const void* condition, int64_t deadline_ns);
  bool finish_wait();
  void notify(const void* condition, bool all);
  bool wakes_spuriously() { return strategy_->wakes_spuriously(); }

  ThreadRecord* add_thread();
  /// The new thread's first and last acts.
  void enter(ThreadRecord& self);
  void leave(ThreadRecord& self);
  /// In a forked child, by its only thread.
  void forget_others();

  [[nodiscard]] int64_t now_ns() const { return now_ns_; }
  int64_t process_cpu_ns() const;
  /// By the system's number; null if there is none.
  [[nodiscard]] const ThreadRecord* find(int system_id) const;
  [[nodiscard]] const SessionOptions& options() const { return options_; }
  std::vector<Alternative> take_alternatives() { return strategy_->take_alternatives(); }

  /// Prints `what` and the report, and ends the process.
  [[noreturn]] void fail(const char* what);

 private:
  static constexpr int64_t kBeginNs = 1'000'000'000;  // virtual time when a session begins
  static constexpr uint64_t kMostUndecided = 50'000;
  static constexpr int64_t kPointNs = 50;              // what passing a point takes
  static constexpr int64_t kEarlyJumpNs = 20'000'000;  // the farthest deadline that time may jump to early
  void note(ThreadRecord& self, Point point, const void* object, void* frame);
  void mix(uint64_t value) { hash_ = (hash_ ^ value) * 0x9e3779b97f4a7c15ULL + (hash_ >> 29); }
  [[nodiscard]] bool may_switch_at(Point point) const;
  void decide(ThreadRecord& self, Reason reason);
  void make_runnable(ThreadRecord& thread, bool woken);
  void expire();
  void jump_early();
  bool jump_to_next();
  void hand_over(ThreadRecord& self, ThreadRecord& next);
  static void give_token(ThreadRecord& next, uint32_t token);
  static void wait_for_token(ThreadRecord& self);
  std::string describe(const ThreadRecord& thread) const;
  void collect_stacks();
  void print_report(const char* what);

  SessionOptions options_;
  std::unique_ptr<Strategy> strategy_;
  std::vector<std::unique_ptr<ThreadRecord>> threads_;
  std::vector<ThreadRecord*> runnable_;  // of the decision that is made
  uint64_t points_ = 0;
  uint64_t steps_ = 0;  // of the points, those at which the strategy may switch
  uint64_t decide_at_ = 0;
  uint64_t forced_at_ = kMostUndecided;  // number of the point at which it decides wherever it is
  uint64_t switches_ = 0;
  uint64_t decisions_ = 0;
  uint64_t idle_jumps_ = 0;
  uint64_t waits_ = 0;
  uint64_t hash_ = 0;
  int64_t now_ns_ = kBeginNs;
  int64_t next_deadline_ns_ = ThreadRecord::kNever;
  bool child_ = false;  // after a fork
};

}  // namespace keel::explore
