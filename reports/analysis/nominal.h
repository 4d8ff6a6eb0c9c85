// Nominal statistics: what a workload is like, whoever collects for it. After DaCapo Chopin's (Blackburn et
// al., ASPLOS 2025), whose keys are kept in brackets where the meaning is the same.
#pragma once

#include <vector>

#include "reports/analysis/run_facts.h"

namespace keel {

/// Allocation rate [ARA], mean object [AOA], turnover [GTO], collections [GCC], share of time in world stops
/// [GCP], survival, floating garbage, pointer density, scanned share, barrier work, retained by conservative
/// roots. Absent where a collector does not tell.
std::vector<Fact> nominal_facts();

}  // namespace keel
