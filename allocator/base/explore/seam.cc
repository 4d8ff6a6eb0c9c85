// The primitives' way to the scheduler: points, locks, conditions, futexes, threads, clocks; see sync.h.
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <system_error>

#include "allocator/base/clock.h"
#include "allocator/base/explore/scheduler.h"
#include "allocator/base/explore/sync.h"
#include "allocator/base/futex.h"
#include "allocator/base/system_calls.h"
#include "allocator/base/thread.h"

namespace keel::explore {
namespace {
// Threads outside the session that sleep on a futex word of the seam: nobody else needs the system call.
// seq_cst [explore.sleepers]: a sleeper counts itself and then reads the word, a waker writes the word and
// then reads the count.
std::atomic<int> g_sleepers{0};

int64_t deadline(int64_t ns) { return ns < 0 ? ThreadRecord::kNever : Scheduler::current()->now_ns() + ns; }
}  // namespace

void reach_point(Point point, const void* object) {
  Scheduler::current()->reach(point, object, __builtin_frame_address(0));
}

int64_t Clocks::monotonic_ns() {
  if (t_self == nullptr) return SystemClocks::monotonic_ns();
  point(Point::kClock, nullptr);
  return Scheduler::current()->now_ns();
}
int64_t Clocks::thread_cpu_ns() { return t_self == nullptr ? SystemClocks::thread_cpu_ns() : t_self->cpu_ns; }
int64_t Clocks::process_cpu_ns() {
  return t_self == nullptr ? SystemClocks::process_cpu_ns() : Scheduler::current()->process_cpu_ns();
}

void ThisThread::yield() {
  if (t_self == nullptr) return SystemThread::yield();
  Scheduler::current()->yield(__builtin_frame_address(0));
}
void ThisThread::sleep_ns(int64_t ns) {
  if (t_self == nullptr) return SystemThread::sleep_ns(ns);
  point(Point::kSleep, nullptr);
  Scheduler::current()->wait(ThreadState::kSleeps, nullptr, deadline(ns < 0 ? 0 : ns));
}

int session_cores() { return t_self == nullptr ? 0 : Scheduler::current()->options().cores; }

bool session_thread(int thread, int64_t& cpu_ns, bool& runnable) {
  if (t_self == nullptr) return false;
  const ThreadRecord* record = Scheduler::current()->find(thread);
  if (record == nullptr) return false;
  cpu_ns = record->cpu_ns;
  runnable = record->state == ThreadState::kRunnable;
  return true;
}

void* session_addresses() {
  // Far from where the system maps by itself; 1 GiB aligned.
  return t_self == nullptr ? nullptr : reinterpret_cast<void*>(uintptr_t{1} << 44);
}

void RawMutex::lock_in_session() {
  point(Point::kLock, this);
  while (!real_.try_lock()) {
    if (owner_ == nullptr) {
      std::this_thread::yield();  // a thread outside the session has it
    } else {
      Scheduler::current()->wait(ThreadState::kWaitsForLock, this, ThreadRecord::kNever);
    }
  }
  owner_ = t_self;
}

bool RawMutex::try_lock_in_session() {
  point(Point::kLock, this);
  if (!real_.try_lock()) return false;
  owner_ = t_self;
  return true;
}

void RawMutex::unlock_in_session() {
  owner_ = nullptr;
  real_.unlock();
  Scheduler::current()->wake(ThreadState::kWaitsForLock, this);
  point(Point::kUnlock, this);
}

void RawCondition::begin_wait(int64_t ns) {
  point(Point::kWait, this);
  Scheduler::current()->begin_wait(this, deadline(ns));
}
bool RawCondition::finish_wait() { return Scheduler::current()->finish_wait(); }
void RawCondition::notify_in_session(bool all) {
  point(Point::kNotify, this);
  Scheduler::current()->notify(this, all);
}

void Futex::wait(const Atomic<uint32_t>& word, uint32_t expected, int64_t timeout_ns) {
  if (t_self == nullptr) {
    g_sleepers.fetch_add(1, std::memory_order_seq_cst);
    SystemFutex::wait(word.real(), expected, timeout_ns);
    g_sleepers.fetch_sub(1, std::memory_order_seq_cst);
    return;
  }
  point(Point::kFutexWait, &word);
  Scheduler& scheduler = *Scheduler::current();
  if (word.real().load(std::memory_order_seq_cst) != expected || scheduler.wakes_spuriously()) return;
  scheduler.wait(ThreadState::kWaitsOnFutex, &word, deadline(timeout_ns));
}

void Futex::wake_all(const Atomic<uint32_t>& word) {
  if (t_self != nullptr) {
    point(Point::kFutexWake, &word);
    Scheduler::current()->wake(ThreadState::kWaitsOnFutex, &word);
  }
  if (g_sleepers.load(std::memory_order_seq_cst) != 0) SystemFutex::wake_all(word.real());
}

ThreadRecord* Thread::new_thread() {
  if (const int error = planned_error(SystemCall::kThread))
    throw std::system_error(error, std::generic_category());
  return t_self == nullptr ? nullptr : Scheduler::current()->add_thread();
}

void Thread::started(ThreadRecord* record) {
  if (record != nullptr) point(Point::kStart, record);
}

void Thread::join() {
  if (t_self != nullptr && record_ != nullptr) {
    point(Point::kJoin, record_);
    while (record_->state != ThreadState::kDone) {
      Scheduler::current()->wait(ThreadState::kJoins, record_, ThreadRecord::kNever);
    }
  }
  real_.join();
  record_ = nullptr;
}

Thread::Running::Running(ThreadRecord* record) {
  if (record == nullptr) return;
  record->handle = pthread_self();
  record->system_id = static_cast<int>(syscall(SYS_gettid));
  Scheduler::current()->enter(*record);
}

Thread::Running::~Running() {
  if (t_self != nullptr) Scheduler::current()->leave(*t_self);
}

}  // namespace keel::explore
