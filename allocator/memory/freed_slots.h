// Freed slots: what poisoned slots were and which cycle's sweep freed them (`--debug poison` only).
//
// Filled by sweeping, emptied as slots are handed out again. It answers two questions: has a dead slot been
// written to (a store through a stale pointer; asked when the slot is taken), and whose memory is this (asked
// by the crash report). Threads: any, one lock (a leaf). Cost: 4 B a slot of every span that ever had a dead
// slot, and a look at every word handed out; a debugging aid.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "allocator/base/mutex.h"
#include "allocator/span/span.h"

namespace keel {

class FreedSlots {
 public:
  struct Freed {
    uintptr_t slot = 0;
    uint64_t bytes = 0;
    LayoutId layout = 0;
    uint32_t cycle = 0;
  };

  /// Poisons the slot and remembers it. The caller owns the span. Without memory for that, what is known of
  /// the span is forgotten: a sweep has nobody to tell.
  void add(const Span& span, uint32_t slot, uint32_t cycle);
  /// Slots [begin, end) are about to be zeroed and used. Fatal if one that was freed has been written to
  /// since.
  void take(const Span& span, uint32_t begin, uint32_t end);
  /// The pages become another span: what was there before is forgotten.
  void forget(uintptr_t start, uint64_t pages);
  /// The freed slot that holds `address`, if it is still free. Does not allocate and does not wait: empty
  /// also if the lock is taken, so that a dying thread may ask.
  [[nodiscard]] std::optional<Freed> find(uintptr_t address) const noexcept;

 private:
  struct Record {  // of the span that starts at the key
    uint64_t pages = 0;
    uint64_t slot_bytes = 0;
    LayoutId layout = 0;
    std::vector<uint32_t> freed_in;  // by slot: cycle + 1; 0: not free, or never used
  };
  mutable Mutex mu_{LockRank::kLeaf};
  std::unordered_map<uintptr_t, Record> records_ KEEL_GUARDED_BY(mu_);
};

}  // namespace keel
