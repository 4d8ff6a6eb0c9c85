// The command line of a workload as a fuzz target; see reports/api/fuzz_targets.h.
#pragma once

#include <vector>

#include "reports/api/fuzz_targets.h"

namespace keel {

/// Those of the reports, and workload-options: the flags that every workload has, and one of each kind that
/// single ones add.
std::vector<FuzzTarget> all_fuzz_targets();

}  // namespace keel
