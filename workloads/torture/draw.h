// Draw: which part of the option space a run of torture is in. Everything that the command line and the
// environment leave open follows from the seed; giving one flag does not change what is drawn for another.
#pragma once

#include <array>
#include <string>

#include "workloads/common/options.h"
#include "workloads/torture/shared.h"

namespace keel::torture {

struct Settings {
  uint64_t live_bytes = 0;                   // most that all graphs together record; 0: drawn
  uint64_t giant_bytes = uint64_t{1} << 30;  // largest array
  std::array<bool, kActionCount> left_out{};
  bool always_drop = false;
  uint64_t explore_seed = 0;
  bool explore = false;  // small, precise, and without what only the system can do: fork, cancellation
  // Drawn.
  uint64_t round_actions = 2000;  // of each thread between two looks of the judge
  bool drop_at_end = true;        // everything is dropped and must be gone; else the heap closes as it stands
  bool change_gogc = true;        // while the run goes on; not what the command line fixed
  bool change_limit = true;
  bool change_ballast = true;
  uint64_t ballast_bytes = 0;  // most that is taken
};

/// Completes options and settings; the answer is the flags that say the same.
std::string draw_configuration(CommonOptions& options, Settings& settings);

/// Reads a list of actions that are drawn and not done, "as_it_stands" among them: the heap then never closes
/// with what it holds. An error names what is neither.
Result<bool> leave_out(const std::string& list, Settings& settings);

}  // namespace keel::torture
