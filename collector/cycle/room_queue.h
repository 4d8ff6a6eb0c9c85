// Room queue: who is served when memory is out (`--max-heap`, or the system refuses).
//
// A thread whose allocation failed stands in line. The first one collects and tries again, and while anybody
// stands there, whoever else would take memory waits at the gate. So what a collection frees is there for the
// thread that asked for it: if it does not fit then, the collection, which began after the request, could not
// serve it. Then the next in line has its turn, with a collection of its own if there is need. Somebody
// always gets on.
//
// Why nobody slips through: the gate is looked at right before memory is taken, with no safepoint between,
// and it shuts before the collection begins, in which every mutator passes a safepoint [room.gate]. Threads:
// mutators, blocked while they wait. One lock (kLeaf). Cost: one load a hole while nobody is in line.
#pragma once

#include <cstdint>
#include <deque>

#include "allocator/base/atomic.h"
#include "allocator/base/mutex.h"

namespace keel {

class RoomQueue {
 public:
  /// A place in line, for its life.
  class Place {
   public:
    explicit Place(RoomQueue& queue) : queue_(queue) {
      MutexLock lock(queue_.mu_);
      queue_.line_.push_back(this);
      queue_.note_length();
    }
    ~Place() {
      MutexLock lock(queue_.mu_);
      std::erase(queue_.line_, this);  // also from the middle: a thread may be cancelled while it waits
      queue_.note_length();
      queue_.changed_.notify_all();
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    /// Returns when everybody before has gone. Threads: blocked.
    void wait_for_turn() {
      MutexLock lock(queue_.mu_);
      while (queue_.line_.front() != this) queue_.changed_.wait(queue_.mu_);
    }

   private:
    RoomQueue& queue_;
  };

  /// Somebody is in line. relaxed [room.gate]: shut before a collection is asked for, whose stop or handshake
  /// orders it for every mutator; a late look at the opening only waits a little.
  [[nodiscard]] bool shut() const { return length_.load(std::memory_order_relaxed) != 0; }
  /// Returns when nobody is in line. Threads: blocked.
  void wait_until_open() {
    MutexLock lock(mu_);
    while (!line_.empty()) changed_.wait(mu_);
  }

 private:
  void note_length() KEEL_REQUIRES(mu_) {
    length_.store(static_cast<uint32_t>(line_.size()), std::memory_order_relaxed);
  }

  Mutex mu_{LockRank::kLeaf};
  ConditionVariable changed_;
  std::deque<const Place*> line_ KEEL_GUARDED_BY(mu_);
  Atomic<uint32_t> length_{0};
};

}  // namespace keel
