// The insertion barrier: shade what is written.
//
// A black heap object never points to a white one. Stacks have no barrier, so they stay grey and are scanned
// again when marking ends, which is the pause that made Go give it up: with `stw` all of them in the last
// stop, with `handshake` each in every termination round. Source: Dijkstra, Lamport, Martin, Scholten,
// Steffens, "On-the-fly garbage collection", CACM 1978; Go before 1.8.
#pragma once

#include "allocator/base/defects.h"
#include "barriers/api/barrier_traits.h"

namespace keel {

struct DijkstraBarrier {
  static constexpr BarrierTraits kTraits{.name = "dijkstra",
                                         .shades_old = false,
                                         .shades_new = true,
                                         .needs_final_stack_rescan = true,
                                         .needs_stack_snapshot = false,
                                         .concurrent = true,
                                         .sound_with_handshake = true};
  template <typename State, typename SlotType>
  static void before_store(State& self, SlotType& slot, uintptr_t value) noexcept {
    static_cast<void>(slot);
    if (!defect(Defect::kDijkstraWithoutInsertion)) self.add(value);
  }
};

}  // namespace keel
