// Mutex, condition, futex and thread of the explore build: the real ones outside a session, the scheduler's
// inside.
//
// A lock is the real lock as well while a session runs, so that a thread outside the session (a recorder's)
// that takes it is kept out; the session's threads then wait for it in turn. Threads: any.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>

#include "allocator/base/explore/atomic.h"

namespace keel::explore {

class RawMutex {
 public:
  void lock() {
    if (t_self != nullptr) return lock_in_session();
    real_.lock();
  }
  bool try_lock() {
    if (t_self != nullptr) return try_lock_in_session();
    return real_.try_lock();
  }
  void unlock() {
    if (t_self != nullptr) return unlock_in_session();
    real_.unlock();
  }
  /// Who of the session holds it, or null.
  [[nodiscard]] const ThreadRecord* owner() const { return owner_; }

 private:
  void lock_in_session();
  bool try_lock_in_session();
  void unlock_in_session();
  std::mutex real_;
  ThreadRecord* owner_ = nullptr;
};

class RawCondition {
 public:
  template <typename Lock>
  void wait(Lock& lock) {
    if (t_self == nullptr) return real_.wait(lock);
    begin_wait(-1);
    lock.unlock();
    finish_wait();
    lock.lock();
  }
  /// False on time-out.
  template <typename Lock>
  bool wait_for(Lock& lock, int64_t ns) {
    if (t_self == nullptr)
      return real_.wait_for(lock, std::chrono::nanoseconds(ns)) == std::cv_status::no_timeout;
    begin_wait(ns < 0 ? 0 : ns);
    lock.unlock();
    const bool notified = finish_wait();
    lock.lock();
    return notified;
  }
  void notify_one() {
    if (t_self != nullptr) notify_in_session(false);
    real_.notify_one();
  }
  void notify_all() {
    if (t_self != nullptr) notify_in_session(true);
    real_.notify_all();
  }

 private:
  void begin_wait(int64_t ns);
  bool finish_wait();
  void notify_in_session(bool all);
  std::condition_variable_any real_;
};

struct Futex {
  static void wait(const Atomic<uint32_t>& word, uint32_t expected, int64_t timeout_ns);
  static void wake_all(const Atomic<uint32_t>& word);
};

/// A thread; of the session if the thread that makes it is. The subset of std::thread that the collector
/// uses.
class Thread {
 public:
  Thread() noexcept = default;
  template <typename F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, Thread>) explicit Thread(F&& f)
      : record_(new_thread()), real_([record = record_, run = std::decay_t<F>(std::forward<F>(f))]() mutable {
          const Running running(record);
          run();
        }) {
    started(record_);
  }
  Thread(Thread&& other) noexcept
      : record_(std::exchange(other.record_, nullptr)), real_(std::move(other.real_)) {}
  Thread& operator=(Thread&& other) noexcept {
    record_ = std::exchange(other.record_, nullptr);
    real_ = std::move(other.real_);
    return *this;
  }
  void join();
  [[nodiscard]] bool joinable() const noexcept { return real_.joinable(); }
  std::thread::native_handle_type native_handle() { return real_.native_handle(); }

 private:
  // A thread's life in the session, on the thread itself.
  class Running {
   public:
    explicit Running(ThreadRecord* record);
    ~Running();
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
  };
  static ThreadRecord* new_thread();
  static void started(ThreadRecord* record);

  ThreadRecord* record_ = nullptr;
  std::thread real_;
};

}  // namespace keel::explore
