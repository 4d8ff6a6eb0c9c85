// Span: a run of pages that holds the slots of one layout, or one large object.
//
// Spans live in an array indexed by their first page (page_table.h), so an address leads to its span without
// a pointer, and the memory of dead spans goes back to the system with their pages.
//
// State × who may move it:
//   kFree   -> kInUse   whoever took the pages from the page heap, before publishing the page entries
//   kInUse  -> kFree    the sweeper that found no live slot (never while marking: rule 3 of the design)
// A span in kInUse is in exactly one place: held by one thread cache, in a list of its CentralList, in the
// large list, or in the hands of the one sweeper that took it from a list.
#pragma once

#include <cstdint>

#include "allocator/api/layout.h"
#include "allocator/base/atomic.h"

namespace keel {

enum class SpanState : uint8_t { kFree, kInUse };

struct Span {
  uintptr_t start = 0;  // address of slot 0
  uint64_t pages = 0;
  uint64_t object_bytes = 0;  // large: what was asked for, rounded up to words; small: 0
  LayoutId layout = 0;
  bool needs_zero = false;  // slots may hold old bytes; owner (cache or sweeper) only
  // Held by a thread cache: written by the owner. release/acquire [span.cached]: whoever sees that the cache
  // has let go sees the allocation bits it wrote; for checks.
  Atomic<bool> cached{false};
  // relaxed [span.state]: written by the owner of the pages; readers find the span through a page entry,
  // whose release store follows.
  Atomic<SpanState> state{SpanState::kFree};
  // relaxed [grey.overflow]: a sticky request to rescan the span; set by any marker, taken by the cycle
  // thread while no marker runs (the pool's lock orders both).
  Atomic<uint8_t> overflowed{0};
  // Cycle whose sweep the span has had. relaxed [sweep.owner]: written by whoever owns the span; a list's
  // lock hands ownership over. Others read it only in statistics and checks, in a stop.
  Atomic<uint32_t> swept_cycle{0};
  // What the layer above keeps for this span (collector/finalize): opaque here, null when the span begins and
  // when it ends. release/acquire [span.specials]: see special_table.cc.
  Atomic<void*> specials{nullptr};
  // The next span of the list that this one is in (span_list.h); under the list's lock.
  Span* next_listed = nullptr;
  uint32_t live_slots = 0;  // after the last sweep, plus slots of holes retired since; owner only

  [[nodiscard]] uint64_t bytes() const { return pages << kPageShift; }
};
static_assert(sizeof(Span) <= 64);

}  // namespace keel
