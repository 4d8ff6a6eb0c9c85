// CONFIG: barriers=hybrid roots=precise
//
// More pointer maps than there are layouts: the rest is scanned conservatively, and nothing is lost.
#include <gtest/gtest.h>

#include <vector>

#include "collector/cycle/heap_core.h"

namespace keel {
namespace {

struct Leaf {
  uint64_t number;
};

// The i-th map: the bits of i + 1 say which of the first 14 words are pointers.
PointerMap map_number(uint32_t i) {
  PointerMap map;
  map.kind = MapKind::kOneUnit;
  map.unit_words = 14;
  for (uint32_t word = 0; word < 14; ++word) {
    if (((i + 1) >> word & 1) != 0) map.offsets.push_back(word);
  }
  return map;
}

TEST(Layouts, BeyondTheLastAreConservativeAndLoseNothing) {
  HeapConfig config;
  config.roots = Roots::kPrecise;
  config.debug.checkmark = config.debug.walk = true;
  Heap heap(config);
  MutatorScope scope(heap);
  constexpr uint32_t kMaps = 6000;
  std::vector<Root<Ptr<Leaf>>> objects;
  uint64_t leaves = 0;
  for (uint32_t i = 0; i < kMaps; ++i) {
    const PointerMap map = map_number(i);
    const LayoutId layout = register_layout(112, map);
    ASSERT_EQ(register_layout(112, map), layout);
    PreciseLocal<Ptr<Leaf>> object = static_cast<Ptr<Leaf>*>(Mutator::current()->allocate(layout, 112));
    for (const uint32_t word : map.offsets) {
      object.get()[word] = make<Leaf>();
      object.get()[word]->number = i * 16 + word;
      ++leaves;
    }
    objects.emplace_back(object.get());
  }
  EXPECT_LT(layout_count(), kMaxLayouts);
  EXPECT_EQ(describe_layout(layout_of(register_layout(112, map_number(kMaps)))), "112 B conservative");
  EXPECT_EQ(register_layout(100000, map_number(7000)), register_layout(100000, map_number(7001)))
      << "large ones too";
  for (const SizeClass& size : kSizeClasses) {
    register_layout(size.slot_bytes + (size.slot_bytes == 0 ? 40000 : 0), PointerMap{});
    register_layout(size.slot_bytes + (size.slot_bytes == 0 ? 40000 : 0), map_number(8000));
  }
  EXPECT_LE(layout_count(), kMaxLayouts);
  for (int round = 0; round < 2; ++round) {
    heap.collect();
    EXPECT_EQ(heap.stats().heap_objects, kMaps + leaves);
  }
  for (uint32_t i = 0; i < kMaps; ++i) {
    for (const uint32_t word : map_number(i).offsets)
      ASSERT_EQ(objects[i].get()[word]->number, i * 16 + word);
  }
  objects.clear();
  heap.collect();
  EXPECT_EQ(heap.stats().heap_objects, 0U);
  EXPECT_EQ(heap.check(), "");
}

}  // namespace
}  // namespace keel
