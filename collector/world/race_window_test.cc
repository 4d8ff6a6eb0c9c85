// CONFIG: barriers=hybrid roots=precise; builds with race points (all but release)
//
// Windows held open on purpose: what must not slip through slips through every time if a rule is broken.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <fstream>
#include <latch>
#include <string>
#include <thread>

#include "collector/cycle/heap_core.h"
#include "collector/world/held_window.h"

namespace keel {
namespace {

struct Node {
  Ptr<Node> next;
  uint64_t number;
};

HeapConfig config() {
  HeapConfig c;
  c.roots = Roots::kPrecise;
  c.debug.checkmark = true;
  c.debug.walk = true;
  return c;
}

class RaceWindow : public testing::Test {
 protected:
  void SetUp() override {
    if (!kRacePointsEnabled) GTEST_SKIP() << "race points are compiled out of release builds";
  }
};

// Between the ragged flush and the final stop a mutator hides an object in a black one: the stop must find it
// grey.
TEST_F(RaceWindow, AStoreAfterTheRaggedFlushIsNotLost) {
  Heap heap(config());
  MutatorScope scope(heap);
  Root<Node> black(make<Node>());
  Root<Node> source(make<Node>());
  source->next = make<Node>();
  source->next->number = 77;
  HeldWindow window(RacePoint::kAfterRaggedFlush);
  std::thread collector([&] { heap.collect(); });
  blocking([&] { window.wait_until_reached(); });
  {
    PreciseLocal<Node> moved = source->next.get();
    PreciseLocal<Node> fresh = make<Node>();  // black, and only a register knows it
    fresh->next = moved.get();
    black->next = fresh.get();
    source->next = nullptr;
  }
  window.open();
  blocking([&] { collector.join(); });
  EXPECT_EQ(black->next->next->number, 77U);
  heap.collect();
  EXPECT_EQ(heap.stats().heap_objects, 4U);
}

// A store interrupted between the test of the flag and the store itself: no stop may come between.
TEST_F(RaceWindow, NoStopComesBetweenFlagTestAndStore) {
  Heap heap(config());
  std::atomic<bool> collected{false};
  std::latch built{1};
  HeldWindow* window = nullptr;
  std::thread mutator([&] {
    MutatorScope scope(heap);
    Root<Node> root(make<Node>());
    PreciseLocal<Node> target = make<Node>();
    target->number = 5;
    HeldWindow held(RacePoint::kBarrierBetweenTestAndStore);
    window = &held;
    built.count_down();
    root->next = target.get();  // stands in the window
    EXPECT_FALSE(collected.load()) << "a cycle ended while a store was half done";
    target = nullptr;
    heap.collect();
    EXPECT_EQ(root->next->number, 5U);
  });
  built.wait();
  window->wait_until_reached();
  std::thread collector([&] {
    heap.collect();
    collected.store(true);
  });
  // The cycle cannot begin to mark: the mutator has not reached a safepoint.
  while (heap.core().world.running() != 1) std::this_thread::yield();
  EXPECT_FALSE(heap.core().marking.load());
  window->open();
  mutator.join();
  collector.join();
}

// A thread attaches in the middle of a mark: it must allocate black and shade what it stores.
TEST_F(RaceWindow, AThreadThatAttachesWhileMarkingKeepsTheInvariant) {
  Heap heap(config());
  MutatorScope scope(heap);
  Root<Node> root(make<Node>());
  root->next = make<Node>();
  root->next->number = 9;
  HeldWindow window(RacePoint::kAfterRaggedFlush);
  std::thread collector([&] { heap.collect(); });
  blocking([&] { window.wait_until_reached(); });
  Root<Node> kept;
  std::thread late([&] {
    MutatorScope attached(heap, "late");
    PreciseLocal<Node> fresh = make<Node>();
    fresh->next = root->next.get();
    root->next = fresh.get();
  });
  blocking([&] { late.join(); });
  window.open();
  blocking([&] { collector.join(); });
  EXPECT_EQ(root->next->next->number, 9U);
}

// A mutator leaves a blocking region while the world is stopped: it waits.
TEST_F(RaceWindow, LeavingABlockingRegionWaitsForTheStop) {
  Heap heap(config());
  std::latch in_region{1};
  std::latch leave{1};
  std::atomic<bool> left{false};
  std::thread mutator([&] {
    MutatorScope scope(heap);
    blocking([&] {
      in_region.count_down();
      leave.wait();
    });
    left.store(true);
    for (int i = 0; i < 1000; ++i) make<Node>();
  });
  in_region.wait();
  HeldWindow window(RacePoint::kAfterMarkingFlagsRaised);
  std::thread collector([&] { heap.collect(); });
  window.wait_until_reached();  // inside the stop
  leave.count_down();
  for (int i = 0; i < 1000; ++i) {
    std::this_thread::yield();
    ASSERT_FALSE(left.load()) << "a mutator ran in a stopped world";
  }
  window.open();
  collector.join();
  mutator.join();
}

// More children than a grey chunk holds: whoever scans it flags spans if the pool has no chunk left.
struct Wide {
  std::array<Ptr<Node>, 600> nodes;
};
static_assert(GreyChunk::kCapacity < 600);

// With the world stopped the cycle thread rescans a flagged span and gives work away; the worker that takes
// it stands before it scans it. Once the cycle thread has seen to the flags, the worker goes on: it puts one
// up itself, and has nothing to hand in when it goes idle.
class LateOverflow {
 public:
  /// `flagged`: an object whose span is flagged. `grey`: one that nothing else leads to, found by the rescan.
  LateOverflow(HeapCore& core, const void* flagged, uintptr_t grey)
      : core_(core), flagged_(reinterpret_cast<uintptr_t>(flagged)), grey_(grey) {
    set_race_hook_for_testing(&LateOverflow::hook, this);
  }
  ~LateOverflow() { set_race_hook_for_testing(nullptr, nullptr); }
  [[nodiscard]] bool happened() const { return happened_.load(); }

