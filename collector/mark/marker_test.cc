// CONFIG: barriers=hybrid roots=precise
//
// Every kind of pointer map is followed, objects above 128 KiB are scanned in pieces, and a full grey pool
// loses nothing.
#include <gtest/gtest.h>

#include "collector/cycle/heap_core.h"
#include "collector/verify/verifier.h"

namespace keel {
namespace {

struct Leaf {
  uint64_t word;
  uint64_t more;
};
struct Nested {
  uint64_t a;
  std::array<Ptr<Leaf>, 3> three;
  struct Inner {
    uint32_t x;
    Ptr<Leaf> p;
  } inner;
};
struct Declared {
  uint64_t plain[70];
  Ptr<Leaf> far;
  Ptr<Leaf> list[2];
};
struct Unit {
  uint64_t key;
  Ptr<Leaf> value;
  uint32_t flags;
};
struct Base {
  Ptr<Leaf> inherited;
};
struct Derived : Base {
  uint64_t own;
};

}  // namespace
}  // namespace keel

KEEL_POINTERS(keel::Declared, &keel::Declared::far, &keel::Declared::list);
KEEL_POINTERS(keel::Derived, &keel::Derived::inherited);

namespace keel {
namespace {

HeapConfig precise() {
  HeapConfig config;
  config.roots = Roots::kPrecise;
  config.debug.checkmark = true;
  config.debug.walk = true;
  return config;
}

TEST(TypeLayout, MapsAreDerivedFromAggregatesAndDeclaredElsewhere) {
  EXPECT_EQ(pointer_map_of<Nested>(false).offsets, (std::vector<uint32_t>{1, 2, 3, 5}));
  EXPECT_EQ(pointer_map_of<Declared>(false).offsets, (std::vector<uint32_t>{70, 71, 72}));
  EXPECT_EQ(pointer_map_of<Derived>(false).offsets, (std::vector<uint32_t>{0}));
  EXPECT_EQ(pointer_map_of<Unit>(true).unit_words, 3U);
  static_assert(kIsNoscan<Leaf>);
  static_assert(kIsNoscan<double>);
  static_assert(kIsNoscan<std::array<char, 7>>);
  static_assert(!kIsNoscan<Nested>);
  static_assert(!kIsNoscan<void*>, "a raw pointer is not proved to be harmless");
  static_assert(!kIsNoscan<std::string>, "a class that is not an aggregate declares its map");
}

class MarkerTest : public testing::Test {
 protected:
  // Live objects after a collection.
  static uint64_t survivors(Heap& heap) {
    heap.collect();
    return heap.stats().heap_objects;
  }
};

TEST_F(MarkerTest, FollowsEveryKindOfMap) {
  Heap heap(precise());
  MutatorScope scope(heap);
  Root<Nested> nested(make<Nested>());
  for (auto& p : nested->three) p = make<Leaf>();
  nested->inner.p = make<Leaf>();
  Root<Declared> declared(make<Declared>());
  declared->far = make<Leaf>();
  declared->list[1] = make<Leaf>();
  Root<Unit> units(make_array<Unit>(100));
  for (int i = 0; i < 100; ++i) units.get()[i].value = make<Leaf>();
  Root<Ptr<Leaf>> pointers(make_array<Ptr<Leaf>>(100));
  for (int i = 0; i < 100; ++i) pointers.get()[i] = make<Leaf>();
  Root<Declared> many(make_array<Declared>(3));
  for (int i = 0; i < 3; ++i) many.get()[i].list[0] = make<Leaf>();
  EXPECT_EQ(survivors(heap), (1U + 4) + (1 + 2) + (1 + 100) + (1 + 100) + (1 + 3));
}

TEST_F(MarkerTest, ScansHugeArraysInPieces) {
  Heap heap(precise());
  MutatorScope scope(heap);
  constexpr size_t kCount = 200000;  // 1.6 MB of pointers, 4.8 MB of units: dozens of pieces
  Root<Ptr<Leaf>> pointers(make_array<Ptr<Leaf>>(kCount));
  Root<Unit> units(make_array<Unit>(kCount));
  for (size_t i = 0; i < kCount; i += 7) {
    PreciseLocal<Leaf> leaf = make<Leaf>();
    leaf->word = i;
    pointers.get()[i] = leaf.get();
    units.get()[i].value = make<Leaf>();
    units.get()[i].value->word = i;
  }
  const uint64_t leaves = 2 * ((kCount + 6) / 7);
  EXPECT_EQ(survivors(heap), leaves + 2);
  for (size_t i = 0; i < kCount; i += 7) {
    ASSERT_EQ(pointers.get()[i]->word, i);
    ASSERT_EQ(units.get()[i].value->word, i);
  }
}

TEST_F(MarkerTest, AGreyPoolOfOneChunkLosesNothing) {
  HeapConfig config = precise();
  config.grey_chunks = 1;
  Heap heap(config);
  MutatorScope scope(heap);
  // Wide: one array of many nested objects, so that more is grey at once than a chunk holds.
  constexpr size_t kCount = 50000;
  Root<Ptr<Nested>> all(make_array<Ptr<Nested>>(kCount));
  for (size_t i = 0; i < kCount; ++i) {
    PreciseLocal<Nested> nested = make<Nested>();
    nested->inner.p = make<Leaf>();
    nested->inner.p->word = i;
    all.get()[i] = nested.get();
  }
  EXPECT_EQ(survivors(heap), 2 * kCount + 1);
  for (size_t i = 0; i < kCount; ++i) ASSERT_EQ(all.get()[i]->inner.p->word, i);
}

// The cycle thread scans the Root table alone and hands in two chunks at its end.
TEST(GreyChunks, AreAllHandedInWhenThereAreSeveral) {
  Heap heap(precise());
  MutatorScope scope(heap);
  std::vector<Root<Unit>> roots;
  for (size_t i = 0; i < 2 * GreyChunk::kCapacity; ++i) {
    PreciseLocal<Unit> unit = make<Unit>();
    unit->value = make<Leaf>();
    unit->value->word = i;
    roots.emplace_back(unit.get());
  }
  heap.collect();
  for (size_t i = 0; i < roots.size(); ++i) ASSERT_EQ(roots[i]->value->word, i);
}

// A round of handshakes must know of a grey object that a mutator keeps to itself (rule 2).
TEST(Announcements, WhatAMutatorGreysIsKnownBeforeItIsHandedIn) {
  Heap heap(precise());
  MutatorScope scope(heap);
  Root<Unit> unit(make<Unit>());
  GreyPool pool(8);
  Marker marker(heap.core().memory, pool, Marker::Owner::kMutator);
  marker.begin_cycle();
  const auto pointer = reinterpret_cast<uintptr_t>(unit.get());
  ASSERT_FALSE(pool.take_found().found);
  marker.shade(&pointer, 1);
  ASSERT_TRUE(marker.holds_work());
  EXPECT_TRUE(pool.take_found().found);
  marker.flush();
  hide_mark_for_testing(heap.core(), unit.get());
}

// What set_finalizer() does while marking, on a mutator: a large object's fields are left to who drains.
TEST(Announcements, TheFieldsOfALargeFinalizableAreAnnouncedAndLeftToWhoDrains) {
  HeapConfig config = precise();
  config.gogc_percent = HeapConfig::kGogcOff;  // no cycle of its own
  Heap heap(config);
  MutatorScope scope(heap);
  constexpr size_t kCount = 1'000'000;
  Root<Ptr<Leaf>> array(make_array<Ptr<Leaf>>(kCount));
  array.get()[kCount - 1] = make<Leaf>();
  GreyPool pool(64);
  Marker marker(heap.core().memory, pool, Marker::Owner::kMutator);
  marker.begin_cycle();
  const Span* span = heap.core().memory.table().find(reinterpret_cast<uintptr_t>(array.get()));
  ASSERT_FALSE(pool.take_found().found);
  marker.shade_fields(*span, 0);
  EXPECT_TRUE(pool.take_found().found);
  EXPECT_TRUE(marker.holds_work());
  EXPECT_EQ(marker.take_counts().marked_objects, 0U) << "nothing was visited yet";
  marker.drain(~uint64_t{0});
  const MarkCounts counts = marker.take_counts();
  EXPECT_EQ(counts.scanned_bytes, span->object_bytes) << "all of it, once";
  EXPECT_EQ(counts.marked_objects, 1U) << "and not the array itself";
  hide_mark_for_testing(heap.core(), array.get()[kCount - 1].get());
}

}  // namespace
}  // namespace keel
