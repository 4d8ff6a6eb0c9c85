// The deletion barrier: shade what is overwritten, so that everything reachable when marking began is marked.
//
// That needs one instant at which marking began: all stacks are scanned in the first stop. A ragged snapshot
// is no snapshot: a pointer may move from a stack not yet scanned to one that was, and be dropped by the
// first, with no store that deletes it. Source: Yuasa, "Real-time garbage collection on general-purpose
// machines", Journal of Systems and Software, 1990.
#pragma once

#include "allocator/base/defects.h"
#include "barriers/api/barrier_traits.h"

namespace keel {

struct YuasaBarrier {
  static constexpr BarrierTraits kTraits{.name = "yuasa",
                                         .shades_old = true,
                                         .shades_new = false,
                                         .needs_final_stack_rescan = false,
                                         .needs_stack_snapshot = true,
                                         .concurrent = true,
                                         .sound_with_handshake = false};
  template <typename State, typename SlotType>
  static void before_store(State& self, SlotType& slot, uintptr_t value) noexcept {
    static_cast<void>(value);
    if (!defect(Defect::kYuasaWithoutDeletion)) self.add(slot.load_acquire());
  }
};

}  // namespace keel
