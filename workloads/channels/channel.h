// Channel: Go's, on any backend's heap (runtime/chan.go, select.go of Go 1.23: the order of steps).
//
// A lock, a ring of `capacity` elements, and two queues of threads that wait: senders and receivers. A send
// hands its element straight to a waiting receiver; else puts it in the ring; else waits. A receive takes
// from the ring and lets a waiting sender fill the place; with no ring it takes straight from a sender.
// Closing wakes everybody; receiving from a closed channel gives what is left, then nothing; sending on one
// is an error. select() over several takes one that is ready, in random order, else waits on all at once.
//
// The hidden object: an element on its way lies in the sender's frame, in the ring, or in a waiter's box in
// the heap. The box is a heap object, so the hand-over runs through the barrier, and nothing is ever only in
// another thread's stack. (Go writes to the other stack directly, with a barrier of its own: sendDirect.)
//
// Threads: any number, attached. Waiting is a blocking region. An element is a pointer; null is none.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "allocator/base/mutex.h"
#include "allocator/base/rng.h"
#include "workloads/backends/heap_backend.h"

namespace keel {

/// Sending on a closed channel, closing one twice: Go panics.
class ClosedChannel : public std::logic_error {
 public:
  explicit ClosedChannel(const char* what) : std::logic_error(what) {}
};

template <typename B, typename T>
class Channel {
  // The system's; in the explore build a scheduler may stand behind both (docs/explore.md).
  using Condition = std::conditional_t<kExploreBuild, RawCondition, std::condition_variable>;

 public:
  template <typename U>
  using Local = typename B::template Local<U>;
  struct Box {
    typename B::template Field<T> element;
  };

