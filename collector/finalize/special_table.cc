// Registration, and what becomes of a dead object's specials; see special_table.h.
#include "collector/finalize/special_table.h"

#include <algorithm>

#include "allocator/base/defects.h"
#include "allocator/base/race_points.h"
#include "allocator/span/span_bits.h"
#include "collector/api/misuse.h"
#include "collector/finalize/finalizer_queue.h"

namespace keel {
namespace {

// The span's list. acquire [span.specials]: pairs with the release in list_to_grow().
SpanSpecials* list_of(const Span& span) {
  return static_cast<SpanSpecials*>(span.specials.load(std::memory_order_acquire));
}

// The same with room for one more object. Throws std::bad_alloc, and has changed nothing then.
SpanSpecials& list_to_grow(Span& span) {
  SpanSpecials* list = list_of(span);
  if (list == nullptr) {
    list = new SpanSpecials;
    // release [span.specials]: pairs with list_of(): the list is constructed. A sweeper that still sees null
    // has nothing to decide: whoever registers holds the object, so it is alive.
    span.specials.store(list, std::memory_order_release);
  }
  constexpr size_t kFirstRoom = 4;
  if (list->objects.size() == list->objects.capacity()) {
    list->objects.reserve(std::max(kFirstRoom, 2 * list->objects.size()));
  }
  return *list;
}

auto lower_bound(SpanSpecials& list, uint32_t slot) {
  // Programs register in the order in which they allocate: at the end.
  if (list.objects.empty() || list.objects.back().slot < slot) return list.objects.end();
  return std::lower_bound(list.objects.begin(), list.objects.end(), slot,
                          [](const SpanSpecials::Object& object, uint32_t s) { return object.slot < s; });
}

Special* find(Special* first, SpecialKind kind) {
  while (first != nullptr && first->kind != kind) first = first->next;
  return first;
}

SpanSpecials::Object* find_object(SpanSpecials* list, uint32_t slot) {
  if (list == nullptr) return nullptr;
  const auto at = lower_bound(*list, slot);
  return at != list->objects.end() && at->slot == slot ? &*at : nullptr;
}

// Hangs a special on the object of `slot`; there is room for it.
void hang(SpanSpecials& list, uint32_t slot, Special& special) {
  auto at = lower_bound(list, slot);
  if (at == list.objects.end() || at->slot != slot) at = list.objects.insert(at, {slot, nullptr});
  special.next = at->first;
  at->first = &special;
}

// Takes the first special that `wanted` picks off an object; null if there is none.
template <typename Wanted>
Special* unhang(SpanSpecials* list, uint32_t slot, Wanted&& wanted) {
  SpanSpecials::Object* object = find_object(list, slot);
  if (object == nullptr) return nullptr;
  for (Special** at = &object->first; *at != nullptr; at = &(*at)->next) {
    Special* special = *at;
    if (!wanted(*special)) continue;
    *at = special->next;
    if (object->first == nullptr)
      list->objects.erase(list->objects.begin() + (object - list->objects.data()));
    return special;
  }
  return nullptr;
}

void clear_weak_for_a_defect(const SpanSpecials::Object& object) {
  if (Special* weak = find(object.first, SpecialKind::kWeak))
    weak->weak()->object.store(0, std::memory_order_release);
}

}  // namespace

SpecialTable::SpecialTable(HeapMemory& memory, FinalizerQueue& queue) : memory_(memory), queue_(queue) {
  for (uint16_t i = 0; i < kStripes; ++i) stripes_[i] = std::make_unique<Stripe>(i);
}

// Lists still hang on spans that outlive this table by a moment; their memory is this table's.
SpecialTable::~SpecialTable() {
  memory_.for_each_span([](Span& span) {
    delete list_of(span);
    span.specials.store(nullptr, std::memory_order_relaxed);
  });
}

SpecialTable::Stripe& SpecialTable::stripe_of(uint64_t first_page) const {
  // Fibonacci hashing: spans of two or four pages use every stripe as well.
  return *stripes_[first_page * 0x9E3779B97F4A7C15U >> 58];
}

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
  if (!memory_.may_be_in_object(reinterpret_cast<uintptr_t>(pointer))) {
    misuse(where, reinterpret_cast<uintptr_t>(pointer),
           "%s: no object is at %p: it is one past the end of its object, or its object was freed", what,
           pointer);
  }
  return place;
}

