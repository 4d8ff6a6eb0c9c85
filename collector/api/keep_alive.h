// keep_alive(p): the last point up to which p counts as live.
#pragma once

namespace keel {

/// No instruction beyond keeping the value. A compiler may end a local's life at its last use, long before
/// the scope ends, exactly as in Go.
template <typename T>
__attribute__((always_inline)) inline void keep_alive(const T* object) {
  asm volatile("" : : "g"(object) : "memory");
}

}  // namespace keel