  /// A channel of `capacity` elements; 0: unbuffered. Attached.
  explicit Channel(uint64_t capacity) : capacity_(capacity) {
    ring_.reset(B::template make_array<Box>(capacity == 0 ? 1 : capacity));
  }
  ~Channel() {
    if constexpr (B::kFrees) B::release(ring_.get());
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  /// Waits until a receiver has it or the ring has room. Throws ClosedChannel.
  void send(T* element) {
    Local<T> kept = element;
    {
      Lock lock(*this);
      if (try_send_locked(kept)) return;
    }
    // Allocation is a safepoint: not under the lock. Then everything may have changed.
    Waiter self;
    self.box.reset(B::template make<Box>());
    self.box.get()->element = static_cast<T*>(kept);
    {
      Lock lock(*this);
      if (try_send_locked(kept)) {
        release_box(self);
        return;
      }
      senders_.push_back({&self, 0});
    }
    wait(self);
    const bool closed = self.closed;
    release_box(self);
    if (closed) throw ClosedChannel("send on closed channel");
  }

  /// The next element, or null when the channel is closed and empty.
  T* receive() {
    {
      Lock lock(*this);
      T* element = nullptr;
      if (try_receive_locked(element)) return element;
    }
    Waiter self;
    self.box.reset(B::template make<Box>());
    {
      Lock lock(*this);
      T* element = nullptr;
      if (try_receive_locked(element)) {
        release_box(self);
        return element;
      }
      receivers_.push_back({&self, 0});
    }
    wait(self);
    T* element = self.box.get()->element.get();
    Local<T> kept = element;
    release_box(self);
    return kept;
  }

  /// Everybody who waits is woken: receivers with null, senders with an error.
  void close() {
    Lock lock(*this);
    if (closed_) throw ClosedChannel("close of closed channel");
    closed_ = true;
    for (auto* queue : {&receivers_, &senders_}) {
      while (Waiter* waiter = pop(*queue)) {
        waiter->closed = true;
        waiter->wake();
      }
    }
  }

  [[nodiscard]] uint64_t size() {
    Lock lock(*this);
    return count_;
  }

  /// Senders and receivers that wait now. For tests.
  [[nodiscard]] uint64_t waiting() {
    Lock lock(*this);
    return senders_.size() + receivers_.size();
  }

  /// One case of a select: receive from `channel`, or send `element` to it.
  struct Case {
    Channel* channel;
    bool sends = false;
    T* element = nullptr;  // to send; the caller keeps it alive
  };
  struct Selected {
    size_t index;
    T* element;  // received; null: the channel is closed, or it was a send
  };
  /// Does one of the cases that can go on, chosen at random; waits for one if none can. With `may_wait`
  /// false: index = cases.size() if none can (Go's default). Throws ClosedChannel.
  static Selected select(const std::vector<Case>& cases, Rng& rng, bool may_wait = true) {
    const size_t first = rng.below(cases.size());
    Selected done{cases.size(), nullptr};
    {
      LockAll locks(cases);
      if (try_any_locked(cases, first, done) || !may_wait) return done;
    }
    // A box for each case: what is received there, or, if somebody takes from us, what it sends.
    Waiter self;
    self.boxes.resize(cases.size());
    for (size_t i = 0; i < cases.size(); ++i) {
      self.boxes[i].reset(B::template make<Box>());
      if (cases[i].sends) self.boxes[i].get()->element = cases[i].element;
    }
    {
      LockAll locks(cases);
      if (try_any_locked(cases, first, done)) {
        release_boxes(self);
        return done;
      }
      for (size_t i = 0; i < cases.size(); ++i) {
        (cases[i].sends ? cases[i].channel->senders_ : cases[i].channel->receivers_).push_back({&self, i});
      }
    }
    wait(self);
    {
      // The others may still have us in their queues.
      LockAll locks(cases);
      for (const Case& c : cases) {
        for (auto* queue : {&c.channel->senders_, &c.channel->receivers_}) {
          std::erase_if(*queue, [&](const Waiting& waiting) { return waiting.waiter == &self; });
        }
      }
    }
    const size_t at = self.index;
    Local<T> element = cases[at].sends ? nullptr : self.boxes[at].get()->element.get();
    const bool failed = self.closed && cases[at].sends;
    release_boxes(self);
    if (failed) throw ClosedChannel("send on closed channel");
    return {at, element};
  }

 private:
  // A thread that waits, on one channel or on several. `taken` decides who wakes it: one only.
  struct Waiter {
    RawMutex mu;
    Condition ready;
    bool taken = false;
    bool woken = false;
    bool closed = false;
    size_t index = 0;  // select: the case that went on
    typename B::template Root<Box> box;
    std::vector<typename B::template Root<Box>> boxes;  // select

    bool take(size_t case_index) {
      std::lock_guard lock(mu);
      if (taken) return false;
      taken = true;
      index = case_index;
      return true;
    }
    Box* box_of(size_t case_index) { return boxes.empty() ? box.get() : boxes[case_index].get(); }
    void wake() {
      std::lock_guard lock(mu);
      woken = true;
      ready.notify_one();
    }
  };
  struct Waiting {
    Waiter* waiter;
    size_t index;
  };

  // A mutator must not hold up a stop while it waits for the lock.
  struct Lock {
    explicit Lock(Channel& c) : channel(c) {
      if (!channel.mu_.try_lock()) B::blocking([this] { channel.mu_.lock(); });
    }
    ~Lock() { channel.mu_.unlock(); }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    Channel& channel;
  };
  // In the order of addresses, each once, as Go does.
  struct LockAll {
    explicit LockAll(const std::vector<Case>& cases) {
      for (const Case& c : cases) channels.push_back(c.channel);
      std::sort(channels.begin(), channels.end());
      channels.erase(std::unique(channels.begin(), channels.end()), channels.end());
      B::blocking([this] {
        for (Channel* channel : channels) channel->mu_.lock();
      });
    }
    ~LockAll() {
      for (Channel* channel : channels) channel->mu_.unlock();
    }
    LockAll(const LockAll&) = delete;
    LockAll& operator=(const LockAll&) = delete;
    std::vector<Channel*> channels;
  };

  static void wait(Waiter& self) {
    B::blocking([&] {
      std::unique_lock lock(self.mu);
      while (!self.woken) self.ready.wait(lock);
    });
  }
  static bool try_any_locked(const std::vector<Case>& cases, size_t first, Selected& done) {
    for (size_t i = 0; i < cases.size(); ++i) {
      const size_t at = (first + i) % cases.size();
      T* element = cases[at].element;
      Channel& channel = *cases[at].channel;
      if (!(cases[at].sends ? channel.try_send_locked(element) : channel.try_receive_locked(element)))
        continue;
      done = {at, cases[at].sends ? nullptr : element};
      return true;
    }
    return false;
  }
  static void release_boxes(Waiter& self) {
    for (auto& box : self.boxes) {
      if constexpr (B::kFrees) B::release(box.get());
      box.reset();
    }
  }
  static void release_box(Waiter& self) {
    if constexpr (B::kFrees) B::release(self.box.get());
    self.box.reset();
  }
  // The first waiter that nobody else has taken. The channel's lock is held.
  static Waiter* pop(std::deque<Waiting>& queue) {
    while (!queue.empty()) {
      const Waiting first = queue.front();
      queue.pop_front();
      if (first.waiter->take(first.index)) return first.waiter;
    }
    return nullptr;
  }

  bool try_send_locked(T* element) {
    if (closed_) throw ClosedChannel("send on closed channel");
    if (Waiter* receiver = pop(receivers_)) {
      receiver->box_of(receiver->index)->element = element;
      receiver->wake();
      return true;
    }
    if (count_ == capacity_) return false;
    ring_.get()[(first_ + count_++) % capacity_].element = element;
    return true;
  }
  bool try_receive_locked(T*& element) {
    if (count_ != 0) {
      Box& place = ring_.get()[first_];
      element = place.element.get();
      first_ = (first_ + 1) % capacity_;
      // A waiting sender's element takes the place that has become free at the ring's end, which is the same
      // one.
      if (Waiter* sender = pop(senders_)) {
        place.element = sender->box_of(sender->index)->element.get();
        sender->wake();
      } else {
        place.element = nullptr;
        --count_;
      }
      return true;
    }
    if (Waiter* sender = pop(senders_)) {
      element = sender->box_of(sender->index)->element.get();
      sender->wake();
      return true;
    }
    element = nullptr;
    return closed_;
  }

  const uint64_t capacity_;
  RawMutex mu_;  // below: guarded by it
  typename B::template Root<Box> ring_;
  uint64_t first_ = 0;
  uint64_t count_ = 0;
  bool closed_ = false;
  std::deque<Waiting> senders_;
  std::deque<Waiting> receivers_;
};

}  // namespace keel
