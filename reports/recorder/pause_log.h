// Pause log of one thread: totals that never lose anything, and a ring of single pauses that may.
//
// The thread writes, the recorder's own thread drains. [ring.publish]: the writer fills a record and releases
// `head_`; the reader acquires it; the reader releases `tail_` and the writer acquires that before it reuses
// a place. A full ring drops the record, which is counted; the totals have it all the same. No allocation
// after construction.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

#include "allocator/base/mutex.h"
#include "collector/api/events.h"
#include "reports/api/log_histogram.h"

namespace keel {

class PauseLog {
 public:
  PauseLog(uint32_t thread, std::string name) : thread_(thread), name_(std::move(name)) {}

  /// Threads: the owner. Cost: ~10 ns.
  void add(const PauseRecord& pause) {
    totals_[static_cast<size_t>(pause.kind)].record(pause.duration_ns);
    const uint64_t head = head_.load(std::memory_order_relaxed);  // relaxed: only we write it
    if (head - tail_.load(std::memory_order_acquire) == kCapacity) {
      dropped_.fetch_add(1, std::memory_order_relaxed);  // relaxed [stats]
      return;
    }
    ring_[head % kCapacity] = pause;
    head_.store(head + 1, std::memory_order_release);  // [ring.publish]
  }

  /// Threads: one reader. Calls visit(pause) for every record not yet drained.
  template <typename Visit>
  void drain(Visit&& visit)
      KEEL_NO_THREAD_SAFETY_ANALYSIS {  // the callback may need locks that the caller holds
    const uint64_t head = head_.load(std::memory_order_acquire);  // [ring.publish]
    uint64_t tail = tail_.load(std::memory_order_relaxed);        // relaxed: only we write it
    for (; tail != head; ++tail) visit(ring_[tail % kCapacity]);
    tail_.store(tail, std::memory_order_release);
  }

  /// For another thread, as if new; what it held has been drained and its totals taken. Threads: no owner.
  void reuse(uint32_t thread, std::string name) {
    thread_ = thread;
    name_ = std::move(name);
    for (LogHistogram& total : totals_) {
      if (total.count() != 0) total.clear();
    }
    // relaxed: handed to the next owner under the recorder's lock.
    head_.store(0, std::memory_order_relaxed);
    tail_.store(0, std::memory_order_relaxed);
    dropped_.store(0, std::memory_order_relaxed);
  }

  [[nodiscard]] const LogHistogram& totals(PauseKind kind) const {
    return totals_[static_cast<size_t>(kind)];
  }
  [[nodiscard]] uint64_t recorded() const { return head_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint32_t thread() const { return thread_; }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  static constexpr uint64_t kCapacity = 4096;
  uint32_t thread_;
  std::string name_;
  std::array<LogHistogram, kPauseKinds> totals_;
  std::array<PauseRecord, kCapacity> ring_;
  std::atomic<uint64_t> head_{0};
  std::atomic<uint64_t> tail_{0};
  std::atomic<uint64_t> dropped_{0};
};

}  // namespace keel