void SpecialTable::set_finalizer(void* object, const char* type, InlineFunction run, SourcePlace where,
                                 Marker* marker) {
  const Place place = checked_place_of(object, "set_finalizer", where);
  const auto address = reinterpret_cast<uintptr_t>(object);
  if (place.object != address) {
    misuse(where, address, "set_finalizer: %p points %zu bytes into an object (%s), not to its start", object,
           static_cast<size_t>(address - place.object),
           describe_layout(layout_of(place.span->layout)).c_str());
  }
  {
    Stripe& stripe = stripe_of(*place.span);
    MutexLock lock(stripe.mu);
    SpanSpecials& list = list_to_grow(*place.span);
    const SpanSpecials::Object* known = find_object(&list, place.slot);
    if (const Special* other = known != nullptr ? find(known->first, SpecialKind::kFinalizer) : nullptr) {
      misuse(where, address, "set_finalizer: the object at %p (%s) has a finalizer already, set at %s:%d",
             object, other->type, other->where.file, other->where.line);
    }
    Special& special = stripe.slab.acquire();
    special.kind = SpecialKind::kFinalizer;
    special.object.initialize(address);
    special.type = type;
    special.where = where;
    special.function() = std::move(run);
    hang(list, place.slot, special);
  }
  // After it is registered: whoever walks the finalizers shades this as well, or has gone by.
  if (marker != nullptr && !defect(Defect::kLateFinalizerNotShaded))
    marker->shade_fields(*place.span, place.slot);
}

bool SpecialTable::clear_finalizer(void* object) {
  const Place place = place_of(object);
  if (place.span == nullptr) return false;
  InlineFunction dropped;  // destroyed without the lock: it may hold a Root
  Stripe& stripe = stripe_of(*place.span);
  MutexLock lock(stripe.mu);
  Special* special = unhang(list_of(*place.span), place.slot,
                            [](const Special& s) { return s.kind == SpecialKind::kFinalizer; });
  if (special == nullptr) return false;
  dropped = std::move(special->function());
  stripe.slab.release(*special);
  return true;
}

detail::CleanupKey SpecialTable::add_cleanup(void* pointer, const char* type, InlineFunction run,
                                             SourcePlace where) {
  const Place place = checked_place_of(pointer, "add_cleanup", where);
  Stripe& stripe = stripe_of(*place.span);
  MutexLock lock(stripe.mu);
  SpanSpecials& list = list_to_grow(*place.span);
  Special& special = stripe.slab.acquire();
  special.kind = SpecialKind::kCleanup;
  special.object.initialize(place.object);
  special.type = type;
  special.where = where;
  special.id = stripe.next_id++;
  special.function() = std::move(run);
  hang(list, place.slot, special);
  return {memory_.page_of(*place.span), special.id, place.slot};
}

void SpecialTable::stop_cleanup(const detail::CleanupKey& key) {
  InlineFunction dropped;  // destroyed without the lock
  // The object may be gone, its slot another's and its span no more: the page number leads to whatever list
  // is there now, and the id decides.
  Span& span = memory_.table().span_at(key.page);
  Stripe& stripe = stripe_of(key.page);
  MutexLock lock(stripe.mu);
  Special* special = unhang(list_of(span), key.slot, [&key](const Special& s) {
    return s.kind == SpecialKind::kCleanup && s.id == key.id;
  });
  if (special == nullptr) return;
  dropped = std::move(special->function());
  stripe.slab.release(*special);
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
                                                              uint32_t cycle, SourcePlace where) {
  const Place place = checked_place_of(pointer, "Weak", where);
  offset = reinterpret_cast<uintptr_t>(pointer) - place.object;
  Stripe& stripe = stripe_of(*place.span);
  MutexLock lock(stripe.mu);
  if (const SpanSpecials::Object* known = find_object(list_of(*place.span), place.slot)) {
    if (Special* shared = find(known->first, SpecialKind::kWeak)) return shared->weak();
  }
  SpanSpecials& list = list_to_grow(*place.span);
  auto target = std::make_shared<detail::WeakTarget>();
  target->page = memory_.page_of(*place.span);
  target->slot = place.slot;
  // release [weak.target]: pairs with lock_weak(). The caller holds the object, so it is alive by every mark
  // that the caller knows to be over.
  target->object.store(place.object, std::memory_order_release);
  target->decided.store(cycle, std::memory_order_release);
  Special& special = stripe.slab.acquire();
  special.kind = SpecialKind::kWeak;
  special.object.initialize(place.object);
  special.where = where;
  special.what = target;
  hang(list, place.slot, special);
  return target;
}

