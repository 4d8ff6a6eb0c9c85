// CONFIG: barriers=all but none, transitions=all, roots=precise; builds with race points (all but release)
//
// Pointers that move while a mark runs: each test holds one window open and moves a pointer so that a single
// rule, a barrier half, a birth colour, a round, is all that keeps its object. Which seeded defect each test
// is for: docs/defects.md.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <thread>
#include <vector>

#include "collector/cycle/heap_core.h"
#include "collector/world/held_window.h"

namespace keel {
namespace {

constexpr int64_t kPatience = 60'000'000'000;

struct Node {
  Ptr<Node> next;
  uint64_t number;
};

struct Kind {
  const char* barrier;
  const char* transitions;
  friend void PrintTo(const Kind& kind, std::ostream* out) {
    *out << kind.barrier << ", " << kind.transitions;
  }
};

std::vector<Kind> concurrent_kinds() {
  std::vector<Kind> all;
  for (const char* transitions : {"stw", "handshake"}) {
    for (const char* barrier : {"hybrid", "hybrid-conditional", "dijkstra", "yuasa"}) {
      HeapConfig config;
      config.barrier = barrier;
      config.transitions = transitions;
      if (config.check().ok()) all.push_back({barrier, transitions});
    }
  }
  return all;
}

class LastLiveBytes : public NullListener {
 public:
  void on_cycle(const CycleRecord& cycle) override { bytes = cycle.heap_live_bytes; }
  std::atomic<uint64_t> bytes{0};
};

class MovingPointers : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (!kRacePointsEnabled) GTEST_SKIP() << "race points are compiled out of release builds";
  }
  HeapConfig config() const {
    HeapConfig c;
    c.roots = Roots::kPrecise;
    c.barrier = GetParam().barrier;
    c.transitions = GetParam().transitions;
    c.debug.checkmark = true;
    c.debug.walk = true;
    c.debug.poison = true;
    return c;
  }
  bool ragged() const { return std::string(GetParam().transitions) == "handshake"; }

  // 77 -> 78, held by nobody but the result.
  static Node* make_pair_of_nodes() {
    PreciseLocal<Node> first = make<Node>();
    first->number = 77;
    first->next = make<Node>();
    first->next->number = 78;
    return first.get();
  }
  static void expect_whole(const Node* first) {
    EXPECT_EQ(first->number, 77U);
    EXPECT_EQ(first->next->number, 78U);
  }
};

// Runs one collection; with the cycle thread held at a point of it, `meanwhile` runs on the caller.
template <typename F>
void collect_and(Heap& heap, RacePoint point, F&& meanwhile) {
  HeldWindow window(point);
  std::thread collector([&] { heap.collect(); });
  blocking([&] { window.wait_until_reached(); });
  meanwhile();
  window.open();
  blocking([&] { collector.join(); });
}

void wait_until_something_is_scanned(Heap& heap) {
  while (heap.core().workers->scanned_bytes() == 0) std::this_thread::yield();
}

// The own stack is black and nothing else is traced: what leaves the heap lives by the deletion half
// (dijkstra: by the rescan).
TEST_P(MovingPointers, FromTheHeapToABlackStack) {
  Heap heap(config());
  MutatorScope scope(heap);
  Root<Node> source(make<Node>());
  source->next = make_pair_of_nodes();
  PreciseLocal<Node> moved;
  collect_and(heap, RacePoint::kBeforeRootScan, [&] {
    moved = source->next.get();
    source->next = nullptr;
  });
  expect_whole(moved.get());
}

TEST_P(MovingPointers, FromARootToABlackStack) {
  Heap heap(config());
  MutatorScope scope(heap);
  Root<Node> source(make_pair_of_nodes());
  PreciseLocal<Node> moved;
  collect_and(heap, RacePoint::kBeforeRootScan, [&] {
    moved = source.get();
    source.reset();
  });
  expect_whole(moved.get());
}

TEST_P(MovingPointers, ToTheStackOfAThreadThatAttachedWhileMarking) {
  Heap heap(config());
  MutatorScope scope(heap);
  Root<Node> source(make<Node>());
  source->next = make_pair_of_nodes();
  std::latch moved_away{1};
  std::latch collected{1};
  std::thread late;
  collect_and(heap, RacePoint::kBeforeRootScan, [&] {
    late = std::thread([&] {
      MutatorScope attached(heap, "late");
      PreciseLocal<Node> moved = source->next.get();
      source->next = nullptr;
      moved_away.count_down();
      blocking([&] { collected.wait(); });
      expect_whole(moved.get());
    });
    blocking([&] { moved_away.wait(); });
  });
  collected.count_down();
  blocking([&] { late.join(); });
}

