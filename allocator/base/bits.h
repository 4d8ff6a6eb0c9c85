// Alignment and runs of bits in words.
//
// A bitmap here is an array of 64-bit words, bit i in word i / 64. Runs are half-open [begin, end).
#pragma once

#include <cstddef>
#include <cstdint>

namespace keel {

inline constexpr size_t kWordBytes = sizeof(uintptr_t);

constexpr uint64_t round_up(uint64_t value, uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}
constexpr uint64_t round_down(uint64_t value, uint64_t multiple) { return value / multiple * multiple; }

/// The bits of word `index` that lie in [begin, end).
constexpr uint64_t word_mask(size_t index, size_t begin, size_t end) {
  const size_t first = index * 64;
  uint64_t mask = ~uint64_t{0};
  if (begin > first) mask &= begin - first >= 64 ? 0 : ~uint64_t{0} << (begin - first);
  if (end < first + 64) mask &= end <= first ? 0 : ~uint64_t{0} >> (64 - (end - first));
  return mask;
}

}  // namespace keel
