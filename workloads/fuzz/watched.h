// One input through one target, its memory watched.
#pragma once

#include <string_view>

#include "reports/api/fuzz_targets.h"

namespace keel {

/// Runs it. Aborts with the figures if more bytes were live than the target's bound allows, or some are still
/// live after.
void run_watched(const FuzzTarget& target, std::string_view input);

}  // namespace keel
