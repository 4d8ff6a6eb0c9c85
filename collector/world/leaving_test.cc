// CONFIG: transitions=all roots=precise
//
// The ways out of a thread that is attached: return, exception, pthread_exit, cancellation, from the middle
// of nested scopes, while cycles run. Whatever the way, its roots go, its cache and barrier are handed in,
// and the heap is whole.
#include <gtest/gtest.h>

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "collector/cycle/heap_core.h"

namespace keel {
namespace {

struct Node {
  Ptr<Node> next;
  uint64_t number;
};

enum class Way { kReturn, kException, kExceptionFromBlocking, kPthreadExit, kCancelled };

struct Case {
  const char* name;
  Way way;
  const char* transitions;
};

// What the thread leaves from: two scopes deep, with locals, a root and a chain that is half built.
void leave_from_inside(Way way, std::atomic<bool>& ready, int depth) {
  PreciseLocal<Node> local = make<Node>();
  Root<Node> root(make<Node>());
  for (int i = 0; i < 1000; ++i) {
    PreciseLocal<Node> node = make<Node>();
    node->next = root->next.get();
    root->next = node.get();
  }
  local->next = root.get();
  if (depth > 0) {
    leave_from_inside(way, ready, depth - 1);
    return;
  }
  switch (way) {
    case Way::kReturn:
      return;
    case Way::kException:
      throw std::runtime_error("out");
    case Way::kExceptionFromBlocking:
      blocking([] { throw std::runtime_error("out"); });
      return;
    case Way::kPthreadExit:
      pthread_exit(nullptr);
    case Way::kCancelled:
      blocking([&] {
        ready.store(true);
        for (;;) pause();  // a cancellation point
      });
  }
}

struct Arguments {
  Heap* heap;
  Way way;
  std::atomic<bool> ready{false};
  std::atomic<int> caught{0};
};

void* thread_main(void* p) {
  auto* arguments = static_cast<Arguments*>(p);
  try {
    MutatorScope scope(*arguments->heap, "leaving");
    leave_from_inside(arguments->way, arguments->ready, 2);
  } catch (const std::runtime_error&) {
    ++arguments->caught;
    EXPECT_EQ(Mutator::current(), nullptr) << "detached before the handler runs";
  }
  return nullptr;
}

class Leaving : public testing::TestWithParam<Case> {};

// ThreadSanitizer counts a thread that waits in a system call as inside the runtime, and the forced unwinding
// of a cancellation never tells it that the call is over: it sees none of the thread's locks from then on.
#if defined(__SANITIZE_THREAD__)
constexpr bool kSeesCancelledThreads = false;
#else
constexpr bool kSeesCancelledThreads = true;
#endif

TEST_P(Leaving, LeavesTheHeapWhole) {
  if (GetParam().way == Way::kCancelled && !kSeesCancelledThreads) {
    GTEST_SKIP() << "ThreadSanitizer loses track of cancelled threads";
  }
  HeapConfig config;
  config.roots = Roots::kPrecise;
  config.transitions = GetParam().transitions;
  config.debug.checkmark = config.debug.walk = true;
  Heap heap(config);
  std::atomic<bool> stop{false};
  std::thread collector([&] {
    while (!stop.load()) heap.collect();
  });
  for (int i = 0; i < 10; ++i) {
    Arguments arguments{&heap, GetParam().way};
    pthread_t thread{};
    ASSERT_EQ(pthread_create(&thread, nullptr, thread_main, &arguments), 0);
    if (GetParam().way == Way::kCancelled) {
      while (!arguments.ready.load()) std::this_thread::yield();
      pthread_cancel(thread);
    }
    void* result = nullptr;
    ASSERT_EQ(pthread_join(thread, &result), 0);
    EXPECT_EQ(result == PTHREAD_CANCELED, GetParam().way == Way::kCancelled);
    const bool throws = GetParam().way == Way::kException || GetParam().way == Way::kExceptionFromBlocking;
    EXPECT_EQ(arguments.caught, throws ? 1 : 0);
  }
  stop.store(true);
  collector.join();
  heap.collect();
  EXPECT_EQ(heap.core().world.mutators(), 0U);
  EXPECT_EQ(heap.core().roots.in_use(), 0U);
  EXPECT_EQ(heap.stats().heap_objects, 0U);
  EXPECT_EQ(heap.check(), "");
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* transitions : {"stw", "handshake"}) {
    all.push_back({"Return", Way::kReturn, transitions});
    all.push_back({"Exception", Way::kException, transitions});
    all.push_back({"ExceptionFromBlocking", Way::kExceptionFromBlocking, transitions});
    all.push_back({"PthreadExit", Way::kPthreadExit, transitions});
    all.push_back({"Cancelled", Way::kCancelled, transitions});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Ways, Leaving, testing::ValuesIn(cases()), [](const auto& test) {
  return std::string(test.param.name) + "_" + test.param.transitions;
});

}  // namespace
}  // namespace keel
