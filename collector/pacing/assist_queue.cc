// Who is paid when; see assist_queue.h.
#include "collector/pacing/assist_queue.h"

#include "allocator/base/futex.h"
#include "allocator/base/race_points.h"

namespace keel {

void AssistQueue::push_locked(Debtor& debtor) {
  debtor.next_ = nullptr;
  (last_ != nullptr ? last_->next_ : first_) = &debtor;
  last_ = &debtor;
}

AssistQueue::Debtor* AssistQueue::pop_locked() {
  Debtor* debtor = first_;
  first_ = debtor->next_;
  if (first_ == nullptr) last_ = nullptr;
  return debtor;
}

// The debtor is off the queue. It takes the lock before its place goes away, so it is there to be woken.
void AssistQueue::finish_locked(Debtor& debtor) {
  debtor.queued_ = false;
  debtor.done_.store(1, std::memory_order_release);
  futex_wake_all(debtor.done_);
}

void AssistQueue::pay_locked() {
  while (first_ != nullptr) {
    const double paid = pacer_.steal_credit(first_->debt_);
    if (paid <= 0) return;
    Debtor* debtor = pop_locked();
    debtor->debt_ -= paid;
    if (debtor->debt_ > 0) {
      push_locked(*debtor);
    } else {
      waiting_.fetch_sub(1, std::memory_order_seq_cst);
      finish_locked(*debtor);
    }
  }
}

void AssistQueue::settle() {
  while (waiting() && pacer_.credit() > 0 && mu_.try_lock()) {
    pay_locked();
    mu_.unlock();
  }
}

void AssistQueue::add_credit(uint64_t scan_bytes) {
  pacer_.add_credit(scan_bytes);
  settle();
}

void AssistQueue::join(Debtor& debtor) {
  {
    MutexLock lock(mu_);
    // Counted first: close() then either sees nobody to come, or dismiss() finds the debtor.
    waiting_.fetch_add(1, std::memory_order_seq_cst);
    debtor.queued_ = true;
    push_locked(debtor);
  }
  race_point(RacePoint::kDebtorJoined);
  settle();
}

void AssistQueue::Debtor::sleep(int64_t ns) {
  if (!queue_.is_open()) return;
  race_point(RacePoint::kDebtorAboutToSleep);
  if (done_.load(std::memory_order_acquire) == 0) futex_wait(done_, 0, ns);
}

void AssistQueue::leave(Debtor& debtor) {
  MutexLock lock(mu_);
  if (!debtor.queued_) return;
  debtor.queued_ = false;
  waiting_.fetch_sub(1, std::memory_order_seq_cst);
  Debtor* before = nullptr;
  for (Debtor* d = first_; d != &debtor; d = d->next_) before = d;
  (before != nullptr ? before->next_ : first_) = debtor.next_;
  if (last_ == &debtor) last_ = before;
}

void AssistQueue::dismiss() {
  MutexLock lock(mu_);
  while (first_ != nullptr) {
    Debtor* debtor = pop_locked();
    waiting_.fetch_sub(1, std::memory_order_seq_cst);
    finish_locked(*debtor);
  }
}

}  // namespace keel
