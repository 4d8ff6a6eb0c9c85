// Size classes, layouts, span bits, page table, page heap and thread cache, each against brute force or a
// closed form.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <latch>
#include <map>
#include <set>
#include <thread>
#include <vector>

#include "allocator/base/machine.h"
#include "allocator/base/rng.h"
#include "allocator/base/system_calls.h"
#include "allocator/cache/thread_cache.h"
#include "allocator/memory/heap_memory.h"
#include "allocator/span/span_bits.h"

namespace keel {
namespace {

TEST(SizeClasses, EveryObjectGetsTheSmallestSlotThatFits) {
  for (size_t bytes = 0; bytes <= kMaxSmallBytes; ++bytes) {
    const uint8_t c = size_class_of(bytes);
    ASSERT_GT(c, 0);
    ASSERT_GE(kSizeClasses[c].slot_bytes, bytes);
    if (c > 1) {
      ASSERT_LT(kSizeClasses[c - 1U].slot_bytes, bytes);
    }
  }
  EXPECT_EQ(size_class_of(kMaxSmallBytes + 1), 0);
}

TEST(SizeClasses, TheTableStatesItsWaste) {
  for (size_t c = 1; c < kSizeClassCount; ++c) {
    const SizeClass& s = kSizeClasses[c];
    EXPECT_LE(s.pages, kMaxSpanPages);
    EXPECT_EQ(s.slots, s.pages * kPageBytes / s.slot_bytes);
    EXPECT_EQ(s.tail_bytes, s.pages * kPageBytes - size_t{s.slots} * s.slot_bytes);
    EXPECT_NEAR(s.worst_percent,
                100.0 * (s.slots * s.inside_bytes + s.tail_bytes) / static_cast<double>(s.pages * kPageBytes),
                0.01);
    if (s.slot_bytes >= 128) {
      EXPECT_LE(s.worst_percent, 20) << s.slot_bytes;
    }
  }
}

TEST(HeapMemory, CountsTheTablesOfThePagesInUse) {
  HeapMemory memory({});
  const LayoutId large = register_layout(kMaxSmallBytes + 1, PointerMap{});
  uint64_t pages = 0;
  for (uint64_t bytes : {uint64_t{40000}, uint64_t{100000}, kMiB}) {
    ASSERT_NE(memory.allocate_large(large, bytes, 0, false), nullptr);
    pages += round_up(bytes, kPageBytes) / kPageBytes;
    EXPECT_EQ(memory.metadata_bytes(), PageTable::metadata_bytes(pages));
  }
}

TEST(Layouts, ReciprocalFindsTheSlotOfEveryByte) {
  for (size_t c = 1; c < kSizeClassCount; ++c) {
    const Layout& l = layout_of(register_layout(kSizeClasses[c].slot_bytes, PointerMap{}));
    for (size_t offset = 0; offset <= l.span_pages * kPageBytes; ++offset) {
      ASSERT_EQ(l.slot_of(offset), offset / l.slot_bytes) << "slot " << l.slot_bytes << " offset " << offset;
    }
  }
}

PointerMap map_of(uint32_t unit, std::vector<uint32_t> offsets, bool repeats) {
  PointerMap map;
  map.kind = MapKind::kOneUnit;
  map.unit_words = unit;
  map.offsets = std::move(offsets);
  map.repeats = repeats;
  return map;
}

TEST(Layouts, TypesThatAgreeShareOneAndPickTheFastestKind) {
  EXPECT_EQ(register_layout(41, PointerMap{}), register_layout(48, PointerMap{}));
  EXPECT_NE(register_layout(48, PointerMap{}), register_layout(49, PointerMap{}));
  EXPECT_EQ(register_layout(24, map_of(3, {0, 1}, false)), register_layout(24, map_of(3, {0, 1}, false)));
  EXPECT_NE(register_layout(24, map_of(3, {0, 1}, false)), register_layout(24, map_of(3, {0}, false)));
  EXPECT_EQ(layout_of(register_layout(800, map_of(1, {0}, true))).kind, MapKind::kAllPointers);
  EXPECT_EQ(layout_of(register_layout(800, map_of(3, {1}, true))).kind, MapKind::kRepeated);
  EXPECT_EQ(layout_of(register_layout(800, map_of(100, {1, 99}, false))).kind, MapKind::kLong);
  EXPECT_EQ(layout_of(register_layout(800, map_of(100, {1, 60}, false))).kind, MapKind::kOneUnit);
  EXPECT_TRUE(layout_of(register_layout(100000, PointerMap{})).large());
}

TEST(Layouts, CountTheirPointers) {
  auto words = [](size_t bytes, const PointerMap& map) {
    return pointer_words(layout_of(register_layout(bytes, map)), bytes);
  };
  EXPECT_EQ(words(48, PointerMap{}), 0U);
  EXPECT_EQ(words(24, map_of(3, {0, 2}, false)), 2U);
  EXPECT_EQ(words(1024, map_of(1, {0}, true)), 128U);
  EXPECT_EQ(words(240, map_of(3, {1}, true)), 10U);
  EXPECT_EQ(words(800, map_of(100, {1, 50, 99}, false)), 3U);
  EXPECT_EQ(words(800000, map_of(1, {0}, true)), 100000U);
  EXPECT_EQ(words(240000, map_of(3, {0, 1}, true)), 20000U);
}

TEST(SpanBits, AgreeWithBruteForce) {
  Rng rng(1);
  for (int round = 0; round < 200; ++round) {
    BitWord words[8] = {};
    std::vector<bool> expected(512, false);
    for (int op = 0; op < 20; ++op) {
      const auto begin = static_cast<uint32_t>(rng.below(513));
      const auto end = begin + static_cast<uint32_t>(rng.below(513 - begin));
      const uint64_t what = rng.below(3);
      if (what == 0) set_bits(words, begin, end);
      if (what == 1) clear_bits(words, begin, end);
      if (what == 2) set_bits_owned(words, begin, end);
      for (uint32_t i = begin; i < end; ++i) expected[i] = what != 1;
    }
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 512; ++i) {
      ASSERT_EQ(test_bit(words, i), expected[i]);
      sum += expected[i] ? 1 : 0;
    }
    EXPECT_EQ(count_bits(words, 512), sum);
    for (const bool value : {false, true}) {
      for (uint32_t from = 0; from < 512; from += 37) {
        uint32_t want = from;
        while (want < 512 && expected[want] != value) ++want;
        ASSERT_EQ(find_bit(words, from, 512, value), want);
      }
    }
  }
}

TEST(SpanBits, OneThreadWinsAMark) {
  BitWord word{0};
  EXPECT_TRUE(try_mark(word, 4));
  EXPECT_FALSE(try_mark(word, 4));
  EXPECT_TRUE(try_mark(word, 8));
}

// Two threads set their own bits of the same words, and race for every eighth one.
TEST(SpanBits, NoMarkIsLostAndNoneHasTwoWinners) {
  constexpr size_t kWords = 50000;
  std::vector<BitWord> words(kWords);
  std::atomic<uint64_t> shared_wins{0};
  std::latch together{2};
  auto mark = [&](uint64_t first) {
    uint64_t wins = 0;
    together.arrive_and_wait();
    for (BitWord& word : words) {
      for (uint64_t bit = 0; bit < 64; ++bit) {
        const bool shared = bit % 8 == 0;
        if (!shared && bit % 2 != first) continue;
        const bool won = try_mark(word, uint64_t{1} << bit);
        if (shared && won) ++wins;
        if (!shared && !won) ADD_FAILURE() << "a bit that nobody else sets was set";
      }
    }
    shared_wins += wins;
  };
  std::thread other(mark, 1);
  mark(0);
  other.join();
  for (size_t i = 0; i < kWords; ++i) ASSERT_EQ(words[i].load(), ~uint64_t{0}) << "word " << i;
  EXPECT_EQ(shared_wins.load(), kWords * 8);
}

class NoSweep : public SweepHook {
 public:
  void sweep_span(Span&, uint32_t) override { ADD_FAILURE() << "nothing to sweep here"; }
};

TEST(PageHeap, RandomRunsNeverOverlapAndAlwaysAddUp) {
  const uint64_t seed = 1;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Rng rng(seed);
  PageTable table;
  PageHeap heap(table);
  ASSERT_TRUE(heap.reserve(256 * kMiB, false));
  std::map<uint64_t, uint64_t> runs;
  for (int i = 0; i < 4000; ++i) {
    const uint64_t dice = rng.below(10);
    if (dice < 5) {
      const uint64_t align = rng.below(8) == 0 ? 256 : 1;
      const PageRun run = heap.allocate(1 + rng.below(rng.below(20) == 0 ? 2000 : 20), align);
      if (!run.valid()) continue;
      EXPECT_EQ(run.page % align, 0U);
      auto next = runs.upper_bound(run.page);
      if (next != runs.end()) {
        ASSERT_LE(run.page + run.pages, next->first);
      }
      if (next != runs.begin()) {
        --next;
        ASSERT_LE(next->first + next->second, run.page);
      }
      char* start = reinterpret_cast<char*>(table.address_of(run.page));
      if (!run.dirty) {
        ASSERT_EQ(start[0], 0) << "a clean page that is not zero";
      }
      std::memset(start, 1, kPageBytes);
      runs[run.page] = run.pages;
    } else if (dice < 9 && !runs.empty()) {
      auto at = runs.lower_bound(rng.below(runs.rbegin()->first + 1));
      heap.free(at->first, at->second, false);
      runs.erase(at);
    } else {
      heap.release_idle(rng.below(4) * kMiB, 8 * kMiB);
    }
    if (i % 50 == 0) {
      ASSERT_STREQ(heap.check_identities(), "");
    }
  }
  for (const auto& [page, pages] : runs) heap.free(page, pages, false);
  EXPECT_STREQ(heap.check_identities(), "");
  EXPECT_EQ(heap.stats().in_use_bytes, 0U);
  EXPECT_EQ(heap.stats().free_runs, 1U) << "everything free is one run again";
  heap.release_idle(0, ~uint64_t{0});
  EXPECT_EQ(heap.stats().dirty_bytes, 0U);
  EXPECT_EQ(heap.stats().released_bytes, heap.stats().committed_bytes);
}

TEST(PageHeap, GivesBackFreePagesAndNothingElse) {
  PageTable table;
  PageHeap heap(table);
  ASSERT_TRUE(heap.reserve(64 * kMiB, false));
  std::vector<PageRun> runs;
  for (int i = 0; i < 16; ++i) {
    runs.push_back(heap.allocate(2));
    std::memset(reinterpret_cast<void*>(table.address_of(runs.back().page)), 0x5a, 2 * kPageBytes);
  }
  for (size_t i = 0; i < runs.size(); i += 2) heap.free(runs[i].page, 2, false);
  heap.release_idle(0, ~uint64_t{0});
  for (size_t i = 0; i < runs.size(); ++i) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(table.address_of(runs[i].page));
    for (size_t k = 0; k < 2 * kPageBytes; k += 512) ASSERT_EQ(bytes[k], i % 2 == 0 ? 0 : 0x5a) << i;
  }
}

