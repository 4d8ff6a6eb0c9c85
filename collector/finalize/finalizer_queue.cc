// The finalizer thread; see finalizer_queue.h.
#include "collector/finalize/finalizer_queue.h"

#include <pthread.h>

#include <cstdio>
#include <exception>
#include <utility>

#include "allocator/base/clock.h"
#include "allocator/base/defects.h"
#include "collector/cycle/heap_core.h"

namespace keel {

void FinalizerQueue::start() {
  MutexLock lock(mu_);
  if (started_) return;
  started_ = true;
  thread_ = Thread([this] { run(); });
}

void FinalizerQueue::stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void FinalizerQueue::add_finalizer(uintptr_t object, const char* type, std::function<void(void*)> run,
                                   SourcePlace where) {
  // No barrier: the object has just been marked, and the slot was null.
  Slot* slot = roots_.acquire(where);
  slot->initialize(object);
  MutexLock lock(mu_);
  if (!defect(Defect::kFinalizerLost)) items_.push_back({slot, type, std::move(run), nullptr, where});
  ++counts_.finalizers_queued;
  if (!defect(Defect::kFinalizersNotWoken)) wake_.notify_one();
}

void FinalizerQueue::add_cleanup(const char* type, std::function<void()> run, SourcePlace where) {
  MutexLock lock(mu_);
  items_.push_back({nullptr, type, nullptr, std::move(run), where});
  ++counts_.cleanups_queued;
  wake_.notify_one();
}

bool FinalizerQueue::take(Item& item) {
  MutexLock lock(mu_);
  running_since_ns_ = 0;
  if (items_.empty()) empty_.notify_all();
  while (items_.empty() && !stopping_) wake_.wait(mu_);
  if (stopping_) return false;
  item = std::move(items_.front());
  items_.pop_front();
  running_since_ns_ = now_ns();
  return true;
}

void FinalizerQueue::run() {
  pthread_setname_np(pthread_self(), "keel-finalizer");
  // By the core: the heap's public face may be closing already.
  core_.attach("keel-finalizer", {"the finalizer thread", 0});
  run_attached();
  core_.detach();
}

void FinalizerQueue::run_attached() {
  for (;;) {
    Item item;
    if (!blocking([&] { return take(item); })) break;
    run_item(item);
    if (core_.closed) return;  // it forked, and this is the child: the rest is the parent's
    MutexLock lock(mu_);
    ++(item.slot != nullptr ? counts_.finalizers_executed : counts_.cleanups_executed);
  }
  // Functions that never ran may hold Roots, which need an attached thread to go: this one. What they hold
  // may register others as it goes.
  while (drop_waiting() || core_.specials.drop_functions()) {
  }
}

bool FinalizerQueue::drop_waiting() {
  std::deque<Item> left;
  {
    MutexLock lock(mu_);
    left.swap(items_);
  }
  for (Item& item : left) {
    if (item.slot == nullptr) continue;
    write_slot(*item.slot, 0);
    roots_.release(item.slot);
  }
  return !left.empty();
}

// noexcept: an exception that leaves a function ends the program; its kind is named first.
void FinalizerQueue::run_item(Item& item) noexcept {
  try {
    if (item.slot != nullptr) {
      item.finalizer(reinterpret_cast<void*>(item.slot->load_relaxed()));
    } else {
      item.cleanup();
    }
  } catch (...) {
    std::fprintf(stderr, "keel: an exception left the %s of a %s\n",
                 item.slot != nullptr ? "finalizer" : "cleanup", item.type);
    std::terminate();
  }
  // What the function held goes here, on this thread.
  item.finalizer = nullptr;
  item.cleanup = nullptr;
  if (item.slot == nullptr) return;
  write_slot(*item.slot, 0);
  roots_.release(item.slot);
}

bool FinalizerQueue::wait_until_empty(int64_t limit_ns) {
  const int64_t end = now_ns() + limit_ns;
  MutexLock lock(mu_);
  while (!items_.empty() || running_since_ns_ != 0) {
    const int64_t left = end - now_ns();
    if (left <= 0 || !started_) return false;
    empty_.wait_for(mu_, left);
  }
  return true;
}

FinalizerCounts FinalizerQueue::counts() const {
  MutexLock lock(mu_);
  FinalizerCounts counts = counts_;
  if (running_since_ns_ != 0) counts.running_ns = now_ns() - running_since_ns_;
  return counts;
}

}  // namespace keel
