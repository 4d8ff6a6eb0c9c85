// The hunt: each seeded defect put back, and all scenarios in turn until one of them finds it.
#pragma once

#include <cstdint>
#include <vector>

#include "collector/explore/scenario.h"

namespace keel::explore {

/// Looks for every defect of the list for at most `each_ns` of the clock, in schedules from `seed` on; prints
/// a row for each and how many were found. Threads: a process with one thread.
void hunt_defects(const std::vector<const Scenario*>& list, int64_t each_ns, uint64_t seed);

}  // namespace keel::explore
