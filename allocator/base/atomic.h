// Atomic: the one name under which the allocator, the barriers and the collector declare an atomic.
//
// It is std::atomic. The name is a seam: a build that explores interleavings (docs/trust.md) makes every access
// a place where its scheduler may switch threads. Tests, and what runs in a dying thread, use std::atomic.
#pragma once

#include <atomic>

namespace keel {

template <typename T>
using Atomic = std::atomic<T>;

}  // namespace keel