// Into an object that is black already: by the insertion half where the barrier has no deletion half.
TEST_P(MovingPointers, FromTheHeapToABlackObject) {
  Heap heap(config());
  MutatorScope scope(heap);
  PreciseLocal<Node> black = make<Node>();
  Root<Node> source(make<Node>());
  source->next = make_pair_of_nodes();
  collect_and(heap, RacePoint::kBeforeRootScan, [&] {
    wait_until_something_is_scanned(heap);
    PreciseLocal<Node> moved = source->next.get();
    black->next = moved.get();
    source->next = nullptr;
  });
  expect_whole(black->next.get());
}

// With handshakes a thread runs on while others are black: what only its own grey stack holds lives by the
// insertion half.
TEST_P(MovingPointers, FromAGreyStackToABlackObject) {
  if (!ragged()) GTEST_SKIP() << "with stops every stack is scanned before its thread runs";
  Heap heap(config());
  MutatorScope scope(heap);
  PreciseLocal<Node> black = make<Node>();
  Node* shared = black.get();
  std::latch ready{1};
  std::atomic<bool> hold{false};
  std::atomic<bool> holding{false};
  std::thread grey([&] {
    MutatorScope attached(heap, "grey");
    PreciseLocal<Node> moved = make_pair_of_nodes();
    ready.count_down();
    while (!hold) safepoint();
    holding = true;  // no safepoint from here until the pointer has moved
    wait_until_something_is_scanned(heap);
    shared->next = moved.get();
    moved = nullptr;
  });
  blocking([&] { ready.wait(); });
  HeldWindow window(RacePoint::kBeforeStacks);
  std::thread collector([&] { heap.collect(); });
  blocking([&] {
    window.wait_until_reached();
    hold = true;
    while (!holding) std::this_thread::yield();
    window.open();
    grey.join();
    collector.join();
  });
  expect_whole(black->next.get());
}

// The thread that moved it leaves: what its barrier remembers is handed in.
TEST_P(MovingPointers, ByAThreadThatLeavesWhileMarking) {
  Heap heap(config());
  MutatorScope scope(heap);
  PreciseLocal<Node> black = make<Node>();
  Root<Node> source(make<Node>());
  source->next = make_pair_of_nodes();
  collect_and(heap, RacePoint::kBeforeRootScan, [&] {
    wait_until_something_is_scanned(heap);
    Node* to = black.get();
    std::thread leaving([&, to] {
      MutatorScope attached(heap, "leaving");
      to->next = source->next.get();
      source->next = nullptr;
    });
    blocking([&] { leaving.join(); });
  });
  expect_whole(black->next.get());
}

// Until every barrier is on, nothing is born black: a thread whose barrier is off may still write to it.
TEST_P(MovingPointers, IntoAnObjectBornBeforeEveryBarrierIsOn) {
  if (!ragged()) GTEST_SKIP() << "with stops all barriers go on at once";
  Heap heap(config());
  MutatorScope scope(heap);
  std::latch ready{1};
  std::atomic<Node*> fresh{nullptr};
  std::thread late([&] {
    MutatorScope attached(heap, "late");
    PreciseLocal<Node> moved = make_pair_of_nodes();
    ready.count_down();
    while (fresh.load() == nullptr) std::this_thread::yield();
    EXPECT_FALSE(t_barrier.marking);
    fresh.load()->next = moved.get();
    moved = nullptr;
  });
  blocking([&] { ready.wait(); });
  std::thread collector([&] { heap.collect(); });
  while (!t_barrier.marking) safepoint();
  PreciseLocal<Node> holder = make<Node>();
  fresh = holder.get();
  blocking([&] {
    late.join();
    collector.join();
  });
  expect_whole(holder->next.get());
}

// Born while marking, known to the stack only.
TEST_P(MovingPointers, WhatIsBornWhileMarkingLives) {
  Heap heap(config());
  MutatorScope scope(heap);
  PreciseLocal<Node> before = make<Node>();  // so that a hole is held when marking begins
  PreciseLocal<Node> small;
  PreciseLocal<Ptr<Node>> large;
  collect_and(heap, RacePoint::kAfterRaggedFlush, [&] {
    small = make_pair_of_nodes();
    large = make_array<Ptr<Node>>(20000);
    large.get()[19999] = make_pair_of_nodes();
  });
  expect_whole(small.get());
  expect_whole(large.get()[19999].get());
}

