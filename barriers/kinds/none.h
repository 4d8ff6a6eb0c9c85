// No barrier: sound only when marking happens inside one stop. The baseline for what a barrier costs, and the
// mutant that the exhaustive model must catch.
#pragma once

#include "barriers/api/barrier_traits.h"

namespace keel {

struct NoBarrier {
  static constexpr BarrierTraits kTraits{.name = "none",
                                         .shades_old = false,
                                         .shades_new = false,
                                         .needs_final_stack_rescan = false,
                                         .needs_stack_snapshot = false,
                                         .concurrent = false,
                                         .sound_with_handshake = false};
  template <typename State, typename SlotType>
  static void before_store(State&, SlotType&, uintptr_t) noexcept {}
};

}  // namespace keel
