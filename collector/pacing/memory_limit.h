// The memory limit: caps whatever goal another rule has set, so that all memory stays below a soft limit.
//
//   goal = limit - (non_heap + overage) - headroom, never below live
//   non_heap = mapped - heap_free - heap_allocated     what is mapped and is neither free pages nor objects
//   overage  = max(0, mapped - limit)
//   headroom = max(1 MiB, 3 % of limit - non_heap - overage)
//
// mapped: memory obtained from the system and not given back (Go's Sys - HeapReleased); heap_free: pages in
// no span that are still resident; heap_allocated: bytes of objects, swept or not. When non-heap memory alone
// exceeds the limit the goal is the live heap: cycles follow one another, and the CPU limiter (cpu_limiter.h)
// is what keeps the program running. Source: Go mgcpacer.go (memoryLimitHeapGoal(); headroom of 3 % since
// 1.21).
#pragma once

#include <algorithm>
#include <cstdint>

#include "allocator/base/defects.h"
#include "collector/pacing/goal.h"

namespace keel {

struct MemoryFigures {
  uint64_t mapped_bytes = 0;
  uint64_t heap_free_bytes = 0;
  uint64_t heap_allocated_bytes = 0;
};

inline constexpr uint64_t kLeastHeadroom = kMiB;

/// Bytes left below the limit for inaccuracy of the pacing.
inline uint64_t goal_below_limit(uint64_t limit_bytes) {
  const uint64_t headroom = std::max(kLeastHeadroom, limit_bytes / 100 * 3);
  return limit_bytes < 2 * headroom ? headroom : limit_bytes - headroom;
}

/// Bytes, at least `live_bytes`; kNoGoal without a limit (limit_bytes >= kNoGoal).
inline uint64_t memory_limit_goal(uint64_t limit_bytes, const MemoryFigures& memory, uint64_t live_bytes) {
  if (limit_bytes >= kNoGoal || defect(Defect::kMemoryLimitIgnored)) return kNoGoal;
  const uint64_t heap = std::min(memory.mapped_bytes, memory.heap_free_bytes + memory.heap_allocated_bytes);
  const uint64_t non_heap = memory.mapped_bytes - heap;
  const uint64_t overage = memory.mapped_bytes > limit_bytes ? memory.mapped_bytes - limit_bytes : 0;
  if (non_heap + overage >= limit_bytes) return live_bytes;
  return std::max(live_bytes, goal_below_limit(limit_bytes - non_heap - overage));
}

}  // namespace keel