// madvise fails: what the system did not take back is neither counted as released nor taken for zero.
TEST(PageHeap, PagesThatCannotBeGivenBackStayDirty) {
  if (!kCallsCanFail) GTEST_SKIP() << "calls cannot fail in this build";
  PageTable table;
  PageHeap heap(table);
  ASSERT_TRUE(heap.reserve(64 * kMiB, false));
  const PageRun run = heap.allocate(512);
  std::memset(reinterpret_cast<void*>(table.address_of(run.page)), 0x5a, 512 * kPageBytes);
  heap.free(run.page, 512, false);
  set_failures_for_testing("madvise:1+:ENOMEM");
  EXPECT_EQ(heap.release_idle(0, ~uint64_t{0}), 0U);
  EXPECT_EQ(heap.stats().dirty_bytes, 512 * kPageBytes);
  EXPECT_TRUE(heap.allocate(512).dirty);
  set_failures_for_testing(nullptr);
}

TEST(HeapMemory, AHugeObjectIsZeroThoughItsPagesCannotBeGivenBack) {
  if (!kCallsCanFail) GTEST_SKIP() << "calls cannot fail in this build";
  HeapMemory memory({});
  constexpr uint64_t kBytes = 4 * kMiB;
  const PageRun run = memory.pages().allocate(2 * kBytes / kPageBytes);
  std::memset(reinterpret_cast<void*>(memory.table().address_of(run.page)), 0x5a, 2 * kBytes);
  memory.pages().free(run.page, run.pages, false);
  set_failures_for_testing("madvise:1+:ENOMEM");
  const Span* span =
      memory.allocate_large(register_layout(kMaxSmallBytes + 1, PointerMap{}), kBytes, 0, false);
  set_failures_for_testing(nullptr);
  ASSERT_NE(span, nullptr);
  const auto* bytes = reinterpret_cast<const unsigned char*>(span->start);
  for (uint64_t i = 0; i < kBytes; i += 64) ASSERT_EQ(bytes[i], 0U) << i;
}

