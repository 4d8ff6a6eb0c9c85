// CONFIG: no heap: allocator alone
//
// Work that others wait for comes in pieces: bytes given back at a time, looks at lists for a sweep.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "allocator/base/race_points.h"
#include "allocator/memory/heap_memory.h"
#include "allocator/span/span_bits.h"

namespace keel {
namespace {

// One dirty run of 64 MiB: the budget is kept to the page, and what is kept stays dirty.
TEST(PageHeap, ReleasesNoMoreThanItsBudgetOfALargeRun) {
  PageTable table;
  PageHeap heap(table);
  ASSERT_TRUE(heap.reserve(kGiB, false));
  const PageRun run = heap.allocate(64 * kMiB / kPageBytes);
  ASSERT_TRUE(run.valid());
  heap.free(run.page, run.pages, false);
  EXPECT_EQ(heap.stats().dirty_bytes, 64 * kMiB);
  EXPECT_EQ(heap.release_idle(0, kMiB), kMiB);
  EXPECT_EQ(heap.stats().dirty_bytes, 63 * kMiB);
  EXPECT_EQ(heap.release_idle(40 * kMiB, ~uint64_t{0}), 23 * kMiB);
  EXPECT_EQ(heap.stats().dirty_bytes, 40 * kMiB);
  EXPECT_STREQ(heap.check_identities(), "");
  EXPECT_EQ(heap.release_idle(0, ~uint64_t{0}), 40 * kMiB);
  EXPECT_EQ(heap.stats().free_runs, 1U) << "the pieces are one run again";
  EXPECT_STREQ(heap.check_identities(), "");
}

// A run of 1 TiB, clean but for a few pages: taking, giving back and releasing look at some thousand words of
// bits and counts; a bit a page would be two million.
TEST(PageHeap, WorkUnderItsLockDoesNotGrowWithTheRun) {
  PageTable table;
  PageHeap heap(table);
  ASSERT_TRUE(heap.reserve(3 * kTiB, false));
  // Less where the system grants less; a bit a page would still be eight times the bound at 64 GiB.
  const uint64_t pages = std::min(kTiB, heap.stats().reserved_bytes / 3) / kPageBytes;
  constexpr uint64_t kMostWords = 16 * 1024;
  const auto bounded = [&](const char* what, auto&& operation) {
    const uint64_t before = heap.words_under_lock();
    auto result = operation();
    EXPECT_LE(heap.words_under_lock() - before, kMostWords) << what;
    return result;
  };
  // 64 pieces of it, a dirty page behind each.
  std::vector<PageRun> clean;
  std::vector<PageRun> dirty;
  for (int i = 0; i < 64; ++i) {
    clean.push_back(bounded("a clean run", [&] { return heap.allocate(pages / 64 - 1); }));
    dirty.push_back(heap.allocate(1));
  }
  for (const PageRun& run : dirty) heap.free(run.page, run.pages, false);
  for (const PageRun& run : clean) {
    bounded("free", [&] { return heap.free(run.page, run.pages, true), 0; });
  }
  EXPECT_STREQ(heap.check_identities(), "");
  EXPECT_EQ(heap.stats().dirty_bytes, 64 * kPageBytes);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(bounded("a page released", [&] { return heap.release_idle(0, kPageBytes); }), kPageBytes);
  }
  const PageRun mixed = bounded("a mixed run", [&] { return heap.allocate(pages); });
  EXPECT_TRUE(mixed.dirty);
  EXPECT_EQ(heap.stats().dirty_bytes, 0U);
  bounded("free", [&] { return heap.free(mixed.page, mixed.pages, true), 0; });
  EXPECT_STREQ(heap.check_identities(), "");
  // What could not be given back is dirty, all of it.
  const PageRun kept = heap.allocate(pages);
  EXPECT_FALSE(kept.dirty);
  bounded("a dirty run", [&] { return heap.free(kept.page, kept.pages, false), 0; });
  EXPECT_EQ(heap.stats().dirty_bytes, pages * kPageBytes);
  EXPECT_STREQ(heap.check_identities(), "");
  bounded("a piece released", [&] { return heap.release_idle(0, PageHeap::kReleasePieceBytes); });
  EXPECT_STREQ(heap.check_identities(), "");
  EXPECT_TRUE(bounded("most of a dirty run", [&] { return heap.allocate(pages - 512); }).dirty);
  EXPECT_EQ(heap.stats().dirty_bytes, 0U);
  EXPECT_STREQ(heap.check_identities(), "");
}

// Every other page is free: so many runs, and no more, have their nodes.
TEST(PageHeap, EveryOtherPageMayBeFree) {
  PageTable table;
  PageHeap heap(table);
  ASSERT_TRUE(heap.reserve(64 * kMiB, false));
  constexpr uint64_t kPages = 64 * kMiB / kPageBytes;
  for (uint64_t i = 0; i < kPages; ++i) ASSERT_TRUE(heap.allocate(1).valid());
  for (int round = 0; round < 2; ++round) {
    for (uint64_t page = 0; page < kPages; page += 2) heap.free(page, 1, false);
    EXPECT_EQ(heap.stats().free_runs, kPages / 2);
    EXPECT_STREQ(heap.check_identities(), "");
    for (uint64_t page = 1; page < kPages; page += 2) heap.free(page, 1, round == 0);
    EXPECT_EQ(heap.stats().free_runs, 1U);
    EXPECT_STREQ(heap.check_identities(), "");
    for (uint64_t i = 0; i < kPages; ++i) ASSERT_TRUE(heap.allocate(1).valid());
  }
}

struct Release {
  PageHeap* heap;
  uint64_t pieces = 0;
  uint64_t locked = 0;
  static void hook(RacePoint point, void* self) {
    if (point != RacePoint::kReleasingPages) return;
    auto* release = static_cast<Release*>(self);
    PageHeapStats stats;
    ++release->pieces;
    release->locked += release->heap->try_stats(stats) ? 0 : 1;
    // Others allocate meanwhile, and never get a page that is on its way out.
    const PageRun run = release->heap->allocate(8);
    EXPECT_STREQ(release->heap->check_identities(), "");
    release->heap->free(run.page, run.pages, false);
  }
};

TEST(PageHeap, IsNotLockedWhileTheSystemTakesPages) {
  if (!kRacePointsEnabled) GTEST_SKIP() << "race points are compiled out of release builds";
  PageTable table;
  PageHeap heap(table);
  ASSERT_TRUE(heap.reserve(kGiB, false));
  const PageRun run = heap.allocate(64 * kMiB / kPageBytes);
  heap.free(run.page, run.pages, false);
  Release release{&heap};
  set_race_hook_for_testing(&Release::hook, &release);
  heap.release_idle(kMiB, 64 * kMiB);
  set_race_hook_for_testing(nullptr, nullptr);
  EXPECT_GE(release.pieces, 63 * kMiB / PageHeap::kReleasePieceBytes);
  EXPECT_EQ(release.locked, 0U);
  EXPECT_STREQ(heap.check_identities(), "");
}

class FreeNothing final : public SweepHook {
 public:
  explicit FreeNothing(HeapMemory& memory) : memory_(memory) {}
  void sweep_span(Span& span, uint32_t cycle) override {
    const uint64_t page = memory_.page_of(span);
    set_bits(memory_.alloc_bits(page, cycle), 0, 1);
    clear_bits(memory_.mark_bits(page, cycle), layout_of(span.layout).slots);
    span.live_slots = 1;
    span.swept_cycle.store(cycle, std::memory_order_relaxed);
  }

