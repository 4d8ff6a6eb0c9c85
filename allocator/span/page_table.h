// From any address to its span, its slot and its bits: arrays indexed by page number, reserved with the heap
// range.
//
//   entries[page]  8 B: layout, flags, distance to the span's first page   [page.publish]
//   spans[page]   64 B: Span, at its first page
//   bits[2][page] 64 B: one bit per slot, from the span's first page on; one array holds marks, the other
//                 allocation bits, and they change roles at the end of every mark (parity of the cycle)
//   chunks[]       8 B per 64 MiB: a span that covers a whole chunk is entered here instead of in 8,192
//   entries,
//                 so that a 4 TiB ballast costs 512 KiB and nothing grows with ballast / page size
//
// All of it is memory that becomes resident on first touch and is released with the pages it describes.
// Threads: lookups from any thread at any time; writes by whoever owns the pages. No lookup races with the
// end of a span, because spans end only while no mark is running.
#pragma once

#include <cstdint>

#include "allocator/api/layout.h"
#include "allocator/base/atomic.h"
#include "allocator/base/bits.h"
#include "allocator/base/units.h"
#include "allocator/span/span.h"

namespace keel {

/// One word about a page: [layout:16][flags:8][unused:8][pages from the span's start:32]; 0 is "no span
/// here".
class PageEntry {
 public:
  static constexpr uint64_t kInUse = 1;
  static constexpr uint64_t kLarge = 2;
  static constexpr uint64_t kNoscan = 4;

  constexpr explicit PageEntry(uint64_t word = 0) : word_(word) {}
  constexpr PageEntry(LayoutId layout, uint64_t flags, uint32_t distance)
      : word_(uint64_t{layout} << 48 | flags << 40 | distance) {}

  [[nodiscard]] bool in_use() const { return word_ != 0; }
  [[nodiscard]] bool large() const { return (word_ >> 40 & kLarge) != 0; }
  [[nodiscard]] bool noscan() const { return (word_ >> 40 & kNoscan) != 0; }
  [[nodiscard]] LayoutId layout() const { return static_cast<LayoutId>(word_ >> 48); }
  [[nodiscard]] uint32_t distance() const { return static_cast<uint32_t>(word_); }
  [[nodiscard]] uint64_t word() const { return word_; }

 private:
  uint64_t word_;
};

using BitWord = Atomic<uint64_t>;

class PageTable {
 public:
  static constexpr size_t kChunkShift = 26;  // 64 MiB, as Go's heap arenas (mheap.go)
  static constexpr size_t kChunkBytes = size_t{1} << kChunkShift;
  static constexpr size_t kBitWordsPerPage = kPageBytes / kMinSlotBytes / 64;  // 8 words: one cache line

  PageTable() = default;
  ~PageTable();
  PageTable(const PageTable&) = delete;
  PageTable& operator=(const PageTable&) = delete;

  /// Reserves the arrays for a range. Returns false if the system refuses (the caller halves the range).
  bool reserve(uintptr_t base, uint64_t range_bytes);
  void unreserve();

  [[nodiscard]] uintptr_t base() const { return base_; }
  [[nodiscard]] uint64_t range_bytes() const { return range_bytes_; }
  [[nodiscard]] bool contains(uintptr_t address) const { return address - base_ < range_bytes_; }
  [[nodiscard]] uint64_t page_of(uintptr_t address) const { return (address - base_) >> kPageShift; }
  [[nodiscard]] uintptr_t address_of(uint64_t page) const { return base_ + (page << kPageShift); }

  /// Entry of the page that holds `address` (precondition: contains(address)); empty if no span is there or
  /// the span is entered by chunk. acquire [page.publish]: pairs with publish(); the span's fields and
  /// cleared bits are visible. Threads: any. Cost: one load.
  [[nodiscard]] PageEntry entry(uintptr_t address) const {
    return PageEntry(entries_[page_of(address)].load(std::memory_order_acquire));
  }

  /// The span that holds `address`, or null. Threads: any. Cost: two loads, three for chunk-sized spans.
  [[nodiscard]] Span* find(uintptr_t address) const;

  /// The span whose first page is `page`. Valid once published.
  [[nodiscard]] Span& span_at(uint64_t page) const { return spans_[page]; }

  /// Bits of the span starting at `page`, in array 0 or 1.
  [[nodiscard]] BitWord* bits(unsigned array, uint64_t page) const {
    return bits_[array] + page * kBitWordsPerPage;
  }
  [[nodiscard]] BitWord* bits_base(unsigned array) const { return bits_[array]; }
  [[nodiscard]] const Atomic<uint64_t>* entries() const { return entries_; }

  /// Makes a span findable. Its fields are final and its bits clear. release [page.publish].
  void publish(const Span& span);
  /// Undoes publish(). Threads: the owner; never while a mark runs.
  void withdraw(const Span& span);

  /// Gives back the metadata that describes free pages only, as far as the system takes it.
  void release_metadata(uint64_t first_page, uint64_t pages);

  /// Bytes of tables that describe `pages` pages when all of it is touched; chunk entries come on top.
  static constexpr uint64_t metadata_bytes(uint64_t pages) {
    return pages * (sizeof(uint64_t) + sizeof(Span) + 2 * kBitWordsPerPage * sizeof(uint64_t));
  }

 private:
  [[nodiscard]] uint64_t page_count() const { return range_bytes_ >> kPageShift; }
  template <typename WholeChunk, typename OnePage>
  void for_each_piece(const Span& span, WholeChunk&& whole_chunk, OnePage&& one_page);

  uintptr_t base_ = 0;
  uint64_t range_bytes_ = 0;
  Atomic<uint64_t>* entries_ = nullptr;
  Span* spans_ = nullptr;
  BitWord* bits_[2] = {nullptr, nullptr};
  Atomic<Span*>* chunks_ = nullptr;
};

}  // namespace keel
