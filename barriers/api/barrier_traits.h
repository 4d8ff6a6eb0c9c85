// What a kind of write barrier promises and what it needs, as one constant that neutral code reads.
#pragma once

#include <concepts>
#include <cstdint>
#include <string_view>

namespace keel {

struct BarrierTraits {
  std::string_view name;
  bool shades_old;                // deletion half
  bool shades_new;                // insertion half
  bool needs_final_stack_rescan;  // Dijkstra: stacks stay grey
  bool needs_stack_snapshot;      // Yuasa: all stacks at one instant
  bool concurrent;                // false: sound only while the world is stopped
  bool sound_with_handshake;      // true: no global stop is needed at the start
};

/// A kind is a stateless type: `before_store` runs before every store while marking. `State` offers
/// `add(uintptr_t)`, which remembers a pointer to shade, and `stack_is_grey()`; `SlotType` offers
/// `load_acquire()`. Both are parameters so that the exhaustive model (barriers/model) runs this very code.
template <typename B, typename State, typename SlotType>
concept WriteBarrier = requires(State& self, SlotType& slot, uintptr_t value) {
  { B::kTraits } -> std::convertible_to<const BarrierTraits&>;
  { B::before_store(self, slot, value) }
  noexcept;
};

}  // namespace keel
