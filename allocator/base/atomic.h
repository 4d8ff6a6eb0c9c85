// Atomic: the one name under which the allocator, the barriers and the collector declare an atomic.
//
// It is std::atomic. The name is a seam: in the explore build every access is a place where the scheduler may
// switch threads (allocator/base/explore). Tests, and what runs in a dying thread, use std::atomic.
#pragma once

#include <atomic>
#include <type_traits>

#include "allocator/base/build.h"
#include "allocator/base/explore/atomic.h"

namespace keel {

template <typename T>
using Atomic = std::conditional_t<kExploreBuild, explore::Atomic<T>, std::atomic<T>>;

}  // namespace keel
