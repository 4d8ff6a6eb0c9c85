// Reserving, publishing and releasing the tables; see page_table.h.
#include "allocator/span/page_table.h"

#include "allocator/base/check.h"
#include "allocator/base/os_memory.h"
#include "allocator/base/race_points.h"

namespace keel {
namespace {

template <typename T>
bool reserve_array(T*& array, uint64_t count) {
  array = static_cast<T*>(os::reserve_metadata(count * sizeof(T)));
  return array != nullptr;
}

template <typename T>
void unreserve_array(T*& array, uint64_t count) {
  if (array != nullptr) os::unreserve(array, count * sizeof(T));
  array = nullptr;
}

}  // namespace

bool PageTable::reserve(uintptr_t base, uint64_t range_bytes) {
  base_ = base;
  range_bytes_ = range_bytes;
  const uint64_t pages = page_count();
  return reserve_array(entries_, pages) && reserve_array(spans_, pages) &&
         reserve_array(bits_[0], pages * kBitWordsPerPage) &&
         reserve_array(bits_[1], pages * kBitWordsPerPage) &&
         reserve_array(chunks_, (range_bytes >> kChunkShift) + 1);
}

PageTable::~PageTable() { unreserve(); }

void PageTable::unreserve() {
  const uint64_t pages = page_count();
  unreserve_array(entries_, pages);
  unreserve_array(spans_, pages);
  unreserve_array(bits_[0], pages * kBitWordsPerPage);
  unreserve_array(bits_[1], pages * kBitWordsPerPage);
  unreserve_array(chunks_, (range_bytes_ >> kChunkShift) + 1);
}

Span* PageTable::find(uintptr_t address) const {
  if (!contains(address)) return nullptr;
  const PageEntry e = entry(address);
  if (e.in_use()) return &spans_[page_of(address) - e.distance()];
  // acquire [page.publish]: as in entry().
  return chunks_[(address - base_) >> kChunkShift].load(std::memory_order_acquire);
}

// Splits a span into whole chunks and the single pages around them.
template <typename WholeChunk, typename OnePage>
void PageTable::for_each_piece(const Span& span, WholeChunk&& whole_chunk, OnePage&& one_page) {
  constexpr uint64_t kPagesPerChunk = kChunkBytes / kPageBytes;
  const uint64_t begin = page_of(span.start);
  const uint64_t end = begin + span.pages;
  for (uint64_t page = begin; page < end;) {
    if (page % kPagesPerChunk == 0 && page + kPagesPerChunk <= end) {
      whole_chunk(page / kPagesPerChunk);
      page += kPagesPerChunk;
    } else {
      one_page(page, page - begin);
      ++page;
    }
  }
}

void PageTable::publish(const Span& span) {
  const Layout& layout = layout_of(span.layout);
  const uint64_t flags = PageEntry::kInUse | (layout.large() ? PageEntry::kLarge : 0) |
                         (layout.noscan() ? PageEntry::kNoscan : 0);
  Span* self = &spans_[page_of(span.start)];
  KEEL_DCHECK(self == &span, "page table: span %p is not where its pages are",
              static_cast<const void*>(&span));
  for_each_piece(
      span,
      // release [page.publish]: fields and cleared bits of the span are visible to whoever finds it here.
      [&](uint64_t chunk) { chunks_[chunk].store(self, std::memory_order_release); },
      [&](uint64_t page, uint64_t distance) {
        const PageEntry e(span.layout, flags, static_cast<uint32_t>(distance));
        entries_[page].store(e.word(), std::memory_order_release);
      });
  race_point(RacePoint::kSpanPublished);
}

void PageTable::withdraw(const Span& span) {
  for_each_piece(
      span,
      // relaxed [page.publish]: no mark is running, so nobody looks the address up; reuse publishes anew.
      [&](uint64_t chunk) { chunks_[chunk].store(nullptr, std::memory_order_relaxed); },
      [&](uint64_t page, uint64_t) { entries_[page].store(0, std::memory_order_relaxed); });
}

void PageTable::release_metadata(uint64_t first_page, uint64_t pages) {
  // Refused: entries stay empty and spans free, as they are; a new span clears its bits.
  static_cast<void>(os::release(entries_ + first_page, pages * sizeof(uint64_t)));
  static_cast<void>(os::release(spans_ + first_page, pages * sizeof(Span)));
  for (BitWord* array : bits_) {
    static_cast<void>(os::release(array + first_page * kBitWordsPerPage, pages * kBitWordsPerPage * 8));
  }
}

}  // namespace keel