 private:
  static void hook(RacePoint point, void* self) { static_cast<LateOverflow*>(self)->at(point); }
  void at(RacePoint point) {
    switch (point) {
      case RacePoint::kAfterRaggedFlush:
        if (!started_.exchange(true)) core_.pool.flag(*core_.memory.table().find(flagged_));
        break;
      case RacePoint::kOverflowRescanBegins:
        if (!armed_.exchange(true)) give_work_away();
        break;
      case RacePoint::kGreyChunkTaken:
        if (!armed_.load() || taken_.exchange(true)) break;
        taken_.notify_all();
        released_.wait(false);
        break;
      case RacePoint::kBeforeQuietInStop:
      case RacePoint::kAfterOverflowInStop:
        if (!taken_.load() || released_.exchange(true)) break;
        released_.notify_all();
        while (!core_.pool.quiet()) std::this_thread::yield();
        happened_.store(core_.pool.overflowed());
        break;
      default:
        break;
    }
  }
  void give_work_away() {
    Marker marker(core_.memory, core_.pool);
    marker.begin_cycle();
    marker.visit(grey_);
    marker.flush();
    taken_.wait(false);
  }
  HeapCore& core_;
  const uintptr_t flagged_;
  const uintptr_t grey_;
  std::atomic<bool> started_{false};
  std::atomic<bool> armed_{false};
  std::atomic<bool> taken_{false};
  std::atomic<bool> released_{false};
  std::atomic<bool> happened_{false};
};

// The overflow of a worker after the flags were looked at is seen to before the marks are finished.
TEST_F(RaceWindow, AnOverflowAfterTheFlagsWereLookedAtIsNotLost) {
  HeapConfig c = config();
  c.grey_chunks = 1;  // the worker's
  c.gogc_percent = HeapConfig::kGogcOff;
  Heap heap(c);
  MutatorScope scope(heap);
  uintptr_t grey = 0;
  {
    PreciseLocal<Wide> wide = make<Wide>();
    for (Ptr<Node>& node : wide->nodes) {
      node = make<Node>();
      node->next = make<Node>();
    }
    grey = reinterpret_cast<uintptr_t>(wide.get());
  }
  Root<std::array<Ptr<Node>, 2>> root(make<std::array<Ptr<Node>, 2>>());
  LateOverflow late(heap.core(), root.get(), grey);
  heap.collect();
  EXPECT_TRUE(late.happened());
  EXPECT_EQ(heap.stats().heap_objects, 2U + 600 + 600);
}

// A worker sees work, is kept from it while others do it, and wants to count itself busy only when the cycle
// thread has found that marking is over: it does not, since there is no work [grey.state], and comes too late
// for this cycle in every other respect.
class LateWorker {
 public:
  explicit LateWorker(HeapCore& core) : core_(core) { set_race_hook_for_testing(&LateWorker::hook, this); }
  ~LateWorker() { set_race_hook_for_testing(nullptr, nullptr); }
  [[nodiscard]] bool happened() const { return happened_.load(); }

