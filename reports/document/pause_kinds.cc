// See pause_kinds.h. The names are pinned by the schema (scripts/gen_schema.py), which a test compares.
#include "reports/document/pause_kinds.h"

#include <algorithm>

namespace keel {

const std::vector<PauseKindInfo>& pause_kinds() {
  using enum PauseClass;
  static const std::vector<PauseKindInfo> kinds = {
      {"sweep_termination", kStop, "Keel, Go"},
      {"mark_termination", kStop, "Keel, Go"},
      {"mark", kStop, "Boehm"},
      {"young", kStop, "JVM: Serial, Parallel, G1"},
      {"mixed", kStop, "JVM: G1"},
      {"initial_mark", kStop, "JVM: Z, Shenandoah"},
      {"final_mark", kStop, "JVM: G1 (Remark), Z (Mark End), Shenandoah"},
      {"cleanup", kStop, "JVM: G1"},
      {"relocate_start", kStop, "JVM: Z"},
      {"init_update_refs", kStop, "JVM: Shenandoah"},
      {"final_update_refs", kStop, "JVM: Shenandoah"},
      {"full", kStop, "JVM"},
      {"degenerated", kDegenerated, "JVM: Shenandoah"},
      {"other_stop", kStop, "JVM: safepoints that are no collection's"},
      {"handshake", kMutator, "Keel"},
      {"assist", kMutator, "Keel, Go"},
      {"sweep", kMutator, "Keel"},
      {"allocation_stall", kStall, "Keel, JVM: Z"},
      {"relocation_stall", kStall, "JVM: Z"},
  };
  return kinds;
}

const PauseKindInfo* find_pause_kind(std::string_view name) {
  const auto& kinds = pause_kinds();
  const auto at =
      std::find_if(kinds.begin(), kinds.end(), [&](const PauseKindInfo& k) { return name == k.name; });
  return at == kinds.end() ? nullptr : &*at;
}

bool stops_world(std::string_view kind) {
  const PauseKindInfo* info = find_pause_kind(kind);
  return info != nullptr &&
         (info->pause_class == PauseClass::kStop || info->pause_class == PauseClass::kDegenerated);
}

}  // namespace keel
