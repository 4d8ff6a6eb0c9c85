// CONFIG: barriers=hybrid transitions=all roots=precise; builds with race points (all but release)
//
// A weak pointer is locked at the worst moments: when the last round of marking is over, when the gate
// closes, before the span of a dead object has been swept. The answer is the object, which then lives, or
// null, and the object dies: never one of each.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <latch>
#include <memory>
#include <thread>

#include "allocator/base/race_points.h"
#include "collector/cycle/heap_core.h"

namespace keel {
namespace {

constexpr int64_t kPatience = 60'000'000'000;

struct Node {
  Ptr<Node> next;
  uint64_t number;
};

// Holds the first thread that reaches a point, for each point that was armed, until that is opened.
class Windows {
 public:
  Windows() { set_race_hook_for_testing(&Windows::hook, this); }
  ~Windows() { set_race_hook_for_testing(nullptr, nullptr); }
  void arm(RacePoint point) { at(point).armed.store(true); }
  void wait_until_reached(RacePoint point) { at(point).reached.wait(); }
  void open(RacePoint point) { at(point).open.count_down(); }

 private:
  struct Point {
    std::atomic<bool> armed{false};
    std::latch reached{1};
    std::latch open{1};
  };
  static void hook(RacePoint point, void* self) {
    Point& at = static_cast<Windows*>(self)->at(point);
    if (!at.armed.exchange(false)) return;
    at.reached.count_down();
    at.open.wait();
  }
  Point& at(RacePoint point) { return points_[static_cast<size_t>(point)]; }
  std::array<Point, static_cast<size_t>(RacePoint::kCount)> points_;
};

class WeakRace : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (!kRacePointsEnabled) GTEST_SKIP() << "race points are compiled out of release builds";
  }
  static HeapConfig config() {
    HeapConfig c;
    c.roots = Roots::kPrecise;
    c.transitions = GetParam();
    c.debug.checkmark = true;
    c.debug.walk = true;
    c.debug.poison = true;
    return c;
  }
  // An object that refers to another, and only a weak pointer to it.
  static Weak<Node> make_pair_of_nodes() {
    PreciseLocal<Node> node = make<Node>();
    node->number = 77;
    node->next = make<Node>();
    node->next->number = 78;
    return Weak<Node>(node.get());
  }
  static void expect_whole(Heap& heap, Root<Node>& kept) {
    ASSERT_NE(kept.get(), nullptr);
    EXPECT_EQ(kept->number, 77U);
    EXPECT_EQ(kept->next->number, 78U);
    heap.collect();
    EXPECT_EQ(heap.stats().heap_objects, 2U);
    EXPECT_EQ(kept->next->number, 78U);
  }
};

// Nothing is grey and everyone has acknowledged; the world is not stopped yet, or the gate not closed. A lock
// that comes now makes marking go on.
TEST_P(WeakRace, ALockAfterTheLastRoundKeepsItsObject) {
  Heap heap(config());
  MutatorScope scope(heap);
  const Weak<Node> weak = make_pair_of_nodes();
  Windows windows;
  windows.arm(RacePoint::kAfterRaggedFlush);
  std::thread collector([&] { heap.collect(); });
  blocking([&] { windows.wait_until_reached(RacePoint::kAfterRaggedFlush); });
  Root<Node> kept(weak.lock());
  windows.open(RacePoint::kAfterRaggedFlush);
  blocking([&] { collector.join(); });
  expect_whole(heap, kept);
  EXPECT_EQ(weak.lock(), kept.get());
}

// The same at the last moment before the exchange that closes the gate.
TEST_P(WeakRace, ALockRightBeforeTheGateClosesKeepsItsObject) {
  if (std::string(GetParam()) == "stw") GTEST_SKIP() << "there the gate closes in the stop";
  Heap heap(config());
  MutatorScope scope(heap);
  const Weak<Node> weak = make_pair_of_nodes();
  Windows windows;
  windows.arm(RacePoint::kBeforeWeakGateCloses);
  std::thread collector([&] { heap.collect(); });
  blocking([&] { windows.wait_until_reached(RacePoint::kBeforeWeakGateCloses); });
  Root<Node> kept(weak.lock());
  windows.open(RacePoint::kBeforeWeakGateCloses);
  blocking([&] { collector.join(); });
  expect_whole(heap, kept);
}

