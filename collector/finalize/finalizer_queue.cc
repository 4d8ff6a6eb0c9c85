// The finalizer thread; see finalizer_queue.h.
#include "collector/finalize/finalizer_queue.h"

#include <pthread.h>

#include <cstdio>
#include <exception>
#include <utility>

#include "allocator/base/clock.h"
#include "allocator/base/defects.h"
#include "allocator/base/out_of_memory.h"
#include "collector/cycle/heap_core.h"

namespace keel {

void FinalizerQueue::start_slow() {
  MutexLock lock(mu_);
  if (started_.load(std::memory_order_relaxed)) return;
  thread_ = Thread([this] { or_give_up([this] { run(); }); });
  started_.store(true, std::memory_order_release);
}

void FinalizerQueue::stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void FinalizerQueue::add(const SpecialChain& ready) {
  if (ready.first == nullptr) return;
  uint64_t finalizers = 0;
  uint64_t cleanups = 0;
  for (const Special* at = ready.first; at != nullptr; at = at->next) {
    ++(at->kind == SpecialKind::kFinalizer ? finalizers : cleanups);
  }
  MutexLock lock(mu_);
  if (!defect(Defect::kFinalizerLost)) waiting_.append(ready);
  counts_.finalizers_queued += finalizers;
  counts_.cleanups_queued += cleanups;
  if (!defect(Defect::kFinalizersNotWoken)) wake_.notify_one();
}

Special* FinalizerQueue::take() {
  MutexLock lock(mu_);
  running_since_ns_ = 0;
  if (waiting_.first == nullptr) empty_.notify_all();
  while (waiting_.first == nullptr && !stopping_) wake_.wait(mu_);
  if (stopping_) return nullptr;
  running_since_ns_ = now_ns();
  return waiting_.pop();
}

void FinalizerQueue::run() {
  pthread_setname_np(pthread_self(), "keel-finalizer");
  // By the core: the heap's public face may be closing already.
  core_.attach("keel-finalizer", {"the finalizer thread", 0});
  run_attached();
  core_.detach();
}

void FinalizerQueue::run_attached() {
  while (Special* special = blocking([&] { return take(); })) {
    const bool finalizer = special->kind == SpecialKind::kFinalizer;
    run_function(*special);
    if (defect(Defect::kFinalizerTwice)) run_function(*special);
    if (core_.closed) return;  // it forked, and this is the child: the rest is the parent's
    let_go(*special);
    MutexLock lock(mu_);
    ++(finalizer ? counts_.finalizers_executed : counts_.cleanups_executed);
  }
  // Functions that never ran may hold Roots, which need an attached thread to go: this one. What they hold
  // may register others as it goes. First those whose object has not died: what a sweep queues from then on
  // holds nothing.
  while (core_.specials.drop_functions() || drop_waiting()) {
  }
}

bool FinalizerQueue::drop_waiting() {
  SpecialChain left;
  {
    MutexLock lock(mu_);
    std::swap(left, waiting_);
  }
  const bool any = left.first != nullptr;
  while (Special* special = left.pop()) let_go(*special);
  return any;
}

// noexcept: an exception that leaves a function ends the program; its kind is named first. Out of memory is
// the program's usual end for that.
void FinalizerQueue::run_function(Special& special) noexcept {
  const bool finalizer = special.kind == SpecialKind::kFinalizer;
  try {
    special.function()(finalizer ? reinterpret_cast<void*>(special.object.load_relaxed()) : nullptr);
  } catch (const std::bad_alloc& e) {
    char sentence[256];
    std::snprintf(sentence, sizeof sentence, "out of memory in the %s of a %s: %s",
                  finalizer ? "finalizer" : "cleanup", special.type, e.what());
    end_out_of_memory(sentence);
  } catch (...) {
    std::fprintf(stderr, "keel: an exception left the %s of a %s\n", finalizer ? "finalizer" : "cleanup",
                 special.type);
    std::terminate();
  }
}

// What the function held goes here, on this thread and outside every lock; so does the object's root.
void FinalizerQueue::let_go(Special& special) {
  special.function().reset();
  if (special.kind == SpecialKind::kFinalizer) write_slot(special.object, 0);
  core_.specials.retire(special);
}

bool FinalizerQueue::wait_until_empty(int64_t limit_ns) {
  const int64_t end = now_ns() + limit_ns;
  MutexLock lock(mu_);
  while (waiting_.first != nullptr || running_since_ns_ != 0) {
    const int64_t left = end - now_ns();
    if (left <= 0 || !started_.load(std::memory_order_relaxed)) return false;
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
