// Where a thread's stack ends: one past the highest word that is scanned.
//
// The C library puts a thread's control block and its static thread-local storage at the top of the mapping
// that holds its stack, above every frame. They are not the stack: what they hold is not a root, and old
// entries there would keep objects for ever. The first thread's lie elsewhere.
#pragma once

#include <cstdint>

namespace keel {

/// Of the calling thread. Cost: reads of the loader's tables; /proc/self/maps for the first thread.
uintptr_t stack_base_of_this_thread();

}  // namespace keel
