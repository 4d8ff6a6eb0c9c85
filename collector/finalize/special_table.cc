// Registration and the decision at the end of a mark; see special_table.h.
#include "collector/finalize/special_table.h"

#include <algorithm>
#include <utility>

#include "allocator/base/defects.h"
#include "allocator/span/span_bits.h"
#include "collector/api/misuse.h"
#include "collector/finalize/finalizer_queue.h"

namespace keel {

SpecialTable::Place SpecialTable::place_of(const void* pointer) const {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  if (!memory_.table().contains(address)) return {};
  Span* span = memory_.table().find(address);
  if (span == nullptr) return {};
  const Layout& layout = layout_of(span->layout);
  const uint32_t slot = layout.large() ? 0 : layout.slot_of(address - span->start);
  if (slot >= layout.slots) return {};
  return {span, slot, span->start + uint64_t{slot} * layout.slot_bytes};
}

SpecialTable::Place SpecialTable::checked_place_of(const void* pointer, const char* what,
                                                   SourcePlace where) const {
  const Place place = place_of(pointer);
  if (place.span == nullptr) {
    misuse(where, reinterpret_cast<uintptr_t>(pointer), "%s: %p is not in the heap", what, pointer);
  }
  return place;
}

void SpecialTable::set_finalizer(void* object, const char* type, std::function<void(void*)> run,
                                 SourcePlace where, Marker* marker) {
  const Place place = checked_place_of(object, "set_finalizer", where);
  const auto address = reinterpret_cast<uintptr_t>(object);
  if (place.object != address) {
    misuse(where, address, "set_finalizer: %p points %zu bytes into an object (%s), not to its start", object,
           static_cast<size_t>(address - place.object),
           describe_layout(layout_of(place.span->layout)).c_str());
  }
  MutexLock lock(mu_);
  Special& special = specials_[address];
  if (special.finalizer) {
    misuse(where, address, "set_finalizer: the object at %p (%s) has a finalizer already, set at %s:%d",
           object, special.finalizer_type, special.finalizer_where.file, special.finalizer_where.line);
  }
  special.finalizer = std::move(run);
  special.finalizer_type = type;
  special.finalizer_where = where;
  if (marker != nullptr && !defect(Defect::kLateFinalizerNotShaded))
    marker->scan_fields(*place.span, place.slot);
}

bool SpecialTable::clear_finalizer(void* object) {
  MutexLock lock(mu_);
  const auto at = specials_.find(reinterpret_cast<uintptr_t>(object));
  if (at == specials_.end() || !at->second.finalizer) return false;
  at->second.finalizer = nullptr;
  return true;
}

uint64_t SpecialTable::add_cleanup(void* pointer, const char* type, std::function<void()> run,
                                   SourcePlace where) {
  const Place place = checked_place_of(pointer, "add_cleanup", where);
  MutexLock lock(mu_);
  const uint64_t id = next_cleanup_++;
  specials_[place.object].cleanups.push_back({id, type, std::move(run), where});
  return id;
}

void SpecialTable::stop_cleanup(void* pointer, uint64_t id) {
  // The object may be gone, and its slot another's: the id decides.
  const Place place = place_of(pointer);
  if (place.span == nullptr) return;
  MutexLock lock(mu_);
  const auto at = specials_.find(place.object);
  if (at == specials_.end()) return;
  std::erase_if(at->second.cleanups, [id](const CleanupEntry& cleanup) { return cleanup.id == id; });
}

void SpecialTable::check_cleanup_argument(const void* pointer, const void* argument,
                                          SourcePlace where) const {
  const Place place = place_of(argument);
  if (place.span == nullptr) return;
  misuse(where, reinterpret_cast<uintptr_t>(argument), "add_cleanup: the argument %p points into the %s",
         argument,
         place.object == place_of(pointer).object ? "object itself, which would never die"
                                                  : "heap: hold it in a Root");
}

std::shared_ptr<detail::WeakTarget> SpecialTable::weak_target(void* pointer, uintptr_t& offset,
                                                              SourcePlace where) {
  const Place place = checked_place_of(pointer, "Weak", where);
  offset = reinterpret_cast<uintptr_t>(pointer) - place.object;
  MutexLock lock(mu_);
  Special& special = specials_[place.object];
  if (special.weak == nullptr) {
    special.weak = std::make_shared<detail::WeakTarget>();
    special.weak->object.store(place.object, std::memory_order_release);
  }
  return special.weak;
}

uintptr_t SpecialTable::lock_weak(const detail::WeakTarget& target, Marker* marker) {
  // acquire [weak.target]: with marking off the decision of the last mark has been acknowledged by this
  // thread.
  if (marker == nullptr) return target.object.load(std::memory_order_acquire);
  MutexLock lock(mu_);
  const uintptr_t object = target.object.load(std::memory_order_acquire);
  // Marked before the caller can use it, and announced before it is marked [rule 2].
  if (object != 0 && !defect(Defect::kWeakLockedInSilence)) marker->shade(&object, 1);
  return object;
}

void SpecialTable::shade_reachable(Marker& marker) {
  MutexLock lock(mu_);
  for (auto& [object, special] : specials_) {
    if (!special.finalizer || defect(Defect::kFinalizableNotTraced)) continue;
    const Place place = place_of(reinterpret_cast<const void*>(object));
    marker.scan_fields(*place.span, place.slot);
  }
}

bool SpecialTable::decide(Marker& marker, const std::function<bool()>& still_over) {
  MutexLock lock(mu_);
  if (!still_over()) return false;
  for (auto at = specials_.begin(); at != specials_.end();) {
    const uintptr_t object = at->first;
    Special& special = at->second;
    const Place place = place_of(reinterpret_cast<const void*>(object));
    const bool marked = test_bit(memory_.mark_bits(memory_.page_of(*place.span)), place.slot) &&
                        !defect(Defect::kFinalizedWhileReachable);
    const bool late = defect(Defect::kWeakClearedLate);
    if (((!marked && !late) || defect(Defect::kWeakClearedEarly)) && special.weak != nullptr) {
      // release [weak.target]: pairs with lock_weak().
      special.weak->object.store(0, std::memory_order_release);
      special.weak = nullptr;
    }
    if (!marked && special.finalizer) {
      // Resurrected: one object, since what it reaches is marked. Its cleanups wait for its next death.
      if (!defect(Defect::kFinalizedNotKept)) marker.shade(&object, 1);
      marker.drain(~uint64_t{0});
      if (defect(Defect::kFinalizerTwice)) {
        queue_.add_finalizer(object, special.finalizer_type, special.finalizer, special.finalizer_where);
      }
      queue_.add_finalizer(object, special.finalizer_type, std::exchange(special.finalizer, nullptr),
                           special.finalizer_where);
    } else if (!marked) {
      for (CleanupEntry& cleanup : special.cleanups)
        queue_.add_cleanup(cleanup.type, std::move(cleanup.run), cleanup.where);
      special.cleanups.clear();
    }
    const bool empty = !special.finalizer && special.cleanups.empty() &&
                       (special.weak == nullptr || special.weak.use_count() == 1);
    at = empty ? specials_.erase(at) : std::next(at);
  }
  return true;
}

bool SpecialTable::drop_functions() {
  std::vector<Special> dropped;  // goes after the lock
  MutexLock lock(mu_);
  for (auto& [object, special] : specials_) {
    if (!special.finalizer && special.cleanups.empty()) continue;
    Special& functions = dropped.emplace_back();
    functions.finalizer = std::exchange(special.finalizer, nullptr);
    functions.cleanups = std::exchange(special.cleanups, {});
  }
  return !dropped.empty();
}

size_t SpecialTable::size() {
  MutexLock lock(mu_);
  return specials_.size();
}

}  // namespace keel
