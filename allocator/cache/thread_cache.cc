// Holes: taking, publishing, retiring; see thread_cache.h.
#include "allocator/cache/thread_cache.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "allocator/base/check.h"
#include "allocator/base/defects.h"
#include "allocator/base/os_memory.h"
#include "allocator/base/out_of_memory.h"
#include "allocator/base/race_points.h"
#include "allocator/span/span_bits.h"

namespace keel {
namespace {
// Not malloc's: what it recycles it clears by writing, and 128 KiB a thread would be resident of which a few
// pages are used.
template <typename T>
T* zero_pages(size_t count) {
  void* memory = os::reserve_metadata(count * sizeof(T));
  if (memory == nullptr) throw std::bad_alloc();
  return static_cast<T*>(memory);
}
template <typename T>
void unreserve_table(T* table) {
  os::unreserve(table, kMaxLayouts * sizeof(T));
}
}  // namespace

ThreadCache::ThreadCache(HeapMemory& memory)
    : memory_(memory),
      bumps_(zero_pages<Bump>(kMaxLayouts), unreserve_table<Bump>),
      held_(zero_pages<Held>(kMaxLayouts), unreserve_table<Held>) {}

ThreadCache::~ThreadCache() { KEEL_DCHECK(active_.empty(), "cache: destroyed while holding spans"); }

uint32_t ThreadCache::cursor_slot(LayoutId layout) const {
  const Held& held = held_[layout];
  const Layout& l = layout_of(layout);
  const auto offset = static_cast<size_t>(bumps_[layout].cursor - reinterpret_cast<char*>(held.span->start));
  // The cursor may stand at the end of the span, where slot_of() is exact as well (offset < 2^17 + 1 is
  // tested).
  return l.slot_of(offset);
}

void ThreadCache::publish_hole(LayoutId layout) {
  Held& held = held_[layout];
  const uint32_t cursor = cursor_slot(layout);
  const uint32_t used = cursor - held.recorded;
  if (used == 0) return;
  const Layout& l = layout_of(layout);
  set_bits_owned(memory_.alloc_bits(memory_.page_of(*held.span), cycle_), held.recorded, cursor);
  held.recorded = cursor;
  held.span->live_slots += used;
  counts_.objects += used;
  memory_.by_size(l.size_class).mallocs.fetch_add(used, std::memory_order_relaxed);
  counts_.bytes += uint64_t{used} * l.slot_bytes;
  if (black_) {
    counts_.black_objects += used;
    counts_.black_bytes += uint64_t{used} * l.slot_bytes;
  }
}

bool ThreadCache::take_hole(LayoutId layout) {
  Held& held = held_[layout];
  const Layout& l = layout_of(layout);
  Span& span = *held.span;
  const uint64_t page = memory_.page_of(span);
  const BitWord* allocated = memory_.alloc_bits(page, cycle_);
  const uint32_t begin = find_bit(allocated, held.hole_end, l.slots, false);
  if (begin == l.slots) return false;
  uint32_t end = find_bit(allocated, begin, l.slots, true);
  if (hole_limit_ != 0) end = std::min(end, begin + hole_limit_);
  if (defect(Defect::kHoleTooLong) && end < l.slots) ++end;
  char* start = reinterpret_cast<char*>(span.start) + size_t{begin} * l.slot_bytes;
  const size_t bytes = size_t{end - begin} * l.slot_bytes;
  if (FreedSlots* freed = memory_.freed_slots()) freed->take(span, begin, end);
  if (span.needs_zero && !defect(Defect::kSlotNotZeroed)) std::memset(start, 0, bytes);
  // The compiler must not treat the zeros as dead because a constructor follows (rule 5).
  asm volatile("" : : "r"(start) : "memory");
  if (black_ && !defect(Defect::kBornWhite)) set_bits(memory_.mark_bits(page, cycle_), begin, end);
  held.recorded = begin;
  held.hole_end = end;
  bumps_[layout] = {start, start + bytes};
  race_point(RacePoint::kHoleTaken);
  return true;
}

void ThreadCache::give_back(LayoutId layout) {
  Held& held = held_[layout];
  held.span->cached.store(false, std::memory_order_release);  // [span.cached]
  // Stress may leave the rest of a span behind; a span without any free slot is filed as full.
  memory_.return_span(*held.span, cycle_);
  held = {};
  bumps_[layout] = {};
}

size_t ThreadCache::refill(LayoutId layout) {
  Held& held = held_[layout];
  if (held.span != nullptr) {
    publish_hole(layout);
    if (take_hole(layout)) return static_cast<size_t>(bumps_[layout].limit - bumps_[layout].cursor);
    give_back(layout);
    // Not active while there is no span: whatever acquire_span() throws, publish() finds spans only.
    active_.erase(std::find(active_.begin(), active_.end(), layout));
  }
  make_room(active_);
  Span* span = memory_.acquire_span(layout, cycle_, black_);
  if (span == nullptr) return 0;
  active_.push_back(layout);
  span->cached.store(true, std::memory_order_relaxed);
  held.span = span;
  held.hole_end = 0;
  const bool found = take_hole(layout);
  KEEL_CHECK(found, "cache: span at %p with %u of %u slots live has no hole",
             reinterpret_cast<void*>(span->start), span->live_slots, layout_of(layout).slots);
  return static_cast<size_t>(bumps_[layout].limit - bumps_[layout].cursor);
}

void* ThreadCache::allocate_large(LayoutId layout, uint64_t bytes) {
  const PageRun run = memory_.take_large(layout, bytes);
  if (!run.valid()) return nullptr;
  // Read now: the collector may have moved this cache on while the pages were cleared.
  Span* span = &memory_.publish_large(run, layout, bytes, cycle_, black_);
  counts_.objects += 1;
  memory_.by_size(0).mallocs.fetch_add(1, std::memory_order_relaxed);
  counts_.bytes += span->bytes();
  if (black_) {
    counts_.black_objects += 1;
    counts_.black_bytes += span->bytes();
  }
  return reinterpret_cast<void*>(span->start);
}

void ThreadCache::publish() {
  if (defect(Defect::kHolesNotPublished)) return;
  for (LayoutId layout : active_) publish_hole(layout);
}

void ThreadCache::begin_black() {
  publish();
  black_ = true;
  if (defect(Defect::kHeldHolesWhite)) return;
  for (LayoutId layout : active_) {
    const Held& held = held_[layout];
    set_bits(memory_.mark_bits(memory_.page_of(*held.span), cycle_), held.recorded, held.hole_end);
  }
}

size_t ThreadCache::flush() {
  size_t unused = 0;
  while (!active_.empty()) {
    const LayoutId layout = active_.back();
    active_.pop_back();
    publish_hole(layout);
    Held& held = held_[layout];
    unused += static_cast<size_t>(bumps_[layout].limit - bumps_[layout].cursor);
    if (black_ && !defect(Defect::kUnusedSlotsMarked))
      clear_bits(memory_.mark_bits(memory_.page_of(*held.span), cycle_), held.recorded, held.hole_end);
    give_back(layout);
  }
  return unused;
}

void ThreadCache::abandon() {
  for (uint32_t layout = 0; layout < layout_count(); ++layout) bumps_[layout] = {};
}

AllocationCounts ThreadCache::take_counts() {
  const AllocationCounts counts = counts_;
  counts_ = {};
  return counts;
}

}  // namespace keel
