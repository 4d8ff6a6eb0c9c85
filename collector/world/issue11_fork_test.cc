// CONFIG: barriers=hybrid transitions=all roots=all
//
// fork() at the worst moments: with a stop or a handshake pending for the thread, from inside a region while
// the collector holds the thread, with a full barrier buffer, from threads that are not attached or belong to
// the heap, and while other threads take every lock. Whatever it was, the child's heap is closed, and nothing
// there waits.
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>

#include "collector/api/leak_check.h"
#include "collector/cycle/heap_core.h"

namespace keel {
namespace {

struct Node {
  Ptr<Node> next;
  uint64_t number;
};
struct Unknown {  // only the child asks for its layout
  std::array<uint64_t, 77> words;
};

#if defined(__SANITIZE_THREAD__)
// ThreadSanitizer refuses to start threads in a child of a process that had several.
constexpr bool kChildMayStartThreads = false;
#else
constexpr bool kChildMayStartThreads = true;
#endif
// The allocator of g++ 12's AddressSanitizer is not made ready for a fork: a lock that another thread held
// (one that is just starting, too) stays held in the child, whose next malloc waits for ever.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kChildMayAllocate = false;
#else
constexpr bool kChildMayAllocate = true;
#endif
// A child that waits for ever ends by SIGALRM, which fails the test.
constexpr unsigned kMostSeconds = 100;

template <typename F>
bool throws_the_sentence(F&& f) {
  try {
    f();
  } catch (const OutOfMemory& e) {
    return std::string(e.what()).find("closed in a child after fork") != std::string::npos;
  }
  return false;
}

// What the child does with a heap of which `root` keeps a node numbered 7; the number of the first thing that
// is wrong, or 0.
int use_closed_heap(Heap& heap, const Root<Node>& root) {
  if (root->number != 7) return 1;
  if (!throws_the_sentence([] { make<Node>(); })) return 2;
  if (!throws_the_sentence([] { make_bytes(1000000); })) return 3;
  if (!throws_the_sentence([] { make<Unknown>(); })) return 4;
  safepoint();
  if (heap.stats().heap_sys_bytes == 0) return 5;
  if (heap.layouts().empty()) return 6;
  if (heap.gc_stats().num_gc > 1000000) return 13;
  heap.collect();
  heap.free_os_memory();
  bool ran = false;
  heap.between_cycles([&] { ran = true; });
  if (!ran) return 14;
  if (heap.set_gc_percent(50) != 100 || heap.set_memory_limit(1) != HeapConfig::kNoLimit) return 7;
  if (heap.check().find("not checked") != 0) return 8;
  if (!find_leaks(heap).empty()) return 9;
  heap.run_finalizers(1'000'000'000);
  {
    Root<Node> copy(root);
    Root<Node> made(copy.get());
    Root<Node> moved(std::move(copy));
    made = moved;
    made->number = 8;
    made->next = root.get();
    made->next = nullptr;
    for (int i = 0; i < 1000; ++i) Root<Node>(made.get()).reset();
    Weak<Node> weak(root.get());
    if (weak.lock() != root.get()) return 10;
    set_finalizer(root.get(), [](Node*) {});
    if (clear_finalizer(root.get())) return 11;
    add_cleanup(
        root.get(), [](int) {}, 0)
        .stop();
  }
  if (blocking([&] { return blocking([&] { return heap.stats().num_forced_gc; }); }) > 1000000) return 12;
  return 0;
}

void expect_zero(pid_t child) {
  int status = -1;
  blocking([&] { waitpid(child, &status, 0); });
  EXPECT_TRUE(WIFEXITED(status)) << "ended by signal " << (WIFSIGNALED(status) ? WTERMSIG(status) : 0);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "the first thing that was wrong in the child";
}

class Fork : public testing::TestWithParam<std::tuple<const char*, Roots>> {
 protected:
  void SetUp() override {
    if (!kChildMayAllocate) GTEST_SKIP() << "AddressSanitizer's locks are not released in a child";
  }
  HeapConfig config() const {
    HeapConfig c;
    c.transitions = std::get<0>(GetParam());
    c.roots = std::get<1>(GetParam());
    return c;
  }
};

// Keeps the collector waiting: attached, running, and at no safepoint until let go.
class Straggler {
 public:
  explicit Straggler(Heap& heap)
      : thread_([this, &heap] {
          MutatorScope scope(heap, "straggler");
          mutator_ = Mutator::current();
          while (!go_) std::this_thread::yield();
        }) {
    while (mutator() == nullptr) std::this_thread::yield();
  }
  ~Straggler() {
    let_go();
    blocking([this] { thread_.join(); });
  }
  void let_go() { go_ = true; }
  [[nodiscard]] const Mutator* mutator() const { return mutator_; }

 private:
  std::atomic<const Mutator*> mutator_{nullptr};
  std::atomic<bool> go_{false};
  std::thread thread_;
};

TEST_P(Fork, WithAStopOrHandshakePendingForTheThread) {
  Heap heap(config());
  MutatorScope scope(heap, "forking");
  Root<Node> root(make<Node>());
  root->number = 7;
  std::thread collector;
  {
    Straggler straggler(heap);
    collector = std::thread([&] { heap.collect(); });
    while (World::pending(*Mutator::current()) == 0) std::this_thread::yield();
    const pid_t child = fork();
    if (child == 0) {
      alarm(kMostSeconds);
      _exit(use_closed_heap(heap, root));
    }
    straggler.let_go();
    expect_zero(child);
  }
  blocking([&] { collector.join(); });
  EXPECT_EQ(heap.check(), "") << "the parent goes on";
}

// The collector holds the thread, which is in a region, or has just acted for it, and waits for another one.
// The child reads there, and then leaves the region.
TEST_P(Fork, InABlockingRegionWhileTheCollectorHoldsTheThread) {
  Heap heap(config());
  MutatorScope scope(heap, "forking");
  Root<Node> root(make<Node>());
  root->number = 7;
  std::thread collector;
  {
    Straggler straggler(heap);
    const Mutator& self = *Mutator::current();
    const bool stops = heap.config().transitions == "stw";
    const pid_t child = blocking([&] {
      collector = std::thread([&] { heap.collect(); });
      while (stops ? World::state(self) != World::kHeld : World::pending(*straggler.mutator()) == 0) {
        std::this_thread::yield();
      }
      const pid_t forked = fork();
      if (forked == 0) {
        alarm(kMostSeconds);
        if (heap.stats().heap_sys_bytes == 0 || heap.layouts().empty()) _exit(100);
      }
      straggler.let_go();
      return forked;
    });
    if (child == 0) _exit(use_closed_heap(heap, root));
    expect_zero(child);
  }
  blocking([&] { collector.join(); });
  EXPECT_EQ(heap.check(), "");
}

// Marking does not end without the thread, which stands at no safepoint.
TEST_P(Fork, WhileMarkingWithPointersInTheBuffer) {
  Heap heap(config());
  MutatorScope scope(heap, "forking");
  Root<Node> root(make<Node>());
  root->number = 7;
  std::atomic<bool> stop{false};
  std::thread collector([&] {
    while (!stop) heap.collect();
  });
  while (!t_barrier.marking) safepoint();  // a cycle may come and go within one: another follows
  for (int i = 0; i < 100; ++i) root->next = root.get();
  const pid_t child = fork();
  if (child == 0) {
    alarm(kMostSeconds);
    _exit(use_closed_heap(heap, root));
  }
  stop = true;
  expect_zero(child);
  blocking([&] { collector.join(); });
  EXPECT_EQ(heap.check(), "");
}

// The forking thread is a stranger to the heap; its child attaches, forks again, and destroys the heap.
TEST_P(Fork, FromAThreadThatIsNotAttached) {
  auto heap = std::make_unique<Heap>(config());
  std::optional<Straggler> straggler(*heap);
  std::thread collector([&] { heap->collect(); });
  while (World::pending(*straggler->mutator()) == 0) std::this_thread::yield();
  const pid_t child = fork();
  if (child == 0) {
    alarm(kMostSeconds);
    const pid_t grandchild = fork();
    if (grandchild == 0) alarm(kMostSeconds);          // a child does not inherit it
    if (heap->stats().heap_sys_bytes != 0) _exit(20);  // nothing was allocated
    for (int i = 0; i < 3; ++i) {
      MutatorScope scope(*heap, "in the child");
      if (!throws_the_sentence([] { make<Node>(); })) _exit(21);
      Root<Node> root;
      root.reset(nullptr);
      blocking([] {});
    }
    heap.reset();
    if (Heap::current() != nullptr) _exit(22);
    if (kChildMayStartThreads) {
      Heap own(config());
      MutatorScope scope(own);
      PreciseLocal<Node> node = make<Node>();
      own.collect();
      if (own.stats().num_gc != 1) _exit(23);
      node = nullptr;
    }
    int status = 0;
    if (grandchild > 0) waitpid(grandchild, &status, 0);
    _exit(status == 0 ? 0 : 24);
  }
  expect_zero(child);
  straggler.reset();
  collector.join();
  EXPECT_EQ(heap->check(), "");
}

// The child of a cleanup that forks is the finalizer thread alone: what is queued behind it is the parent's.
TEST_P(Fork, FromAFunctionOnTheFinalizerThread) {
  Heap heap(config());
  MutatorScope scope(heap);
  std::atomic<bool> in_child{false};
  std::atomic<pid_t> child{-1};
  std::atomic<int> ran{0};
  // On a thread that has gone when the objects are to die: nothing of it is scanned any more.
  blocking([&] {
    std::thread([&] {
      MutatorScope registering(heap, "registering");
      for (int i = 0; i < 3; ++i) {
        add_cleanup(
            make<Node>(),
            [&](int) {
              if (in_child) _exit(30);
              if (ran++ > 0) return;
              Root<Node> root(make<Node>());
              root->number = 7;
              child = fork();
              if (child != 0) return;
              in_child = true;
              alarm(kMostSeconds);
              if (const int wrong = use_closed_heap(heap, root)) _exit(wrong);
              std::atexit([] { _exit(0); });  // the process ends with its last thread
            },
            0);
      }
    }).join();
  });
  while (ran != 3) {
    heap.collect();
    heap.run_finalizers(1'000'000);
  }
  expect_zero(child);
}

// Other threads take every lock there is, over and over.
TEST_P(Fork, WhileOthersTakeEveryLock) {
  Heap heap(config());
  MutatorScope scope(heap, "forking");
  Root<Node> root(make<Node>());
  root->number = 7;
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    while (!stop) {
      MutatorScope other(heap, "roots");
      for (int i = 0; i < 100; ++i) Root<Node> gone(make<Node>());
    }
  });
  threads.emplace_back([&] {
    MutatorScope other(heap, "pages");
    while (!stop) make_bytes(100000);
  });
  threads.emplace_back([&] {
    MutatorScope other(heap, "functions");
    while (!stop) {
      for (int i = 0; i < 20; ++i)
        add_cleanup(
            make<Node>(), [](int) {}, 0);
      heap.run_finalizers(100'000'000);
    }
  });
  threads.emplace_back([&] {
    while (!stop) {
      heap.collect();
      EXPECT_LT(heap.gc_stats().num_gc, 1000000U);
      EXPECT_FALSE(heap.layouts().empty());
    }
  });
  for (int i = 0; i < 20; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(kMostSeconds);
      _exit(use_closed_heap(heap, root));
    }
    expect_zero(child);
  }
  stop = true;
  blocking([&] {
    for (std::thread& thread : threads) thread.join();
  });
  EXPECT_EQ(heap.check(), "");
}

INSTANTIATE_TEST_SUITE_P(Matrix, Fork,
                         testing::Combine(testing::Values("stw", "handshake"),
                                          testing::Values(Roots::kConservative, Roots::kPrecise)),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param)) +
                                  (std::get<1>(test.param) == Roots::kPrecise ? "_precise" : "_conservative");
                         });

}  // namespace
}  // namespace keel
