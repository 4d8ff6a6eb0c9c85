// What a barrier may see of its thread: the marking flag and a buffer of pointers to shade.
//
// With marking off a store costs one test of `marking`, a thread-local byte. It is flipped for a thread only
// while that thread is stopped at a safepoint or by the thread itself in a handshake, and no safepoint lies
// between the test and the store, so it is a plain bool: [barrier.flag]. The buffer goes to the GreySink when
// full and whenever a handshake or a stop asks for it; its memory is the owner's to give, and not
// thread-local: static thread-local storage lies in the mapping of the stack, and old entries would be stack
// words. Threads: the owner; the collector while it holds the owner.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "allocator/base/defects.h"
#include "allocator/base/race_points.h"
#include "barriers/api/slot.h"

namespace keel {

/// Takes what barriers remember. The collector implements it.
class GreySink {
 public:
  virtual ~GreySink() = default;
  /// Shades each of the `count` pointers (null and foreign ones are ignored). Threads: the barrier's owner,
  /// or the collector holding it.
  virtual void shade(const uintptr_t* pointers, size_t count) = 0;
};

struct BarrierState;
using BarrierSlowPath = void (*)(BarrierState& self, Slot& slot, uintptr_t value) noexcept;

struct BarrierState {
  static constexpr size_t kCapacity = 512;  // Go's wbBufEntries (mwbbuf.go)
  using Buffer = std::array<uintptr_t, kCapacity + 2>;

  bool marking = false;
  bool stack_grey = false;  // marking, and the own stack has not been scanned
  uintptr_t* next =
      nullptr;  // where the next pointer goes: a cursor, so that the buffer's place costs no load
  uintptr_t* full = nullptr;       // from here on it is flushed
  BarrierSlowPath slow = nullptr;  // the kind's store path, chosen once per heap
  GreySink* sink = nullptr;
  uint64_t flushes = 0;
  uint64_t shaded = 0;          // pointers handed to the sink
  uintptr_t* buffer = nullptr;  // its beginning

  [[nodiscard]] bool stack_is_grey() const noexcept { return stack_grey; }
  void add(uintptr_t pointer) noexcept {
    if (pointer != 0) *next++ = pointer;
  }
  [[nodiscard]] size_t count() const noexcept { return static_cast<size_t>(next - buffer); }
  /// Empty, in this memory, and flushed at `limit` pointers.
  void use(Buffer& memory, size_t limit = kCapacity) noexcept {
    buffer = next = memory.data();
    full = buffer + limit;
  }
  void flush() noexcept {
    if (next == buffer) return;
    if (!defect(Defect::kBarrierFlushDropped)) sink->shade(buffer, count());
    shaded += count();
    ++flushes;
    next = buffer;
  }
};

/// The calling thread's barrier. Reached by one instruction on x86-64 (initial-exec thread-local storage).
inline constinit thread_local BarrierState t_barrier;

/// The slow path of one kind: remember, flush when full.
template <typename Kind>
void barrier_slow_path(BarrierState& self, Slot& slot, uintptr_t value) noexcept {
  Kind::before_store(self, slot, value);
  if (self.next < self.full) return;
  if (defect(Defect::kFullBufferDropped)) self.next = self.buffer;
  self.flush();
}

/// Stores a pointer into the heap or a root: barrier, then release store. No safepoint between the two.
inline void write_slot(Slot& slot, uintptr_t value) {
  BarrierState& barrier = t_barrier;
  if (barrier.marking) [[unlikely]]
    barrier.slow(barrier, slot, value);
  race_point(RacePoint::kBarrierBetweenTestAndStore);
  slot.store_release(value);
}

/// First store into a slot of an object that nobody else can see: the old value is null, the new one is
/// shaded.
inline void initialize_slot(Slot& slot, uintptr_t value) {
  BarrierState& barrier = t_barrier;
  if (barrier.marking) [[unlikely]]
    barrier.slow(barrier, slot, value);
  slot.initialize(value);
}

}  // namespace keel
