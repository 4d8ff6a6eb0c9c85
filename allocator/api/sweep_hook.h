// How the allocator asks for a span to be swept: the one call that goes up, through an interface this layer
// owns.
#pragma once

#include <cstdint>

namespace keel {

struct Span;

class SweepHook {
 public:
  virtual ~SweepHook() = default;
  /// Sweeps a span that the caller owns (taken from a list, not yet swept in this cycle): afterwards its free
  /// slots are those with a clear allocation bit and `live_slots` is exact. `cycle`: the number of marks that
  /// the caller knows to be completed. Threads: any; no lock held.
  virtual void sweep_span(Span& span, uint32_t cycle) = 0;
};

}  // namespace keel