TEST(PageHeap, RefusesBeyondItsLimitAndItsRange) {
  PageTable table;
  PageHeap heap(table);
  ASSERT_TRUE(heap.reserve(64 * kMiB, false));
  heap.set_limit(kMiB);
  EXPECT_TRUE(heap.allocate(100).valid());
  EXPECT_FALSE(heap.allocate(100).valid());
  heap.set_limit(0);
  EXPECT_FALSE(heap.allocate(64 * kMiB / kPageBytes).valid());
}

TEST(PageTable, LeadsFromAnyAddressToItsSpan) {
  HeapMemory memory({});
  NoSweep hook;
  memory.set_sweep_hook(&hook);
  Span* small = memory.acquire_span(register_layout(48, map_of(6, {0}, false)), 0, false);
  Span* medium = memory.acquire_span(register_layout(20480, PointerMap{}), 0, false);
  Span* large = memory.allocate_large(register_layout(100000, PointerMap{}), 100000, 0, false);
  // Larger than a chunk, at no chunk boundary in general: whole chunks in between, single pages at the ends.
  const uint64_t huge_bytes = 3 * PageTable::kChunkBytes + 5 * kPageBytes;
  Span* huge = memory.allocate_large(register_layout(huge_bytes, PointerMap{}), huge_bytes, 0, false);
  for (Span* span : {small, medium, large, huge}) {
    ASSERT_NE(span, nullptr);
    Rng rng(1);
    for (int i = 0; i < 1000; ++i) {
      ASSERT_EQ(memory.table().find(span->start + rng.below(span->bytes())), span);
    }
    EXPECT_EQ(memory.table().find(span->start), span);
    EXPECT_EQ(memory.table().find(span->start + span->bytes() - 1), span);
  }
  EXPECT_EQ(memory.table().find(0), nullptr);
  EXPECT_EQ(memory.table().find(memory.table().base() - 1), nullptr);
  EXPECT_EQ(memory.table().find(memory.table().base() + memory.table().range_bytes()), nullptr);
  EXPECT_EQ(memory.table().find(memory.table().base() + memory.table().range_bytes() - 1), nullptr);
}

