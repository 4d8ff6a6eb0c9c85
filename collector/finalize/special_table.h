// Special table: objects that have a finalizer, cleanups or weak pointers, and what becomes of them when they
// die.
//
// [rule 7] While marking, what a finalizable object reaches is a root, the object itself is not: so when it
// turns out to be unreachable, resurrecting it marks one object, an object that only another finalizable one
// reaches is kept for it (A before B), and objects that reach each other are kept for ever (cycles never
// run).
//
// What is dead is decided by the sweep of a span, never in a stop, as in Go (mgcsweep.go): for an unmarked
// object weak pointers are cleared; then its finalizer is queued and the object resurrected, or, if it has
// none, its cleanups are queued. Until its span has been swept a dead object's weak pointers are asked for
// its mark, so they answer null from the moment marking is over. Three parties meet in a weak pointer:
//   Weak::lock() while marking      shades, unless the gate is closed (weak_gate.h): then as after it
//   Weak::lock() after it           once a cycle and weak pointer: under the stripe's lock, null if the
//   object is
//                                   unmarked (and cleared for good), else noted as decided; from then on two
//                                   loads
//   the sweep of the span           clears, under the same lock, before the slot can be used again
//
// A span's specials are guarded by the lock of a stripe, chosen by its first page. Threads: attached
// mutators; sweepers; the cycle thread; the finalizer thread. Cost: registering takes one stripe's lock,
// which the sweep of a span holds for at most its slots.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "allocator/base/mutex.h"
#include "collector/api/finalizers.h"
#include "collector/finalize/special_slab.h"
#include "collector/finalize/weak_gate.h"
#include "collector/mark/marker.h"

namespace keel {

class FinalizerQueue;

class SpecialTable {
 public:
  SpecialTable(HeapMemory& memory, FinalizerQueue& queue);
  ~SpecialTable();
  SpecialTable(const SpecialTable&) = delete;
  SpecialTable& operator=(const SpecialTable&) = delete;

  // Registration. Threads: attached mutators.
  /// `marker` is the caller's own while marking, else null: what the object reaches is shaded at once.
  void set_finalizer(void* object, const char* type, InlineFunction run, SourcePlace where, Marker* marker);
  bool clear_finalizer(void* object);
  detail::CleanupKey add_cleanup(void* pointer, const char* type, InlineFunction run, SourcePlace where);
  void stop_cleanup(const detail::CleanupKey& key);
  /// Fatal if `argument` points into the object that `pointer` points into, or to a heap object.
  void check_cleanup_argument(const void* pointer, const void* argument, SourcePlace where) const;
  /// `cycle`: as in lock_weak().
  std::shared_ptr<detail::WeakTarget> weak_target(void* pointer, uintptr_t& offset, uint32_t cycle,
                                                  SourcePlace where);
  /// The object, or 0. `cycle`: the last mark that the caller knows to be over; `marker`: its own while
  /// marking.
  uintptr_t lock_weak(detail::WeakTarget& target, uint32_t cycle, Marker* marker) {
    if (marker != nullptr) return lock_while_marking(target, cycle, *marker);
    // acquire [weak.target]: pairs with decide() and weak_target(): alive by the last mark that is over. Only
    // a later one can clear it, and that needs this thread's acknowledgement first.
    if (static_cast<int32_t>(target.decided.load(std::memory_order_acquire) - cycle) >= 0) {
      return target.object.load(std::memory_order_acquire);
    }
    return decide(target, cycle);
  }

  // Marking. Threads: the cycle thread.
  WeakGate& gate() { return gate_; }
  /// Shades what registered finalizable objects reach, and queued ones themselves; a stripe is locked for one
  /// block at a time, and never while something is scanned.
  void shade_roots(Marker& marker);

  /// What becomes of the dead objects of a span that is being swept; `live`: the marks. Objects with a
  /// finalizer come back to life: their bits are set. Threads: the span's owner, no lock held.
  void sweep_span(Span& span, BitWord* live);
  /// A special whose function has run. Threads: the finalizer thread, attached.
  void retire(Special& special);
  /// Drops the functions that are registered and not queued; true if there was any. What they hold, Roots
  /// perhaps, goes here, no lock held. Threads: the finalizer thread, attached, when the heap closes.
  bool drop_functions();

  /// Specials registered, and those queued or running. Threads: any.
  [[nodiscard]] size_t size();
  /// Blocks of memory they take. For tests.
  [[nodiscard]] uint64_t resident_blocks();
  /// How often a special was looked at by a walk or a sweep, ever. relaxed [stats]: what a stop adds to it is
  /// 0.
  [[nodiscard]] uint64_t visited() const { return visited_.load(std::memory_order_relaxed); }
  /// Calls visit(is a finalizer, type, where it was set) for what is registered and not queued. Threads: any.
  template <typename Visit>
  void for_each_function(Visit&& visit) {
    for_each([&visit](Special& special) {
      if (special.queued || special.kind == SpecialKind::kWeak) return;
      visit(special.kind == SpecialKind::kFinalizer, special.type, special.where);
    });
  }
  /// Calls visit(object, queued) for every finalizer: what a second opinion on the marks has to know. World
  /// stopped.
  template <typename Visit>
  void for_each_finalizable(Visit&& visit) {
    for_each([&visit](Special& special) {
      if (special.kind == SpecialKind::kFinalizer) visit(special.object.load_acquire(), special.queued);
    });
  }
  /// Empty, or the first fault in a span's list. World stopped, everything swept and counted.
  [[nodiscard]] std::string check_span(const Span& span);

 private:
  static constexpr uint32_t kStripes = 64;
  struct alignas(64) Stripe {
    explicit Stripe(uint16_t number) : slab(number) {}
    Mutex mu{LockRank::kSpecials};
    SpecialSlab slab KEEL_GUARDED_BY(mu);
    uint64_t next_id KEEL_GUARDED_BY(mu) = 1;  // of cleanups
  };
  struct Place {
    Span* span = nullptr;
    uint32_t slot = 0;
    uintptr_t object = 0;
  };

  [[nodiscard]] Place place_of(const void* pointer) const;
  [[nodiscard]] Place checked_place_of(const void* pointer, const char* what, SourcePlace where) const;
  [[nodiscard]] Stripe& stripe_of(uint64_t first_page) const;
  [[nodiscard]] Stripe& stripe_of(const Span& span) const { return stripe_of(memory_.page_of(span)); }
  uintptr_t lock_while_marking(detail::WeakTarget& target, uint32_t cycle, Marker& marker);
  uintptr_t decide(detail::WeakTarget& target, uint32_t cycle);
  static void sweep_object(SpanSpecials::Object& object, BitWord* live, SpecialChain& ready,
                           SpecialChain& cleared);
  template <typename Visit>
  void for_each(Visit&& visit) {
    for (const auto& stripe : stripes_) {
      MutexLock lock(stripe->mu);
      for (uint32_t block = 0; block < stripe->slab.blocks(); ++block) stripe->slab.visit_block(block, visit);
    }
  }

  HeapMemory& memory_;
  FinalizerQueue& queue_;
  WeakGate gate_;
  std::array<std::unique_ptr<Stripe>, kStripes> stripes_;
  Atomic<uint64_t> visited_{0};
};

}  // namespace keel
