// The hybrid barrier with its insertion half only while the own stack is grey.
//
// The insertion half covers pointers that only an unscanned stack holds; once a thread's stack is black, what
// it can store is known to the marker. Sound by the same argument as the hybrid and by the model; costs a
// second test. Source: Go proposal 17503 describes this form; Go ships the unconditional one, since testing
// costs as much as shading.
#pragma once

#include "allocator/base/defects.h"
#include "barriers/api/barrier_traits.h"

namespace keel {

struct HybridConditionalBarrier {
  static constexpr BarrierTraits kTraits{.name = "hybrid-conditional",
                                         .shades_old = true,
                                         .shades_new = true,
                                         .needs_final_stack_rescan = false,
                                         .needs_stack_snapshot = false,
                                         .concurrent = true,
                                         .sound_with_handshake = true};
  template <typename State, typename SlotType>
  static void before_store(State& self, SlotType& slot, uintptr_t value) noexcept {
    if (!defect(Defect::kConditionalWithoutDeletion)) self.add(slot.load_acquire());
    if (self.stack_is_grey() && !defect(Defect::kConditionalWithoutInsertion)) self.add(value);
  }
};

}  // namespace keel
