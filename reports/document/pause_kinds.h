// What the kinds of pauses in a report mean, whichever collector they come from: the one table of it.
#pragma once

#include <string_view>
#include <vector>

namespace keel {

enum class PauseClass {
  kStop,         // the world stands
  kDegenerated,  // the world stands because a concurrent collection did not keep up (JVM)
  kMutator,      // one mutator works for the collector: assist, sweep, handshake
  kStall         // one mutator waits for memory
};

struct PauseKindInfo {
  const char* name;
  PauseClass pause_class;
  const char* from;  // who has it
};

/// In the order tables show them.
const std::vector<PauseKindInfo>& pause_kinds();
/// Null for a name that is not in the table.
const PauseKindInfo* find_pause_kind(std::string_view name);
/// kStop or kDegenerated.
bool stops_world(std::string_view kind);

}  // namespace keel