// A thread has looked at the gate and stands before it shades, while the cycle thread goes on to end the
// mark. With a stop the cycle thread waits for it; with handshakes it closes the gate, and the thread must
// notice.
TEST_P(WeakRace, ALockThatStandsBetweenLookAndShadeIsNotOvertaken) {
  Heap heap(config());
  MutatorScope scope(heap);
  const Weak<Node> weak = make_pair_of_nodes();
  Root<Node> kept;
  Windows windows;
  windows.arm(RacePoint::kAfterRaggedFlush);
  std::thread collector([&] { heap.collect(); });
  blocking([&] { windows.wait_until_reached(RacePoint::kAfterRaggedFlush); });
  windows.arm(RacePoint::kWeakGateSeen);
  std::atomic<bool> locked{false};
  std::thread locker([&] {
    MutatorScope other(heap, "locker");
    kept = weak.lock();
    locked.store(true);
  });
  const uint32_t before = heap.core().memory.cycle();
  uint32_t meanwhile = before;
  // In one region: this thread must not wait for the stop that waits for the locker.
  blocking([&] {
    windows.wait_until_reached(RacePoint::kWeakGateSeen);
    windows.open(RacePoint::kAfterRaggedFlush);
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    meanwhile = heap.core().memory.cycle();
    windows.open(RacePoint::kWeakGateSeen);
    locker.join();
    collector.join();
  });
  EXPECT_EQ(meanwhile, before) << "a cycle ended though the locker owes an acknowledgement";
  EXPECT_TRUE(locked);
  if (kept.get() != nullptr) {
    expect_whole(heap, kept);
  } else {
    heap.collect();
    EXPECT_EQ(heap.stats().heap_objects, 0U);
  }
  EXPECT_EQ(weak.lock(), kept.get());
}

// Marking is over and the dead object's span has not been swept: its weak pointer is null already, and stays
// so when the finalizer brings the object back.
TEST_P(WeakRace, ADeadObjectIsNullBeforeItsSpanIsSwept) {
  Heap heap(config());
  MutatorScope scope(heap);
  std::atomic<int> finalized{0};
  const Weak<Node> weak = make_pair_of_nodes();
  Root<Node> saved;
  set_finalizer(weak.lock(), [&](Node* n) {
    saved = n;
    ++finalized;
  });
  Windows windows;
  windows.arm(RacePoint::kBeforeSpecialsSwept);
  std::thread collector([&] { heap.collect(); });
  blocking([&] { windows.wait_until_reached(RacePoint::kBeforeSpecialsSwept); });
  EXPECT_EQ(weak.lock(), nullptr);
  EXPECT_EQ(finalized, 0);
  windows.open(RacePoint::kBeforeSpecialsSwept);
  blocking([&] { collector.join(); });
  EXPECT_TRUE(heap.run_finalizers(kPatience));
  EXPECT_EQ(finalized, 1);
  EXPECT_EQ(weak.lock(), nullptr);
  expect_whole(heap, saved);
}

// A live object's weak pointer answers while its span waits for the sweep, and a new one is made meanwhile.
TEST_P(WeakRace, ALiveObjectAnswersBeforeItsSpanIsSwept) {
  Heap heap(config());
  MutatorScope scope(heap);
  Root<Node> live(make<Node>());
  const Weak<Node> weak(live.get());
  Windows windows;
  windows.arm(RacePoint::kBeforeSpecialsSwept);
  std::thread collector([&] { heap.collect(); });
  blocking([&] { windows.wait_until_reached(RacePoint::kBeforeSpecialsSwept); });
  EXPECT_EQ(weak.lock(), live.get());
  const Weak<Node> again(live.get());
  EXPECT_TRUE(weak == again);
  set_finalizer(live.get(), [](Node*) {});
  EXPECT_TRUE(clear_finalizer(live.get()));
  windows.open(RacePoint::kBeforeSpecialsSwept);
  blocking([&] { collector.join(); });
  EXPECT_EQ(weak.lock(), live.get());
  live.reset();
  heap.collect();
  EXPECT_EQ(again.lock(), nullptr);
}

INSTANTIATE_TEST_SUITE_P(Transitions, WeakRace, testing::Values("stw", "handshake"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace keel
