// Records by span; see freed_slots.h.
#include "allocator/memory/freed_slots.h"

#include <new>

#include "allocator/base/bits.h"
#include "allocator/base/check.h"
#include "allocator/base/poison.h"

namespace keel {
namespace {
// How far before an address the span that holds it may begin: spans of slots are shorter (size_classes.inc);
// a large object is found by its first pages only.
constexpr uint64_t kLookBackPages = 64;

uint64_t slot_bytes_of(const Span& span) {
  const Layout& layout = layout_of(span.layout);
  return layout.large() ? span.bytes() : layout.slot_bytes;
}
}  // namespace

void FreedSlots::add(const Span& span, uint32_t slot, uint32_t cycle) {
  const uint64_t slot_bytes = slot_bytes_of(span);
  poison(span.start + slot * slot_bytes, slot_bytes);
  MutexLock lock(mu_);
  try {
    Record& record = records_[span.start];
    record.pages = span.pages;
    record.slot_bytes = slot_bytes;
    record.layout = span.layout;
    record.freed_in.resize(layout_of(span.layout).slots);
    record.freed_in[slot] = cycle + 1;
  } catch (const std::bad_alloc&) {
    // The sweep cannot be undone, and goes on. This span's slots are not looked at when they are taken.
    records_.erase(span.start);
  }
}

void FreedSlots::take(const Span& span, uint32_t begin, uint32_t end) {
  Freed freed;
  uintptr_t written = 0;
  {
    MutexLock lock(mu_);
    const auto at = records_.find(span.start);
    if (at == records_.end()) return;
    for (uint32_t slot = begin; slot < end && written == 0; ++slot) {
      uint32_t& freed_in = at->second.freed_in[slot];
      if (freed_in == 0) continue;
      freed = {span.start + slot * at->second.slot_bytes, at->second.slot_bytes, span.layout, freed_in - 1};
      written = find_unpoisoned(freed.slot, freed.bytes);
      if (written == 0) freed_in = 0;
    }
  }
  // Not under the lock: the crash report asks find().
  KEEL_CHECK_ABOUT(
      written, written == 0,
      "use after free: word %zu of the slot at %p (%s) was written after the sweep of cycle %u freed it",
      static_cast<size_t>(written - freed.slot) / kWordBytes, reinterpret_cast<void*>(freed.slot),
      describe_layout(layout_of(freed.layout)).c_str(), freed.cycle);
}

void FreedSlots::forget(uintptr_t start, uint64_t pages) {
  MutexLock lock(mu_);
  for (uint64_t back = 1; back <= kLookBackPages && !records_.empty(); ++back) {
    const auto at = records_.find(start - (back << kPageShift));
    if (at != records_.end() && at->second.pages > back) records_.erase(at);
  }
  const uint64_t bytes = pages << kPageShift;
  if (pages > records_.size()) {
    std::erase_if(records_, [&](const auto& record) { return record.first - start < bytes; });
  } else {
    for (uint64_t page = 0; page < pages; ++page) records_.erase(start + (page << kPageShift));
  }
}

std::optional<FreedSlots::Freed> FreedSlots::find(uintptr_t address) const noexcept {
  if (!mu_.try_lock()) return std::nullopt;
  std::optional<Freed> found;
  const uintptr_t page = address >> kPageShift << kPageShift;
  for (uint64_t back = 0; back <= kLookBackPages && !found; ++back) {
    const auto at = records_.find(page - (back << kPageShift));
    if (at == records_.end()) continue;
    const Record& record = at->second;
    const uint64_t slot = (address - at->first) / record.slot_bytes;
    if (slot < record.freed_in.size() && record.freed_in[slot] != 0) {
      found = Freed{at->first + slot * record.slot_bytes, record.slot_bytes, record.layout,
                    record.freed_in[slot] - 1};
    }
  }
  mu_.unlock();
  return found;
}

}  // namespace keel
