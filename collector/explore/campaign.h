// A campaign: many schedules of one scenario, in child processes, so that what ends a process ends only a
// child.
//
// Each child first makes one run of the scenario that does not count, so that what a process does once
// (registering layouts) is behind it; then its runs depend on their options alone. What a child found is run
// again in a fresh one, and must end the same way. Threads: a process with one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "collector/explore/scenario.h"

namespace keel::explore {

struct Campaign {
  const Scenario* scenario = nullptr;
  std::optional<StrategyKind> strategy;  // none: as options_of_seed()
  uint64_t seed = 1;                     // of the first schedule; then the next ones
  uint32_t depth = 3;                    // of kPct and kWindows
  uint32_t most_deviations = 1;          // of kBounded
  std::vector<Deviation> deviations;     // of kBounded: this run alone
  std::optional<SwitchAt> switch_at;     // none: as options_of_seed()
  // The first bound that is reached ends it; 0: no bound.
  uint64_t most_schedules = 0;
  uint64_t most_switches = 0;
  int64_t most_ns = 0;
  bool progress = false;
};

struct Tally {
  uint64_t schedules = 0;
  uint64_t switches = 0;
  uint64_t points = 0;
  uint64_t longest_points = 0;  // of one schedule
  int64_t wall_ns = 0;
  int completed_deviations = -1;  // of kBounded: every run with up to so many was made
  bool found = false;
  std::string what;
  uint64_t found_seed = 0;
  std::string replay;       // the line that repeats it
  bool replayed = false;    // and it was: the same trace
  uint64_t trace_hash = 0;  // of what was found, or of the last schedule
};

Tally run_campaign(const Campaign& campaign);

/// "120:2,4501:1", of deviations.
std::string to_string(const std::vector<Deviation>& deviations);
std::optional<std::vector<Deviation>> parse_deviations(const std::string& text);

}  // namespace keel::explore
