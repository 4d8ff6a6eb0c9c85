// Central list: the spans of one layout that no thread holds.
//
// Two sets by cycle parity, as Go's mcentral.go: at the end of a mark the parity flips, so every span of the
// swept set becomes unswept in O(1). A span leaves the unswept set by being swept: into `partial` if it has
// free slots, into `full` if not, to the page heap if it is empty. All spans of the unswept set are gone
// before the next mark begins (rule 3). Threads: any; one lock per layout (kCentral). Sweeping happens
// outside the lock: who takes a span out owns it.
#pragma once

#include <atomic>
#include <cstdint>

#include "allocator/base/mutex.h"
#include "allocator/span/span_list.h"

namespace keel {

class CentralList {
 public:
  CentralList() = default;

  /// A swept span with free slots, or null. Ownership passes to the caller.
  Span* take_partial(uint32_t cycle);
  /// An unswept span, or null; partly full ones first, since they can serve an allocation. The caller sweeps
  /// it.
  Span* take_unswept(uint32_t cycle);
  /// Puts a swept span back. Takes no memory.
  void put(Span& span, uint32_t cycle, uint32_t slots);
  /// Spans still to be swept.
  [[nodiscard]] uint64_t unswept(uint32_t cycle) const;

 private:
  struct Set {
    SpanList partial;
    SpanList full;
    [[nodiscard]] uint64_t size() const { return partial.size() + full.size(); }
  };
  mutable Mutex mu_{LockRank::kCentral};
  Set sets_[2] KEEL_GUARDED_BY(mu_);  // [cycle & 1] swept in `cycle`, the other one not yet
};

}  // namespace keel
