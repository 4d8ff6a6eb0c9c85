// How many bytes of malloc's are live, and were at most: for bounds on what a reader takes.
#pragma once

#include <cstddef>

namespace keel {

/// Bytes of operator new that are live now. Threads: any.
size_t live_bytes();
/// The most that were live since reset_most_live_bytes(). Threads: one.
size_t most_live_bytes();
void reset_most_live_bytes();

}  // namespace keel
