// Thread cache: per layout, one span whose holes the thread bumps through.
//
// A hole is a run of slots with clear allocation bits. Allocation bumps a cursor to the hole's end (inlined);
// the slow path retires the hole, finds the next one in the span, or swaps the span for another. A hole is
// zeroed when it is taken.
//
// Publication (rules 1 and 3): a slot below the cursor is allocated, but its allocation bit is written only
// when the hole retires or when publish() is called. Before stacks are scanned every mutator publishes, so
// that "allocated" is one bit test for every scanner. From begin_black() on, whole holes are marked when they
// are taken: whatever is allocated is born black, and slots beyond the cursor are free or black; flush()
// takes the marks of the unused rest back. Threads: the owner; or the collector, for a mutator that it holds
// in a stop or a handshake.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "allocator/memory/heap_memory.h"

namespace keel {

/// What a cache has handed out since take_counts(). Bytes are slot bytes.
struct AllocationCounts {
  uint64_t bytes = 0;
  uint64_t objects = 0;
  uint64_t black_bytes = 0;  // born marked
  uint64_t black_objects = 0;
};

class ThreadCache {
 public:
  explicit ThreadCache(HeapMemory& memory);
  ~ThreadCache();
  ThreadCache(const ThreadCache&) = delete;
  ThreadCache& operator=(const ThreadCache&) = delete;

  /// A zeroed slot, or null when the hole is used up (then refill()). Cost: a few instructions.
  void* try_allocate(LayoutId layout, size_t slot_bytes) {
    Bump& bump = bumps_[layout];
    char* slot = bump.cursor;
    if (static_cast<size_t>(bump.limit - slot) < slot_bytes) [[unlikely]]
      return nullptr;
    bump.cursor = slot + slot_bytes;
    return slot;
  }

  /// Gets the next hole. Returns the bytes of the hole taken, 0 when memory is out. Throws std::bad_alloc,
  /// and holds no span of the layout then.
  size_t refill(LayoutId layout);

  /// A large object, zeroed. Null when memory is out.
  void* allocate_large(LayoutId layout, uint64_t bytes);

  /// Writes the allocation bits of everything handed out so far. O(layouts held).
  void publish();
  /// publish(), then everything allocated from now on is born black.
  void begin_black();
  /// Gives every span back, unused slots of black holes white again. Returns the bytes of holes that were
  /// taken and not used.
  size_t flush();
  /// From now on `cycle` marks are completed for this cache, and it allocates white. Precondition: flushed.
  void set_cycle(uint32_t cycle) {
    cycle_ = cycle;
    black_ = false;
  }
  [[nodiscard]] uint32_t cycle() const { return cycle_; }

  /// Forgets every hole without giving anything back: in a child after fork(), where the collector may have
  /// been in the middle of any table but the cursors.
  void abandon();

  /// Counts since the last call; exact after publish() or flush().
  AllocationCounts take_counts();
  /// The table of cursors: kMaxLayouts times 16 B.
  [[nodiscard]] const void* cursors_for_testing() const { return bumps_.get(); }
  /// Limits holes to `slots` slots, so that the slow path runs often (`--debug stress`); 0: no limit.
  void limit_holes(uint32_t slots) { hole_limit_ = slots; }

 private:
  struct Bump {
    char* cursor = nullptr;
    char* limit = nullptr;
  };
  struct Held {
    Span* span = nullptr;
    uint32_t recorded = 0;  // slots of the hole before this have their allocation bits
    uint32_t hole_end = 0;
  };

 public:
  /// Bytes of a cache's tables (Go's MCacheSys); most of their pages are never touched.
  static constexpr uint64_t kMetadataBytes = kMaxLayouts * (sizeof(Bump) + sizeof(Held));

 private:
  [[nodiscard]] uint32_t cursor_slot(LayoutId layout) const;
  void publish_hole(LayoutId layout);
  bool take_hole(LayoutId layout);
  void give_back(LayoutId layout);

  HeapMemory& memory_;
  std::unique_ptr<Bump[], void (*)(Bump*)> bumps_;  // indexed by layout; zero pages until used
  std::unique_ptr<Held[], void (*)(Held*)> held_;
  std::vector<LayoutId> active_;  // layouts with a span
  AllocationCounts counts_;
  uint32_t hole_limit_ = 0;
  uint32_t cycle_ = 0;  // this cache's view of HeapMemory::cycle()
  bool black_ = false;
};

}  // namespace keel
