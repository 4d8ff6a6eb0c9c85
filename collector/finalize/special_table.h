// Special table: objects that have a finalizer, cleanups or weak pointers, and what becomes of them when a
// mark ends.
//
// [rule 7] While marking, what a finalizable object reaches is a root, the object itself is not: so when it
// turns out to be unreachable, resurrecting it marks one object, an object that only another finalizable one
// reaches is kept for it (A before B), and objects that reach each other are kept for ever (cycles never
// run). When marking is known to be over, decide() clears weak pointers and queues functions; only then
// barriers go off and sweeping begins.
//
// Weak::lock() while marking shades its target under the table's lock, so it either comes before decide(),
// which then finds the object marked (with handshakes: finds that there is work again and gives up), or after
// it and finds null. Threads: attached mutators; the cycle thread. One lock (kSpecials).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "allocator/base/mutex.h"
#include "collector/api/finalizers.h"
#include "collector/mark/marker.h"

namespace keel {

class FinalizerQueue;

class SpecialTable {
 public:
  SpecialTable(HeapMemory& memory, FinalizerQueue& queue) : memory_(memory), queue_(queue) {}

  /// `marker` is the caller's own while marking, else null: what the object reaches is shaded at once.
  void set_finalizer(void* object, const char* type, std::function<void(void*)> run, SourcePlace where,
                     Marker* marker);
  bool clear_finalizer(void* object);
  uint64_t add_cleanup(void* pointer, const char* type, std::function<void()> run, SourcePlace where);
  void stop_cleanup(void* pointer, uint64_t id);
  /// Fatal if `argument` points into the object that `pointer` points into, or to a heap object.
  void check_cleanup_argument(const void* pointer, const void* argument, SourcePlace where) const;
  std::shared_ptr<detail::WeakTarget> weak_target(void* pointer, uintptr_t& offset, SourcePlace where);
  uintptr_t lock_weak(const detail::WeakTarget& target, Marker* marker);

  /// Shades what finalizable objects reach. Threads: the cycle thread, while marking.
  void shade_reachable(Marker& marker);
  /// Nothing is grey: unmarked objects lose their weak pointers, functions are queued, objects with
  /// finalizers are marked. `still_over` is asked under the lock; if it says no, nothing is done and the
  /// answer is false.
  bool decide(Marker& marker, const std::function<bool()>& still_over);
  /// Drops every finalizer and cleanup; true if there was any. What they hold goes here, no lock held.
  /// Threads: the finalizer thread, when the heap closes.
  bool drop_functions();
  [[nodiscard]] size_t size();
  /// Calls visit(is a finalizer, type, where it was set) for what is registered and not queued. Threads: any.
  template <typename Visit>
  void for_each_function(Visit&& visit) {
    MutexLock lock(mu_);
    for (const auto& [object, special] : specials_) {
      if (special.finalizer) visit(true, special.finalizer_type, special.finalizer_where);
      for (const CleanupEntry& cleanup : special.cleanups) visit(false, cleanup.type, cleanup.where);
    }
  }

 private:
  struct CleanupEntry {
    uint64_t id;
    const char* type;
    std::function<void()> run;
    SourcePlace where;
  };
  struct Special {
    std::function<void(void*)> finalizer;
    const char* finalizer_type = nullptr;
    SourcePlace finalizer_where;
    std::vector<CleanupEntry> cleanups;
    std::shared_ptr<detail::WeakTarget> weak;
  };
  struct Place {
    Span* span = nullptr;
    uint32_t slot = 0;
    uintptr_t object = 0;
  };
  Place place_of(const void* pointer) const;
  Place checked_place_of(const void* pointer, const char* what, SourcePlace where) const;

  HeapMemory& memory_;
  FinalizerQueue& queue_;
  Mutex mu_{LockRank::kSpecials};
  std::unordered_map<uintptr_t, Special> specials_ KEEL_GUARDED_BY(mu_);
  uint64_t next_cleanup_ KEEL_GUARDED_BY(mu_) = 1;
};

}  // namespace keel
