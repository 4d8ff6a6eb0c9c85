// CONFIG: barriers=hybrid roots=precise
//
// Sizes that no computer has are out of memory, with the size asked for; alignment up to a cache line is
// honoured.
#include <gtest/gtest.h>

#include <cstring>

#include "collector/cycle/heap_core.h"

namespace keel {
namespace {

HeapConfig precise() {
  HeapConfig config;
  config.roots = Roots::kPrecise;
  config.debug.walk = true;
  config.debug.checkmark = true;
  return config;
}

template <typename F>
std::string out_of_memory(F&& f) {
  try {
    f();
  } catch (const OutOfMemory& e) {
    return e.what();
  }
  return "no exception";
}

struct Eight {
  uint64_t word;
};

TEST(Sizes, ASizeThatWrapsIsOutOfMemoryWithTheSizeAskedFor) {
  Heap heap(precise());
  MutatorScope scope(heap);
  EXPECT_EQ(out_of_memory([] { make_array<uint64_t>(size_t{1} << 61); }),
            "out of memory: 2305843009213693952 x 8 B + 1 B is more than there are addresses");
  EXPECT_EQ(out_of_memory([] { make_array<char>(~size_t{0}); }),
            "out of memory: 18446744073709551615 x 1 B + 1 B is more than there are addresses");
  EXPECT_EQ(out_of_memory([] { make_array<std::array<uint64_t, 12>>(~size_t{0} / 96 + 1); }),
            "out of memory: 192153584101141163 x 96 B + 1 B is more than there are addresses");
  EXPECT_EQ(out_of_memory([] { make_with_tail<Eight>(~size_t{0} - 6); }),
            "out of memory: 8 B + 18446744073709551609 B is more than there are addresses");
  EXPECT_EQ(heap.stats().num_gc, 0U) << "no collection can help";
}

// Every size from the last that wraps down to the largest that fits the range, at the places where something
// rounds.
TEST(Sizes, ASizeBeyondTheHeapsAddressesIsOutOfMemoryAtOnce) {
  HeapConfig config = precise();
  config.range_bytes = kGiB;
  Heap heap(config);
  MutatorScope scope(heap);
  for (const size_t bytes : {~size_t{0}, ~size_t{0} - 7, ~size_t{0} - 8190, ~size_t{0} - 8191,
                             size_t{1} << 63, (size_t{1} << 48) + 1, size_t{kGiB} + 1}) {
    EXPECT_EQ(out_of_memory([&] {
                make_bytes(bytes);
              }).find("out of memory: " + format_size(bytes) + " is more than the heap has addresses; "),
              0U)
        << bytes;
  }
  EXPECT_EQ(out_of_memory([] {
              make_with_tail<Eight>(~size_t{0} - 8);
            }).find("out of memory: 18446744073709551615B"),
            0U);
  EXPECT_EQ(out_of_memory([] {
              make_array<uint64_t>(~size_t{0} / 8);
            }).find("out of memory: 18446744073709551609B"),
            0U);
  EXPECT_EQ(heap.stats().num_gc, 0U);
  EXPECT_EQ(heap.check(), "");
  EXPECT_NE(make_bytes(kGiB / 2), nullptr);
}

template <size_t kAlignment, size_t kWords>
struct alignas(kAlignment) Wide {
  Ptr<Wide> next;
  std::array<uint64_t, kWords> words;
};

template <typename T>
void expect_aligned(const T* object, size_t bytes) {
  EXPECT_EQ(reinterpret_cast<uintptr_t>(object) % alignof(T), 0U)
      << object << ": " << bytes << " B aligned to " << alignof(T);
}

// Several of each size, so that slots beyond the first of a span are seen; linked, so that the map is right
// as well.
template <size_t kAlignment, size_t kWords>
void check_type() {
  using T = Wide<kAlignment, kWords>;
  Heap& heap = *Heap::current();
  Root<T> kept;
  for (int i = 0; i < 9; ++i) {
    PreciseLocal<T> one = make<T>();
    expect_aligned(one.get(), sizeof(T));
    one->next = kept.get();
    one->words[kWords - 1] = 7;
    kept = one.get();
  }
  heap.collect();
  int found = 0;
  for (T* at = kept.get(); at != nullptr; at = at->next) found += at->words[kWords - 1] == 7;
  EXPECT_EQ(found, 9);
}

template <size_t kAlignment>
void check_arrays_and_tails() {
  struct alignas(kAlignment) Unit {
    std::array<uint8_t, kAlignment> bytes;
  };
  struct alignas(kAlignment) Header {
    uint64_t word;
  };
  for (size_t bytes = 0; bytes < 40000; bytes += bytes < 600 ? 1 : 509) {
    for (int i = 0; i < 3; ++i) {
      Header* header = make_with_tail<Header>(bytes);
      expect_aligned(header, sizeof(Header) + bytes);
      std::memset(header + 1, 0xff, bytes);
      if (bytes % kAlignment == 0) {
        Unit* units = make_array<Unit>(bytes / kAlignment);
        expect_aligned(units, bytes);
        std::memset(static_cast<void*>(units), 0xff, bytes);
      }
    }
  }
}

template <size_t kAlignment>
void check_alignment() {
  check_type<kAlignment, 1>();
  check_type<kAlignment, 3>();
  check_type<kAlignment, 9>();
  check_type<kAlignment, 40>();
  check_type<kAlignment, 1000>();
  check_type<kAlignment, 5000>();
  check_arrays_and_tails<kAlignment>();
}

TEST(Sizes, AlignmentUpToACacheLineIsHonouredAtEverySize) {
  Heap heap(precise());
  MutatorScope scope(heap);
  check_alignment<8>();
  check_alignment<16>();
  check_alignment<32>();
  check_alignment<64>();
  heap.collect();
  EXPECT_EQ(heap.check(), "");
  EXPECT_EQ(heap.stats().heap_objects, 0U);
}

TEST(Sizes, AnAlignedClassIsTheSmallestWhoseSlotsFit) {
  for (size_t bytes = 0; bytes <= kMaxSmallBytes; ++bytes) {
    const auto smallest = [&](size_t alignment) {
      size_t index = 1;
      while (kSizeClasses[index].slot_bytes < bytes || kSizeClasses[index].slot_bytes % alignment != 0)
        ++index;
      return index;
    };
    ASSERT_EQ(aligned_size_class_of<1>(bytes), smallest(1)) << bytes;
    ASSERT_EQ(aligned_size_class_of<16>(bytes), smallest(16)) << bytes;
    ASSERT_EQ(aligned_size_class_of<32>(bytes), smallest(32)) << bytes;
    ASSERT_EQ(aligned_size_class_of<64>(bytes), smallest(64)) << bytes;
  }
  EXPECT_EQ(aligned_size_class_of<64>(kMaxSmallBytes + 1), 0);
}

// A field that is aligned beyond its type moves the fields behind it. Sizes alone would not show it.
struct Padded {
  Ptr<Eight> first;
  alignas(16) uint64_t number;
  Ptr<Eight> last;
};

TEST(Sizes, APointerBehindAnOverAlignedFieldIsFound) {
  static_assert(offsetof(Padded, last) == 24);
  EXPECT_EQ(pointer_map_of<Padded>(false).offsets, (std::vector<uint32_t>{0, 3}));
  Heap heap(precise());
  MutatorScope scope(heap);
  Root<Padded> root(make<Padded>());
  root->last = make<Eight>();
  heap.collect();
  EXPECT_EQ(heap.stats().heap_objects, 2U);
}

}  // namespace
}  // namespace keel