 private:
  HeapMemory& memory_;
};

// So many layouts, so many spans: a whole sweep looks at lists about as often as there are spans and layouts,
// not spans times layouts; and asking whether it is over looks at none.
TEST(Sweep, LooksAtListsOncePerSpanAndLayout) {
  HeapMemory memory({kGiB, 0, false, false});
  FreeNothing hook(memory);
  memory.set_sweep_hook(&hook);
  constexpr uint32_t kSpansEach = 5;
  std::vector<LayoutId> layouts;
  for (uint32_t words = 2; words < 34; ++words) {
    PointerMap map;
    map.kind = MapKind::kOneUnit;
    map.unit_words = words;
    map.offsets = {words - 1};
    layouts.push_back(register_layout(words * kWordBytes, map));
  }
  std::vector<Span*> spans;
  for (LayoutId layout : layouts) {
    for (uint32_t i = 0; i < kSpansEach; ++i) {
      Span* span = memory.acquire_span(layout, 0, true);
      ASSERT_NE(span, nullptr);
      span->live_slots = 1;
      spans.push_back(span);
    }
  }
  for (Span* span : spans) memory.return_span(*span, 0);
  EXPECT_EQ(memory.unswept_spans(), 0U);
  memory.finish_mark();
  EXPECT_EQ(memory.unswept_spans(), spans.size());
  EXPECT_EQ(memory.count_unswept_spans(), spans.size());
  const uint64_t before = memory.sweep_looks();
  uint64_t swept = 0;
  while (!memory.sweep_is_over()) swept += memory.sweep_one(memory.cycle()) ? 1 : 0;
  EXPECT_EQ(swept, spans.size());
  EXPECT_LE(memory.sweep_looks() - before, spans.size() + layout_count());
  EXPECT_EQ(memory.count_unswept_spans(), 0U);
}

class FreeEverything final : public SweepHook {
 public:
  void sweep_span(Span& span, uint32_t cycle) override {
    span.live_slots = 0;
    span.swept_cycle.store(cycle, std::memory_order_relaxed);
  }
};

// Is away while the system takes pages, and looks at the heap as somebody else would.
class Onlooker final : public AwayHook {
 public:
  explicit Onlooker(HeapMemory& memory) : memory_(memory) {}
  void run_away(void (*work)(void*), void* argument) override {
    ++regions;
    sweep_over += memory_.sweep_is_over() ? 1 : 0;
    const PageHeapStats stats = memory_.pages().stats();
    in_use_bytes += stats.in_use_bytes;
    EXPECT_STREQ(memory_.pages().check_identities(), "");
    EXPECT_EQ(memory_.leaving(), 1U);
    work(argument);
  }
  int regions = 0;
  int sweep_over = 0;
  uint64_t in_use_bytes = 0;

