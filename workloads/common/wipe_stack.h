// Overwriting what calls that have returned left on the stack.
#pragma once

#include <array>

namespace keel {

/// Under conservative roots a stale copy of a pointer would keep its object, by chance: experiments about who
/// keeps what call this first.
__attribute__((noinline)) inline void wipe_stack() {
  std::array<volatile unsigned char, 16384> old;
  for (auto& byte : old) byte = 0;
  asm volatile("" : : "r"(old.data()) : "memory");
}

}  // namespace keel
