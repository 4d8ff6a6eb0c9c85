// Weak gate: whether a thread that locks a weak pointer may still shade the object, or must abide by its
// mark.
//
// While marking, an object that only weak pointers lead to may be made strong again, by shading it. Once
// marking is over it may not: an unmarked object will be freed, and the lock answers null. The gate is the
// one word where these meet.
//
//   kOpen     shade                                                     cycle thread: before barriers go on
//   kClosing  a marked object is returned as it is; whoever wants to    cycle thread: before a round of
//             shade an unmarked one opens the gate first                termination
//   kClosed   marks are final: marked or null                           cycle thread: after a quiet round, or
//                                                                       in a stop
//
// Why a thread between its look at the gate and its shading cannot be overtaken: kClosing is set before a
// round begins, and closing follows only when every mutator has acknowledged the round. No safepoint lies
// between look and shade. So a thread that saw kOpen has shaded before it acknowledged, and the round finds
// work; a thread that locks after it acknowledged sees kClosing, and to shade it must win the word from the
// cycle thread: the exchange of one of them fails. If the thread wins, marking goes on; if the cycle thread
// wins, the thread sees kClosed and every mark is there. In a stop the first half suffices. Holds for stops
// and handshakes alike; model: WeakLockModel (collector/finalize/weak_gate_model_test.cc).
//
// Termination still ends: each time a thread opens a closing gate an unmarked object is marked, and no object
// is marked twice. Threads: as the table says; may_shade() from attached mutators whose barrier is on.
#pragma once

#include "allocator/base/atomic.h"
#include "allocator/base/check.h"
#include "allocator/base/race_points.h"

namespace keel {

class WeakGate {
 public:
  /// Between cycles: no barrier is on, so nobody looks.
  void open() { state_.store(kOpen, std::memory_order_release); }
  /// Right before a round that may prove that marking is over.
  void begin_closing() {
    // release [weak.gate]: a thread that acknowledges the round that follows sees this, or what came after.
    state_.store(kClosing, std::memory_order_release);
  }
  /// After that round found nothing. False if a thread has shaded, or is about to: marking goes on.
  [[nodiscard]] bool try_close() {
    race_point(RacePoint::kBeforeWeakGateCloses);
    uint32_t expected = kClosing;
    // acq_rel [weak.gate]: publishes every mark, which the round's acknowledgements have brought here; pairs
    // with the acquire in may_shade(). A failed exchange needs nothing: the next round orders it.
    return state_.compare_exchange_strong(expected, kClosed, std::memory_order_acq_rel,
                                          std::memory_order_relaxed);
  }
  /// The world is stopped and nothing is grey.
  void close_stopped() { state_.store(kClosed, std::memory_order_release); }

  /// True if the caller may shade an unmarked object, which it must do before its next safepoint; false if
  /// marks are final. `marked`: the object is marked already, which is no reason to open the gate.
  [[nodiscard]] bool may_shade(bool marked) {
    // acquire [weak.gate]: pairs with try_close() and close_stopped(): who sees kClosed sees every mark.
    uint32_t state = state_.load(std::memory_order_acquire);
    race_point(RacePoint::kWeakGateSeen);
    if (state == kOpen || (state == kClosing && marked)) return true;
    if (state == kClosed) return false;
    // On success relaxed would do: the cycle thread's exchange fails and reads nothing. On failure acquire,
    // as above.
    state_.compare_exchange_strong(state, kOpen, std::memory_order_acq_rel, std::memory_order_acquire);
    return state != kClosed;
  }

 private:
  enum State : uint32_t { kOpen, kClosing, kClosed };
  Atomic<uint32_t> state_{kOpen};
};

}  // namespace keel
