// Overwriting dead memory so that a use after free is seen, not guessed (Go's clobberfree).
//
// With `--debug poison` the sweeper fills freed slots with words that name their own address: the word at A
// is 0xdbdb << 48 | A. Its upper bits make no canonical address on x86-64 and none that a program has on
// arm64, so following it faults at once; and whoever finds such a word in a register knows which dead slot it
// was read from (the crash report does, collector/crash). Zeroing on allocation undoes it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace keel {

inline constexpr uint64_t kPoisonTag = 0xdbdb;
inline constexpr int kPoisonShift = 48;
inline constexpr uint64_t kPoisonAddressMask = (uint64_t{1} << kPoisonShift) - 1;

/// What a poisoned word at `address` holds. Precondition: the address has 48 bits.
constexpr uint64_t poison_word(uintptr_t address) { return kPoisonTag << kPoisonShift | address; }

/// The address a poisoned word was read from, or 0 if `word` is none. A field's offset added to it on the way
/// to the fault (small against the slot) is part of the answer.
constexpr uintptr_t poisoned_address(uint64_t word) {
  return word >> kPoisonShift == kPoisonTag ? word & kPoisonAddressMask : 0;
}

/// Whole words only: slots are multiples of a word.
inline void poison(uintptr_t start, size_t bytes) {
  for (uintptr_t at = start; at < start + bytes; at += sizeof(uint64_t)) {
    *reinterpret_cast<volatile uint64_t*>(at) = poison_word(at);
  }
}

/// The first word of [start, start + bytes) that no longer holds its poison, or 0.
inline uintptr_t find_unpoisoned(uintptr_t start, size_t bytes) {
  for (uintptr_t at = start; at < start + bytes; at += sizeof(uint64_t)) {
    if (*reinterpret_cast<const volatile uint64_t*>(at) != poison_word(at)) return at;
  }
  return 0;
}

}  // namespace keel
