// Room queue: who is served when memory is out (`--max-heap`, or the system refuses).
//
// A thread whose allocation failed stands in line, and while anybody stands there, so does whoever else would
// take memory: nobody takes any but the first in line. That one tries again, and collects, until it is served
// or two collections could not serve it that began after it had come, and after the last time that somebody
// in line was served (who may since have dropped what it got). So a collection's yield is there for those who
// asked for it, somebody always gets on, and N threads that ask for what is not there cost the collections of
// one, not of N.
//
// Why nobody slips through: the gate is looked at right before memory is taken, with no safepoint between,
// and it shuts before the collection begins, in which every mutator passes a safepoint [room.gate]. Threads:
// mutators, blocked while they wait. One lock (kLeaf). Cost: one load a hole while nobody is in line.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>

#include "allocator/base/atomic.h"
#include "allocator/base/mutex.h"

namespace keel {

class RoomQueue {
 public:
  /// Collections that may fail to serve a thread before it is refused: what is allocated while the first
  /// marks is kept by it.
  static constexpr uint64_t kCollections = 2;

  /// A place in line, for its life. `begun`: cycles that had begun when its thread came.
  class Place {
   public:
    Place(RoomQueue& queue, uint64_t begun) : queue_(queue), since_(begun) {
      MutexLock lock(queue_.mu_);
      queue_.line_.push_back(this);
      queue_.note_length();
    }
    ~Place() {
      MutexLock lock(queue_.mu_);
      queue_.line_.pop_front();
      queue_.note_length();
      if (!queue_.line_.empty()) queue_.line_.front()->turn_.notify_one();
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    /// Returns when everybody before has gone. Threads: blocked.
    void wait_for_turn() {
      MutexLock lock(queue_.mu_);
      while (queue_.line_.front() != this) turn_.wait(queue_.mu_);
    }
    /// The first in line took memory when `begun` cycles had begun: what those behind were to get.
    void served(uint64_t begun) {
      MutexLock lock(queue_.mu_);
      queue_.served_ = begun;
    }
    /// It has been tried for long enough. `swept`: the last cycle that is over.
    [[nodiscard]] bool refused(uint64_t swept) {
      MutexLock lock(queue_.mu_);
      return swept >= std::max(since_, queue_.served_) + kCollections;
    }

   private:
    RoomQueue& queue_;
    const uint64_t since_;
    ConditionVariable turn_;
  };

  /// Somebody is in line. relaxed [room.gate]: shut before a collection is asked for, whose stop or handshake
  /// orders it for every mutator; a late look at the opening only waits a little.
  [[nodiscard]] bool shut() const { return length_.load(std::memory_order_relaxed) != 0; }
  /// How many are in line. For tests.
  [[nodiscard]] uint32_t length() const { return length_.load(std::memory_order_relaxed); }

 private:
  void note_length() KEEL_REQUIRES(mu_) {
    length_.store(static_cast<uint32_t>(line_.size()), std::memory_order_relaxed);
  }

  Mutex mu_{LockRank::kLeaf};
  std::deque<Place*> line_ KEEL_GUARDED_BY(mu_);
  uint64_t served_ KEEL_GUARDED_BY(mu_) = 0;
  Atomic<uint32_t> length_{0};
};

}  // namespace keel