TEST(PageTable, MetadataOfAFourTebibyteBallastIsBelowOneMebibyte) {
  HeapMemory memory({});
  NoSweep hook;
  memory.set_sweep_hook(&hook);
  const uint64_t before = resident_bytes();
  Span* ballast = memory.allocate_large(register_layout(4 * kTiB, PointerMap{}), 4 * kTiB, 0, false);
  if (ballast == nullptr) GTEST_SKIP() << "this build or machine has no 4 TiB of addresses";
  EXPECT_LE(memory.metadata_bytes(), kMiB);
  EXPECT_LE(resident_bytes() - before, 2 * kMiB);
  EXPECT_EQ(memory.table().find(ballast->start + 3 * kTiB + 12345), ballast);
}

class ThreadCacheTest : public testing::Test {
 protected:
  ThreadCacheTest() { memory_.set_sweep_hook(&hook_); }
  ~ThreadCacheTest() override { cache_.flush(); }

  void* allocate(LayoutId id) {
    const size_t bytes = layout_of(id).slot_bytes;
    void* slot = cache_.try_allocate(id, bytes);
    if (slot != nullptr) return slot;
    EXPECT_GT(cache_.refill(id), 0U);
    return cache_.try_allocate(id, bytes);
  }

  NoSweep hook_;
  HeapMemory memory_{{}};
  ThreadCache cache_{memory_};
  const LayoutId id_ = register_layout(48, map_of(6, {0}, false));
};

