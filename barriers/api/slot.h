// Slot: a word of the heap (or a Root) that holds a pointer. The only way the program and the marker meet.
//
// [slot.publish]: the program stores with release, the marker loads with acquire, so the fields of an object
// and the zeros of its memory are visible to the marker that reaches it; the program loads with relaxed,
// because only other program threads' own synchronisation may hand it an object. On x86-64 all three are
// plain moves.
#pragma once

#include <cstdint>

#include "allocator/base/atomic.h"

namespace keel {

class Slot {
 public:
  /// Leaves the zero that allocation put there: a fresh slot is null.
  constexpr Slot() = default;
  constexpr explicit Slot(uintptr_t initial) : word_(initial) {}

  /// For the program. relaxed [slot.publish].
  [[nodiscard]] uintptr_t load_relaxed() const { return word_.load(std::memory_order_relaxed); }
  /// For markers and barriers. acquire [slot.publish]: pairs with store_release().
  [[nodiscard]] uintptr_t load_acquire() const { return word_.load(std::memory_order_acquire); }
  /// For the program, after the barrier. release [slot.publish].
  void store_release(uintptr_t value) { word_.store(value, std::memory_order_release); }
  /// First store into memory nobody else can see yet. relaxed: the object is published by a later release.
  void initialize(uintptr_t value) { word_.store(value, std::memory_order_relaxed); }

 private:
  Atomic<uintptr_t> word_{0};
};
static_assert(sizeof(Slot) == sizeof(void*));

}  // namespace keel