// While marking, nothing that was not cleared can be cleared before the gate is closed.
uintptr_t SpecialTable::lock_while_marking(detail::WeakTarget& target, uint32_t cycle, Marker& marker) {
  // acquire [weak.target]: a target that the sweep before this mark has cleared is seen as such.
  const uintptr_t object = target.object.load(std::memory_order_acquire);
  if (object == 0) return 0;
  const bool marked = test_bit(memory_.table().bits((cycle + 1) & 1, target.page), target.slot);
  if (!gate_.may_shade(marked)) return decide(target, cycle + 1);
  // Marked before the caller can use it, and announced before it is marked [rule 2].
  if (!defect(Defect::kWeakLockedInSilence)) marker.shade(&object, 1);
  return object;
}

// Mark `cycle` is over: an unmarked object is dead, whether its span has been swept or not. Under the lock a
// target that is not null leads to a slot that has not been freed, so the bit is its own.
uintptr_t SpecialTable::decide(detail::WeakTarget& target, uint32_t cycle) {
  MutexLock lock(stripe_of(target.page).mu);
  // relaxed [weak.target]: under the lock of all who clear it.
  const uintptr_t object = target.object.load(std::memory_order_relaxed);
  if (object == 0) return 0;
  if (!test_bit(memory_.table().bits(cycle & 1, target.page), target.slot) &&
      !defect(Defect::kWeakClearedLate)) {
    target.object.store(0, std::memory_order_release);
    return 0;
  }
  // release [weak.target]: pairs with lock_weak().
  target.decided.store(cycle, std::memory_order_release);
  return object;
}

void SpecialTable::shade_roots(Marker& marker) {
  struct Found {
    uintptr_t object;
    bool queued;
  };
  std::array<Found, SpecialSlab::kBlockSpecials> found;
  for (const auto& stripe : stripes_) {
    bool more = true;
    for (uint32_t block = 0; more; ++block) {
      size_t count = 0;
      {
        MutexLock lock(stripe->mu);
        if (block == 0) stripe->slab.begin_walk();
        more = block < stripe->slab.blocks();
        if (!more) {
          stripe->slab.end_walk();
          break;
        }
        stripe->slab.visit_block(block, [&](const Special& special) {
          if (special.kind == SpecialKind::kFinalizer) {
            found[count++] = {special.object.load_acquire(), special.queued};
          }
        });
      }
      // Without the lock: a finalizer that is cleared now only keeps what it kept a moment ago, since nothing
      // is freed while marking; and a queued object's slot is shaded when it is emptied.
      visited_.fetch_add(count, std::memory_order_relaxed);
      for (size_t i = 0; i < count; ++i) {
        if (found[i].queued) {
          marker.visit(found[i].object);
        } else if (found[i].object != 0 && !defect(Defect::kFinalizableNotTraced)) {
          const Place place = place_of(reinterpret_cast<const void*>(found[i].object));
          marker.shade_fields(*place.span, place.slot);
        }
      }
    }
  }
}

// An unmarked object: weak pointers go; then a finalizer, which brings it back, or the cleanups.
void SpecialTable::sweep_object(SpanSpecials::Object& object, BitWord* live, SpecialChain& ready,
                                SpecialChain& cleared) {
  const bool finalizable = find(object.first, SpecialKind::kFinalizer) != nullptr;
  Special* next = std::exchange(object.first, nullptr);
  while (next != nullptr) {
    Special* special = std::exchange(next, next->next);
    if (special->kind == SpecialKind::kWeak) {
      // release [weak.target]: pairs with lock_weak(): before the finalizer sees the object, and before the
      // slot can be used again.
      if (!defect(Defect::kWeakClearedLate)) special->weak()->object.store(0, std::memory_order_release);
      cleared.append(*special);
    } else if (special->kind == SpecialKind::kFinalizer || !finalizable) {
      special->queued = true;
      ready.append(*special);
    } else {
      special->next = std::exchange(object.first, special);  // waits for the next death
    }
  }
  // Resurrected: one object, since what it reaches is marked.
  if (finalizable && !defect(Defect::kFinalizedNotKept)) set_bits(live, object.slot, object.slot + 1);
}

