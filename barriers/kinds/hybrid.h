// The hybrid barrier as Go has shipped it since 1.8: shade what is overwritten and what is written.
//
// Deletion half: an object reachable at the start of marking stays known even if its last heap pointer is
// overwritten after a grey stack has loaded it. Insertion half: a black heap never points to an object that
// only an unscanned stack held. Together: each stack is scanned once, in any order, and never again. Source:
// Clements and Hudson, "Eliminate STW stack re-scanning" (Go proposal 17503); Go mbarrier.go.
#pragma once

#include "allocator/base/defects.h"
#include "barriers/api/barrier_traits.h"

namespace keel {

struct HybridBarrier {
  static constexpr BarrierTraits kTraits{.name = "hybrid",
                                         .shades_old = true,
                                         .shades_new = true,
                                         .needs_final_stack_rescan = false,
                                         .needs_stack_snapshot = false,
                                         .concurrent = true,
                                         .sound_with_handshake = true};
  template <typename State, typename SlotType>
  static void before_store(State& self, SlotType& slot, uintptr_t value) noexcept {
    if (!defect(Defect::kHybridWithoutDeletion)) self.add(slot.load_acquire());
    if (!defect(Defect::kHybridWithoutInsertion)) self.add(value);
  }
};

}  // namespace keel