 private:
  static void hook(RacePoint point, void* self) { static_cast<LateWorker*>(self)->at(point); }
  void at(RacePoint point) {
    static thread_local bool held = false;
    if (point == RacePoint::kWorkerBecomesBusy && !taken_.exchange(true)) {
      held = true;
      over_.wait();
    } else if (point == RacePoint::kWorkerIsBusy && held) {
      held = false;
      const uint32_t cycle = core_.memory.cycle();
      busy_.count_down();
      while (core_.memory.cycle() == cycle) std::this_thread::yield();
    } else if (point == RacePoint::kMarkingIsOver && taken_.load() && !happened_.exchange(true)) {
      over_.count_down();
      busy_.wait();
    }
  }
  HeapCore& core_;
  std::atomic<bool> taken_{false};
  std::atomic<bool> happened_{false};
  std::latch over_{1};
  std::latch busy_{1};
};

TEST_F(RaceWindow, AWorkerThatBecomesBusyWhenMarkingIsOverDisturbsNobody) {
  HeapConfig c = config();
  c.debug.walk = false;
  Heap heap(c);
  MutatorScope scope(heap);
  Root<Node> root;
  for (uint64_t i = 0; i < 10'000; ++i) {
    PreciseLocal<Node> node = make<Node>();
    node->next = root.get();
    root = node.get();
  }
  LateWorker late(heap.core());
  heap.collect();
  EXPECT_TRUE(late.happened());
  heap.collect();
  EXPECT_EQ(heap.stats().heap_objects, 10'000U);
}

// What a thread waits for while the collector acts for it, and what the hook has seen.
struct HeldThread {
  std::latch scanning{1};
  std::latch go_on{1};
  std::latch leaving{1};
  std::atomic<bool> taken{false};
  std::atomic<bool> left{false};
  static void hook(RacePoint point, void* context) {
    auto* self = static_cast<HeldThread*>(context);
    if (point == RacePoint::kBeforeStackScan && !self->taken.exchange(true)) {
      self->scanning.count_down();
      self->go_on.wait();
    }
    if (point == RacePoint::kLeavingBlocking && !self->left.exchange(true)) self->leaving.count_down();
  }
};

bool sleeps(int thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string text;
  std::getline(file, text);
  const size_t name_end = text.rfind(')');
  return name_end != std::string::npos && text.compare(name_end, 3, ") S") == 0;
}

// A mutator wants to leave a blocking region while the collector scans its stack: it sleeps, and is woken.
TEST_F(RaceWindow, AThreadThatTheCollectorHeldIsWoken) {
  HeapConfig c = config();
  c.transitions = "handshake";
  Heap heap(c);
  HeldThread held;
  std::latch inside{1};
  std::latch leave{1};
  std::atomic<int> number{0};
  std::thread mutator([&] {
    MutatorScope scope(heap);
    number = Mutator::current()->thread_id();
    blocking([&] {
      inside.count_down();
      leave.wait();
    });
    make<Node>();
  });
  inside.wait();
  set_race_hook_for_testing(&HeldThread::hook, &held);
  std::thread collector([&] { heap.collect(); });
  held.scanning.wait();
  leave.count_down();
  held.leaving.wait();
  while (!sleeps(number.load())) std::this_thread::yield();
  held.go_on.count_down();
  mutator.join();
  collector.join();
  set_race_hook_for_testing(nullptr, nullptr);
}

// The background thread is in the middle of a sweep when a collection waits for its end.
TEST_F(RaceWindow, WhoeverWaitsForTheEndOfTheSweepIsTold) {
  Heap heap(config());
  HeldWindow window(RacePoint::kBackgroundSweep);
  std::atomic<bool> stop{false};
  std::thread collector([&] {
    MutatorScope scope(heap);
    do {
      for (int i = 0; i < 1000; ++i) make<Node>();
      heap.collect();
    } while (!stop.load());
  });
  window.wait_until_reached();
  // Time for the collection to wait; too little of it only tests less.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  stop = true;
  window.open();
  collector.join();
}

}  // namespace
}  // namespace keel
