// CONFIG: barriers=hybrid roots=precise
//
// Work that the cycle thread does for others, between two cycles: it is whole whatever becomes of who asked
// for it, and what goes wrong in it is the asker's.
#include <gtest/gtest.h>

#include <pthread.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "collector/cycle/heap_core.h"

namespace keel {
namespace {

HeapConfig config() {
  HeapConfig c;
  c.roots = Roots::kPrecise;
  return c;
}

TEST(BetweenCycles, AnExceptionIsThrownToWhoAskedAndTheHeapGoesOn) {
  Heap heap(config());
  MutatorScope scope(heap);
  EXPECT_THROW(heap.between_cycles([] { throw std::runtime_error("of the work"); }), std::runtime_error);
  EXPECT_THROW(
      blocking([&] { heap.core().cycle->run_stopped([] { throw std::runtime_error("of the work"); }); }),
      std::runtime_error);
  heap.collect();
  EXPECT_EQ(heap.stats().num_gc, 1U) << "and the world runs";
}

struct Shared {
  Heap& heap;
  std::atomic<bool> holds{false};
  std::atomic<bool> let_go{false};
  std::atomic<bool> returned{false};
};

// A frame of its own, gone before the thread is: AddressSanitizer never learns that a cancelled thread's
// frames have ended.
[[gnu::noinline]] void hold_the_cycle_thread(Shared& s) {
  s.heap.between_cycles([&] {
    s.holds = true;
    while (!s.let_go) std::this_thread::yield();
  });
  s.returned = true;
}

// A thread that waits for the cycle thread is cancelled: the wait is over first, and then it is a
// cancellation point of the thread's own at which it goes.
TEST(BetweenCycles, AThreadIsNotCancelledWhileTheCycleThreadHoldsItsWork) {
  Heap heap(config());
  MutatorScope scope(heap);
  Shared shared{heap};
  pthread_t thread{};
  const auto run = [](void* argument) -> void* {
    hold_the_cycle_thread(*static_cast<Shared*>(argument));
    pthread_testcancel();
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, nullptr, run, &shared), 0);
  blocking([&] {
    while (!shared.holds) std::this_thread::yield();
    pthread_cancel(thread);
    shared.let_go = true;
    void* result = nullptr;
    pthread_join(thread, &result);
    EXPECT_EQ(result, PTHREAD_CANCELED);
  });
  EXPECT_TRUE(shared.returned) << "it was not cancelled in the wait";
  EXPECT_EQ(heap.check(), "");
}

}  // namespace
}  // namespace keel
