// Size classes: which slot a small object takes, and what that wastes.
//
// The table is generated (scripts/gen_size_classes.py states the rule); class 0 means "large". `tail_bytes`
// is lost at the end of a span, `inside_bytes` is the most a slot can waste by rounding up, `worst_percent`
// both together.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace keel {

/// 8 KiB, as in Go's malloc.go: 512 slots of 16 bytes, so the bits of a page fill one cache line.
inline constexpr size_t kPageShift = 13;
inline constexpr size_t kPageBytes = size_t{1} << kPageShift;

/// Objects above this are large: a span each.
inline constexpr size_t kMaxSmallBytes = 32768;
inline constexpr size_t kMinSlotBytes = 16;
inline constexpr size_t kMaxSpanPages = 16;

struct SizeClass {
  uint32_t slot_bytes;
  uint32_t pages;
  uint32_t slots;
  uint32_t tail_bytes;
  uint32_t inside_bytes;
  double worst_percent;
};

inline constexpr auto kSizeClasses = std::to_array<SizeClass>({
    {0, 0, 0, 0, 0, 0.0},
#define KEEL_SIZE_CLASS(number, slot, pages, slots, tail, inside, worst) \
  {slot, pages, slots, tail, inside, worst},
#include "allocator/size/size_classes.inc"
#undef KEEL_SIZE_CLASS
});

inline constexpr size_t kSizeClassCount = kSizeClasses.size();

namespace detail {
// Class by (bytes + 7) / 8: one load for any small size.
inline constexpr auto kClassOfWords = [] {
  std::array<uint8_t, kMaxSmallBytes / 8 + 1> table{};
  size_t index = 1;
  for (size_t words = 0; words < table.size(); ++words) {
    while (kSizeClasses[index].slot_bytes < words * 8) ++index;
    table[words] = static_cast<uint8_t>(index);
  }
  return table;
}();

// By log2(alignment / 16) and class: the first class from there on whose slots are multiples of the
// alignment. Spans begin on pages, so every slot of such a class is aligned.
inline constexpr auto kAlignedClass = [] {
  std::array<std::array<uint8_t, kSizeClassCount>, 3> table{};
  for (size_t row = 0; row < table.size(); ++row) {
    for (size_t from = 1; from < kSizeClassCount; ++from) {
      size_t index = from;
      while (kSizeClasses[index].slot_bytes % (size_t{16} << row) != 0)
        ++index;  // the last one is a power of two
      table[row][from] = static_cast<uint8_t>(index);
    }
  }
  return table;
}();
}  // namespace detail

/// The class whose slot fits `bytes`, or 0 for a large object. Cost: one load.
constexpr uint8_t size_class_of(size_t bytes) {
  return bytes > kMaxSmallBytes ? 0 : detail::kClassOfWords[(bytes + 7) / 8];
}

/// What the address of an object can be a multiple of: any power of two up to a cache line. Large objects
/// begin on pages.
inline constexpr size_t kMaxAlignment = 64;

/// The class whose slots fit `bytes` and are aligned. Cost: one load, two above 8.
template <size_t kAlignment>
constexpr uint8_t aligned_size_class_of(size_t bytes) {
  static_assert(kAlignment <= kMaxAlignment && (kAlignment & (kAlignment - 1)) == 0,
                "heap objects are aligned to at most 64 bytes: this type asks for more");
  if constexpr (kAlignment <= 8) {
    return size_class_of(bytes);
  } else {
    constexpr size_t kRow = kAlignment == 16 ? 0 : kAlignment == 32 ? 1 : 2;
    return detail::kAlignedClass[kRow][size_class_of(bytes)];
  }
}

}  // namespace keel