void SpecialTable::sweep_span(Span& span, BitWord* live) {
  if (list_of(span) == nullptr) return;
  race_point(RacePoint::kBeforeSpecialsSwept);
  Stripe& stripe = stripe_of(span);
  MutexLock lock(stripe.mu);
  SpanSpecials* list = list_of(span);
  visited_.fetch_add(list->objects.size(), std::memory_order_relaxed);
  SpecialChain ready;
  SpecialChain cleared;
  std::erase_if(list->objects, [&](SpanSpecials::Object& object) {
    const bool marked = test_bit(live, object.slot);
    if (!marked || defect(Defect::kFinalizedWhileReachable)) sweep_object(object, live, ready, cleared);
    if (marked && defect(Defect::kWeakClearedEarly)) clear_weak_for_a_defect(object);
    return object.first == nullptr;
  });
  while (Special* special = cleared.pop()) stripe.slab.release(*special);
  if (list->objects.empty()) {
    span.specials.store(nullptr, std::memory_order_relaxed);  // [span.specials]: under the lock
    delete list;
  }
  // Under the lock: what is marked as queued is in the queue, for whoever holds the lock.
  queue_.add(ready);
}

void SpecialTable::retire(Special& special) {
  Stripe& stripe = *stripes_[special.stripe];
  MutexLock lock(stripe.mu);
  stripe.slab.release(special);
}

bool SpecialTable::drop_functions() {
  bool any = false;
  for (const auto& stripe : stripes_) {
    bool more = true;
    for (uint32_t block = 0; more; ++block) {
      // A block's at a time, destroyed without the lock: a heap that closes needs no memory for it.
      std::array<InlineFunction, SpecialSlab::kBlockSpecials> dropped;
      size_t count = 0;
      MutexLock lock(stripe->mu);
      more = block < stripe->slab.blocks();
      if (!more) break;
      stripe->slab.visit_block(block, [&](Special& special) {
        if (special.queued || special.kind == SpecialKind::kWeak || !special.function()) return;
        dropped[count++] = std::move(special.function());
      });
      any = any || count != 0;
    }
  }
  return any;
}

size_t SpecialTable::size() {
  size_t sum = 0;
  for (const auto& stripe : stripes_) {
    MutexLock lock(stripe->mu);
    sum += stripe->slab.used();
  }
  return sum;
}

uint64_t SpecialTable::resident_blocks() {
  uint64_t sum = 0;
  for (const auto& stripe : stripes_) {
    MutexLock lock(stripe->mu);
    sum += stripe->slab.resident_blocks();
  }
  return sum;
}

std::string SpecialTable::check_span(const Span& span) {
  MutexLock lock(stripe_of(span).mu);
  const SpanSpecials* list = list_of(span);
  if (list == nullptr) return {};
  const Layout& layout = layout_of(span.layout);
  const BitWord* allocated = memory_.alloc_bits(memory_.page_of(span));
  int64_t previous = -1;
  for (const SpanSpecials::Object& object : list->objects) {
    const std::string slot = "specials of slot " + std::to_string(object.slot);
    if (object.slot <= previous) return slot + " are out of order";
    if (object.slot >= layout.slots || !test_bit(allocated, object.slot)) return slot + ", which is free";
    if (object.first == nullptr) return slot + ": the list is empty";
    previous = object.slot;
    for (const Special* special = object.first; special != nullptr; special = special->next) {
      if (special->queued || special->kind == SpecialKind::kFree) return slot + ": one is queued or free";
      const uintptr_t start = span.start + uint64_t{object.slot} * layout.slot_bytes;
      if (special->object.load_acquire() != start) return slot + ": one is another object's";
    }
  }
  return {};
}

}  // namespace keel