TEST_P(MovingPointers, WhatIsBornWhileMarkingCountsAsLive) {
  LastLiveBytes listener;
  HeapConfig c = config();
  c.listener = &listener;
  Heap heap(c);
  MutatorScope scope(heap);
  PreciseLocal<Node> list;
  collect_and(heap, RacePoint::kAfterRaggedFlush, [&] {
    for (int i = 0; i < 1000; ++i) {
      PreciseLocal<Node> node = make<Node>();
      node->next = list.get();
      list = node.get();
    }
  });
  EXPECT_EQ(listener.bytes.load(), heap.stats().heap_alloc_bytes);
}

// Only a weak pointer knows the object when marking seems over; who locks it then gets it whole.
TEST_P(MovingPointers, WhatAWeakPointerYieldsAsMarkingEndsLives) {
  Heap heap(config());
  MutatorScope scope(heap);
  Weak<Node> weak(make_pair_of_nodes());
  PreciseLocal<Node> moved;
  collect_and(heap, RacePoint::kAfterRaggedFlush, [&] { moved = weak.lock(); });
  ASSERT_NE(moved.get(), nullptr);
  expect_whole(moved.get());
}

// A chain of finalizable objects that nobody reaches any more, registered after what finalizable objects
// reach was shaded: one dies at a time, from its head on.
TEST_P(MovingPointers, FinalizersSetWhileMarkingRunInOrderOfDependency) {
  constexpr uint64_t kLength = 12;
  Heap heap(config());
  MutatorScope scope(heap);
  Root<Node> source(make<Node>());
  for (uint64_t i = 0; i < kLength; ++i) {
    PreciseLocal<Node> node = make<Node>();
    node->number = kLength - i;
    node->next = source->next.get();
    source->next = node.get();
  }
  PreciseLocal<Node> moved;
  std::vector<uint64_t> order;
  HeldWindow window(RacePoint::kBeforeRootScan);
  std::thread collector([&] { heap.collect(); });
  blocking([&] { window.wait_until_reached(); });
  moved = source->next.get();
  source->next = nullptr;
  {
    HeldWindow end(RacePoint::kAfterRaggedFlush);
    window.open();
    blocking([&] { end.wait_until_reached(); });
    for (Node* node = moved.get(); node != nullptr; node = node->next.get()) {
      set_finalizer(node, [&order](Node* n) { order.push_back(n->number); });
    }
    moved = nullptr;
    end.open();
    blocking([&] { collector.join(); });
  }
  EXPECT_LE(heap.stats().finalizers.finalizers_queued, 1U);
  for (uint64_t i = 0; i <= kLength; ++i) {
    heap.collect();
    ASSERT_TRUE(heap.run_finalizers(kPatience));
  }
  ASSERT_EQ(order.size(), kLength);
  for (uint64_t i = 0; i < kLength; ++i) EXPECT_EQ(order[i], i + 1);
}

// Marking is over and one thread knows it; another, whose barrier is still on, shades what the first has
// allocated since. It must not be in the next cycle already, where nothing of it is marked.
TEST_P(MovingPointers, ABarrierStillOnMeetsNoObjectOfTheNextCycle) {
  if (!ragged()) GTEST_SKIP() << "with stops all barriers go off at once";
  Heap heap(config());
  MutatorScope scope(heap);
  Root<Node> target(make<Node>());
  std::latch ready{1};
  std::atomic<bool> hold{false};
  std::atomic<bool> holding{false};
  std::atomic<Node*> fresh{nullptr};
  std::thread late([&] {
    MutatorScope attached(heap, "late");
    ready.count_down();
    while (!hold) safepoint();
    holding = true;
    while (fresh.load() == nullptr) std::this_thread::yield();
    EXPECT_TRUE(t_barrier.marking);
    target->next = fresh.load();
    while (t_barrier.marking) safepoint();
  });
  blocking([&] { ready.wait(); });
  HeldWindow window(RacePoint::kAfterRaggedFlush);
  std::thread collector([&] { heap.collect(); });
  blocking([&] { window.wait_until_reached(); });
  hold = true;
  while (!holding) std::this_thread::yield();
  window.open();
  while (t_barrier.marking) safepoint();
  fresh = make_pair_of_nodes();
  blocking([&] {
    late.join();
    collector.join();
  });
  expect_whole(target->next.get());
  heap.collect();
  expect_whole(target->next.get());
}

INSTANTIATE_TEST_SUITE_P(Kinds, MovingPointers, testing::ValuesIn(concurrent_kinds()), [](const auto& test) {
  std::string name = std::string(test.param.barrier) + "_" + test.param.transitions;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace keel
