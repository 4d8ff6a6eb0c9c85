// Assist queue: mutators that owe scan work, found neither credit nor anything to scan, and wait to be paid.
//
// As Go's gcAssistQueue: workers give the credit of their scan work to whoever has waited longest; a debt
// that is paid in part goes to the back, so that a large one does not keep the others waiting. What nobody
// waits for stays with the pacer, for the next debtor. When marking is over everybody goes.
//
// A debtor joins, sleeps (in a blocking region: nothing is held), and leaves; it may leave early, to scan
// something itself. [assist.wait] Who joins is counted before it looks at the credit, credit is added before
// the count is looked at: seq_cst, so one of them sees the other, and settle() pays. The lock is held for a
// few instructions, never slept with; a worker that does not get it goes on, since whoever holds it looks
// again after giving it back. Threads: join(), sleep(), leave() by the mutator; add_credit() by workers;
// open(), close() by the cycle thread.
#pragma once

#include <cstdint>

#include "allocator/base/atomic.h"
#include "allocator/base/mutex.h"
#include "collector/pacing/pacer.h"

namespace keel {

class AssistQueue {
 public:
  /// A debtor's place, on its own stack. Leaves by itself when the scope ends.
  class Debtor {
   public:
    /// `debt`: bytes of scan work.
    Debtor(AssistQueue& queue, double debt) : queue_(queue), debt_(debt) { queue_.join(*this); }
    ~Debtor() { queue_.leave(*this); }
    Debtor(const Debtor&) = delete;
    Debtor& operator=(const Debtor&) = delete;
    /// Sleeps until it is paid or everybody goes, at most `ns`.
    void sleep(int64_t ns);
    /// Leaves, and says what is still owed.
    double leave() {
      queue_.leave(*this);
      return debt_;
    }

   private:
    friend class AssistQueue;
    AssistQueue& queue_;
    double debt_;               // queue's lock while queued
    Debtor* next_ = nullptr;    // queue's lock
    bool queued_ = false;       // queue's lock
    Atomic<uint32_t> done_{0};  // futex word: paid, or everybody goes
  };

  explicit AssistQueue(Pacer& pacer) : pacer_(pacer) {}
  AssistQueue(const AssistQueue&) = delete;
  AssistQueue& operator=(const AssistQueue&) = delete;

  /// Debtors may wait: somebody marks, or will. Waits for nobody, also inside a stop.
  void open() { open_.store(true, std::memory_order_seq_cst); }
  /// Nobody may any more: nobody is left who pays. Waits for nobody, also inside a stop.
  void close() { open_.store(false, std::memory_order_seq_cst); }
  /// Wakes everybody, after close(). Not inside a stop: it takes the lock.
  void dismiss();
  [[nodiscard]] bool is_open() const { return open_.load(std::memory_order_seq_cst); }

  /// Credit from background scan work: to those who wait, the rest to the pacer.
  void add_credit(uint64_t scan_bytes);
  /// Somebody waits. seq_cst [grey.wait]: workers that rest look at it before they sleep.
  [[nodiscard]] bool waiting() const { return waiting_.load(std::memory_order_seq_cst) != 0; }
  [[nodiscard]] uint32_t debtors() const { return waiting_.load(std::memory_order_relaxed); }

 private:
  void join(Debtor& debtor);
  void leave(Debtor& debtor);
  void settle();
  void pay_locked() KEEL_REQUIRES(mu_);
  void push_locked(Debtor& debtor) KEEL_REQUIRES(mu_);
  Debtor* pop_locked() KEEL_REQUIRES(mu_);
  static void finish_locked(Debtor& debtor);

  Pacer& pacer_;
  Mutex mu_{LockRank::kLeaf};
  Debtor* first_ KEEL_GUARDED_BY(mu_) = nullptr;
  Debtor* last_ KEEL_GUARDED_BY(mu_) = nullptr;
  Atomic<uint32_t> waiting_{0};
  Atomic<bool> open_{false};
};

}  // namespace keel
