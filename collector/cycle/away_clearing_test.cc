// CONFIG: barriers=hybrid roots=precise; one needs race points (all builds but release)
//
// Long work off safepoints: clearing a large object's pages and giving memory back stop nobody's collection,
// and roots are taken while roots are scanned.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "allocator/base/race_points.h"
#include "collector/cycle/heap_core.h"

namespace keel {
namespace {

struct Node {
  Ptr<Node> next;
  uint64_t number;
};

HeapConfig config(const char* transitions) {
  HeapConfig c;
  c.roots = Roots::kPrecise;
  c.transitions = transitions;
  c.gogc_percent = HeapConfig::kGogcOff;
  c.debug.walk = true;
  c.debug.checkmark = true;
  return c;
}

struct Clearing {
  Heap* heap;
  RacePoint at = RacePoint::kClearingLarge;
  std::thread::id thread = std::this_thread::get_id();
  uint32_t cycles = 0;
  std::atomic<bool> once{false};
  static void hook(RacePoint point, void* self) {
    auto* clearing = static_cast<Clearing*>(self);
    if (point != clearing->at || std::this_thread::get_id() != clearing->thread) return;
    if (clearing->once.exchange(true)) return;
    // Whole cycles, walks included, by another thread, while this one clears.
    const uint32_t before = clearing->heap->stats().num_gc;
    std::thread collector([&] {
      for (int i = 0; i < 2; ++i) clearing->heap->collect();
    });
    collector.join();
    clearing->cycles = clearing->heap->stats().num_gc - before;
  }
};

class AwayClearing : public testing::TestWithParam<const char*> {};

// Waits for ever if clearing is not a blocking region: the collection would wait for this thread.
TEST_P(AwayClearing, ACollectionEndsWhileALargeObjectIsCleared) {
  if (!kRacePointsEnabled) GTEST_SKIP() << "race points are compiled out of release builds";
  Heap heap(config(GetParam()));
  MutatorScope scope(heap);
  constexpr size_t kPointers = 1 << 20;  // 8 MiB
  {
    PreciseLocal<Ptr<Node>> dirty = make_array<Ptr<Node>>(kPointers);
    for (size_t i = 0; i < kPointers; i += 100) dirty.get()[i] = make<Node>();
  }
  heap.collect();  // its pages are free and dirty
  Clearing clearing{&heap};
  set_race_hook_for_testing(&Clearing::hook, &clearing);
  PreciseLocal<Ptr<Node>> fresh = make_array<Ptr<Node>>(kPointers);
  set_race_hook_for_testing(nullptr, nullptr);
  EXPECT_EQ(clearing.cycles, 2U);
  for (size_t i = 0; i < kPointers; ++i) ASSERT_EQ(fresh.get()[i].get(), nullptr) << i;
  fresh.get()[7] = make<Node>();
  heap.collect();
  EXPECT_NE(fresh.get()[7].get(), nullptr);
  EXPECT_EQ(heap.check(), "");
}

// No cycle comes about meanwhile if the cycle thread gives it back.
TEST_P(AwayClearing, ACollectionEndsWhileMemoryGoesBackToTheSystem) {
  if (!kRacePointsEnabled) GTEST_SKIP() << "race points are compiled out of release builds";
  Heap heap(config(GetParam()));
  MutatorScope scope(heap);
  for (int i = 0; i < 4; ++i) make_array<Ptr<Node>>(1 << 20);
  Clearing releasing{&heap, RacePoint::kReleasingPages};
  set_race_hook_for_testing(&Clearing::hook, &releasing);
  heap.free_os_memory();
  set_race_hook_for_testing(nullptr, nullptr);
  EXPECT_EQ(releasing.cycles, 2U);
  EXPECT_EQ(heap.check(), "");
}

INSTANTIATE_TEST_SUITE_P(Transitions, AwayClearing, testing::Values("stw", "handshake"),
                         [](const auto& test) { return std::string(test.param); });

// Waits for ever if the table is locked while its roots are visited.
TEST(RootTable, RootsAreTakenAndReturnedWhileRootsAreScanned) {
  RootTable table;
  std::vector<Slot*> slots;
  for (int i = 0; i < 1000; ++i) slots.push_back(table.acquire({"here", 1}));
  size_t visited = 0;
  table.scan([&](uintptr_t) {
    if (visited++ % 100 == 0) table.release(table.acquire({"there", 2}));
  });
  EXPECT_GE(visited, slots.size());
  for (Slot* slot : slots) table.release(slot);
  EXPECT_EQ(table.in_use(), 0U);
}

}  // namespace
}  // namespace keel