TEST_F(ThreadCacheTest, HandsOutDistinctZeroedAlignedSlotsAndCountsThem) {
  std::set<uintptr_t> seen;
  for (int i = 0; i < 1000; ++i) {
    char* slot = static_cast<char*>(allocate(id_));
    for (int b = 0; b < 48; ++b) ASSERT_EQ(slot[b], 0);
    std::memset(slot, 0xff, 48);
    ASSERT_TRUE(seen.insert(reinterpret_cast<uintptr_t>(slot)).second);
  }
  cache_.publish();
  const AllocationCounts counts = cache_.take_counts();
  EXPECT_EQ(counts.objects, 1000U);
  EXPECT_EQ(counts.bytes, 48000U);
  EXPECT_EQ(counts.black_bytes, 0U);
}

TEST_F(ThreadCacheTest, PublishingMakesAllocatedSlotsKnownAndNoOthers) {
  char* first = static_cast<char*>(allocate(id_));
  allocate(id_);
  Span* span = memory_.table().find(reinterpret_cast<uintptr_t>(first));
  const BitWord* bits = memory_.alloc_bits(memory_.page_of(*span));
  EXPECT_EQ(count_bits(bits, 170), 0U) << "not yet published";
  cache_.publish();
  EXPECT_EQ(count_bits(bits, 170), 2U);
}

TEST_F(ThreadCacheTest, BornBlackIsMarkedAndTheUnusedRestIsNot) {
  char* white = static_cast<char*>(allocate(id_));
  Span* span = memory_.table().find(reinterpret_cast<uintptr_t>(white));
  const BitWord* marks = memory_.mark_bits(memory_.page_of(*span));
  cache_.begin_black();
  EXPECT_FALSE(test_bit(marks, 0)) << "allocated before marking: white";
  allocate(id_);
  EXPECT_TRUE(test_bit(marks, 1));
  EXPECT_EQ(count_bits(marks, 170), 169U) << "the whole hole is marked while it is held";
  cache_.flush();
  EXPECT_EQ(count_bits(marks, 170), 1U) << "only what was allocated stays marked";
  const AllocationCounts counts = cache_.take_counts();
  EXPECT_EQ(counts.objects, 2U);
  EXPECT_EQ(counts.black_objects, 1U);
  EXPECT_EQ(counts.black_bytes, 48U);
}

TEST_F(ThreadCacheTest, FlushedSpansAreRefilledThroughTheirHoles) {
  char* first = static_cast<char*>(allocate(id_));
  cache_.flush();
  char* second = static_cast<char*>(allocate(id_));
  EXPECT_EQ(second, first + 48) << "the same span, after what is allocated";
}

TEST_F(ThreadCacheTest, LargeUntouchedObjectsStartOnAHugePage) {
  void* p = cache_.allocate_large(register_layout(64 * kMiB, PointerMap{}), 64 * kMiB);
  ASSERT_NE(p, nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % (2 * kMiB), 0U);
}

}  // namespace
}  // namespace keel