 private:
  HeapMemory& memory_;
};

// 0.2 s a GiB: no stop waits for it, no cycle's beginning, and the pages are out of use at once.
TEST(Sweep, ADeadLargeSpanGoesToTheSystemAwayAndAfterTheSweep) {
  HeapMemory memory({kGiB, 0, false, false});
  FreeEverything sweep;
  Onlooker onlooker(memory);
  memory.set_sweep_hook(&sweep);
  memory.set_away_hook(&onlooker);
  PointerMap pointers;
  pointers.kind = MapKind::kOneUnit;
  pointers.unit_words = 2;
  pointers.offsets = {1};
  const uint64_t bytes[] = {80 * kMiB, 4 * kMiB, 80 * kMiB + kPageBytes};
  const LayoutId layouts[] = {register_layout(kMaxSmallBytes + 16, pointers),
                              register_layout(kMaxSmallBytes + 16, PointerMap{}),
                              register_layout(kMaxSmallBytes + 16, PointerMap{})};
  for (int i = 0; i < 3; ++i) {
    Span* span = memory.allocate_large(layouts[i], bytes[i], memory.cycle(), false);
    ASSERT_NE(span, nullptr);
    auto* last = reinterpret_cast<char*>(span->start + bytes[i] - 1);
    *last = 1;
    memory.finish_mark();
    const int before = onlooker.regions;
    EXPECT_TRUE(memory.sweep_one(memory.cycle()));
    EXPECT_EQ(onlooker.regions, before + 1) << "not away for " << bytes[i] << " bytes";
    EXPECT_EQ(*last, 0) << "the system has not taken the last page";
    EXPECT_EQ(memory.leaving(), 0U);
    EXPECT_EQ(memory.pages().stats().free_runs, 1U);
    EXPECT_EQ(memory.pages().stats().dirty_bytes, 0U);
    EXPECT_STREQ(memory.pages().check_identities(), "");
  }
  EXPECT_EQ(onlooker.sweep_over, 3) << "the sweep is not over while the pages go";
  EXPECT_EQ(onlooker.in_use_bytes, 0U);
}

}  // namespace
}  // namespace keel
