// The heap of benchmarks that do not ask for another: precise roots, so that nothing but the benchmark's own
// pointers retains; a fixed goal, so that the number of cycles depends on what is allocated alone.
#pragma once

#include "collector/api/heap.h"

namespace keel {

inline HeapConfig bench_heap() {
  HeapConfig c;
  c.roots = Roots::kPrecise;
  c.goal = GoalRule::kFixed;
  c.fixed_goal_bytes = uint64_t{64} << 20;
  return c;
}

}  // namespace keel
