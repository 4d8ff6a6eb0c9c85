// Runs of mark and allocation bits: set, clear, count, and the search for holes.
//
// Marks are set by any marker at once (fetch_or, relaxed [mark.once]: exactly one thread sees the bit clear,
// and the pointer that led here brought the object's fields). Allocation bits are written by the span's owner
// alone and read by stack scanners of other threads: relaxed [alloc.publish], ordered by the handshake or
// stop in which the owner publishes its holes.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

#include "allocator/base/bits.h"
#include "allocator/base/defects.h"
#include "allocator/span/page_table.h"

namespace keel {

/// Marks one slot; true for the one thread that found it unmarked.
inline bool try_mark(BitWord& word, uint64_t bit) {
  // relaxed [mark.once]: the load only saves a locked instruction; fetch_or elects one winner in any order.
  if ((word.load(std::memory_order_relaxed) & bit) != 0) return false;
  if (defect(Defect::kMarkBitSetWithoutLock)) {
    word.store(word.load(std::memory_order_relaxed) | bit, std::memory_order_relaxed);
    return true;
  }
  return (word.fetch_or(bit, std::memory_order_relaxed) & bit) == 0;
}

/// The same for a thread that must be seen to have found work before anybody sees its mark: `announce` runs
/// before the bit is set. acquire/release [mark.announced]: whoever finds the bit set, and acknowledges a
/// round after that, makes the announcement visible to the thread that counts acknowledgements.
template <typename Announce>
bool try_mark_announced(BitWord& word, uint64_t bit, Announce&& announce) {
  if ((word.load(std::memory_order_acquire) & bit) != 0) return false;
  if (!defect(Defect::kGreyedInSilence)) announce();
  return (word.fetch_or(bit, std::memory_order_acq_rel) & bit) == 0;
}

inline bool test_bit(const BitWord* words, uint32_t index) {
  return (words[index / 64].load(std::memory_order_relaxed) >> (index % 64) & 1) != 0;
}

/// Clears the bits of [0, count). Owner only.
inline void clear_bits(BitWord* words, uint32_t count) {
  for (uint32_t i = 0; i * 64 < count; ++i) words[i].store(0, std::memory_order_relaxed);
}

/// Sets [begin, end) against concurrent markers.
inline void set_bits(BitWord* words, uint32_t begin, uint32_t end) {
  for (uint32_t i = begin / 64; i * 64 < end; ++i) {
    words[i].fetch_or(word_mask(i, begin, end), std::memory_order_relaxed);
  }
}

/// Clears [begin, end) against concurrent markers.
inline void clear_bits(BitWord* words, uint32_t begin, uint32_t end) {
  for (uint32_t i = begin / 64; i * 64 < end; ++i) {
    words[i].fetch_and(~word_mask(i, begin, end), std::memory_order_relaxed);
  }
}

/// Sets [begin, end) where only the owner writes: no locked instruction.
inline void set_bits_owned(BitWord* words, uint32_t begin, uint32_t end) {
  for (uint32_t i = begin / 64; i * 64 < end; ++i) {
    words[i].store(words[i].load(std::memory_order_relaxed) | word_mask(i, begin, end),
                   std::memory_order_relaxed);
  }
}

/// Clears of [0, count) what is clear in `kept`. Owner only.
inline void keep_bits(BitWord* words, const BitWord* kept, uint32_t count) {
  for (uint32_t i = 0; i * 64 < count; ++i) {
    const uint64_t word = words[i].load(std::memory_order_relaxed);
    const uint64_t left = word & kept[i].load(std::memory_order_relaxed);
    if (left != word) words[i].store(left, std::memory_order_relaxed);
  }
}

inline uint32_t count_bits(const BitWord* words, uint32_t count) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i * 64 < count; ++i) {
    sum += static_cast<uint32_t>(std::popcount(words[i].load(std::memory_order_relaxed)));
  }
  return sum;
}

/// First index in [from, count) whose bit equals `value`, or `count`.
inline uint32_t find_bit(const BitWord* words, uint32_t from, uint32_t count, bool value) {
  for (uint32_t i = from / 64; i * 64 < count; ++i) {
    uint64_t word = words[i].load(std::memory_order_relaxed);
    if (!value) word = ~word;
    word &= word_mask(i, from, count);
    if (word != 0) return i * 64 + static_cast<uint32_t>(std::countr_zero(word));
  }
  return count;
}

}  // namespace keel
