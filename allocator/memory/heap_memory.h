// Heap memory: page table, page heap, central lists and large objects joined, with one account of all bytes.
//
// This is what a thread cache refills from and what the collector sweeps. Cycle numbers: `cycle()` is the
// number of marks completed; marks of the running cycle go to bits[(cycle + 1) & 1], allocation bits are
// bits[cycle & 1]. finish_mark() raises the number, so the marks just made become the allocation bits, in
// O(1). A thread cache has its own view of the number, which may lag by one while marking ends with a
// handshake: then caches of both views allocate side by side. A span in a cache belongs to its view; a list
// is swept spans to the one and unswept spans to the other, and only the later view sweeps.
//
// Identities (checked by the heap walk, at rest):
//   page heap:   in_use + free == committed
//   spans:       sum of span bytes == in_use
//   objects:     allocated - freed == live slots of all spans (bytes and objects)
// Threads: as each function says. Locks: kCentral, kLarge, kPages.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "allocator/api/away_hook.h"
#include "allocator/api/layout.h"
#include "allocator/api/sweep_hook.h"
#include "allocator/base/atomic.h"
#include "allocator/cache/central_list.h"
#include "allocator/memory/freed_slots.h"
#include "allocator/page/page_heap.h"
#include "allocator/span/page_table.h"
#include "allocator/span/span_list.h"

namespace keel {

struct HeapMemoryConfig {
  uint64_t range_bytes = 0;     // addresses wanted; 0: as much as the build allows
  uint64_t max_heap_bytes = 0;  // hard limit on spans in use; 0: none
  bool huge_pages = false;
  bool poison = false;
};

/// Pages of a dead span that are about to go to the system: in no span and in no free run.
struct LeavingPages {
  uint64_t page = 0;
  uint64_t pages = 0;  // 0: none
  bool untouched = false;
};

class HeapMemory {
 public:
  explicit HeapMemory(const HeapMemoryConfig& config);
  HeapMemory(const HeapMemory&) = delete;
  HeapMemory& operator=(const HeapMemory&) = delete;

  /// Set once, before any allocation.
  void set_sweep_hook(SweepHook* hook) { sweep_hook_ = hook; }
  /// The same; without one, long work is done on the spot.
  void set_away_hook(AwayHook* hook) { away_hook_ = hook; }

  [[nodiscard]] PageTable& table() { return table_; }
  [[nodiscard]] const PageTable& table() const { return table_; }
  [[nodiscard]] PageHeap& pages() { return pages_; }
  [[nodiscard]] const PageHeap& pages() const { return pages_; }
  /// With poison: what dead slots were; else null.
  [[nodiscard]] FreedSlots* freed_slots() const { return freed_slots_.get(); }

  /// relaxed [cycle.number]: written by the cycle thread at mark termination; mutators read it after the
  /// handshake or stop that follows, which orders it.
  [[nodiscard]] uint32_t cycle() const { return cycle_.load(std::memory_order_relaxed); }
  [[nodiscard]] BitWord* mark_bits(uint64_t page) const { return mark_bits(page, cycle()); }
  [[nodiscard]] BitWord* alloc_bits(uint64_t page) const { return alloc_bits(page, cycle()); }
  [[nodiscard]] BitWord* mark_bits(uint64_t page, uint32_t at) const {
    return table_.bits((at + 1) & 1, page);
  }
  [[nodiscard]] BitWord* alloc_bits(uint64_t page, uint32_t at) const { return table_.bits(at & 1, page); }
  [[nodiscard]] uint64_t page_of(const Span& span) const { return table_.page_of(span.start); }

  // `cycle` below is the caller's view of cycle().
  /// A span of `layout` with free slots and swept in this cycle, owned by the caller; null when memory is
  /// out. Sweeps at most kSweepAttempts unswept spans on the way, none if `black`: while marking every span
  /// is swept, and what looks unswept was swept by a later view. Threads: mutators, no lock held.
  Span* acquire_span(LayoutId layout, uint32_t cycle, bool black);
  /// Returns a span that a cache has retired.
  void return_span(Span& span, uint32_t cycle);
  /// A large object takes two steps: its pages, as zeros, which nobody else knows yet (null if memory is
  /// out), and the span. Between them the thread may have been away (AwayHook), so that `cycle` and `black`,
  /// born marked, are to be read after the first. Threads: mutators.
  PageRun take_large(LayoutId layout, uint64_t bytes);
  Span& publish_large(const PageRun& run, LayoutId layout, uint64_t bytes, uint32_t cycle, bool black);
  /// Both at once, for a thread that has no state to change.
  Span* allocate_large(LayoutId layout, uint64_t bytes, uint32_t cycle, bool black) {
    const PageRun run = take_large(layout, bytes);
    return run.valid() ? &publish_large(run, layout, bytes, cycle, black) : nullptr;
  }
  /// Bytes of pages between those two steps: taken, and in no span. relaxed [stats]: exact in a stop.
  [[nodiscard]] uint64_t unpublished_bytes() const { return unpublished_.load(std::memory_order_relaxed); }

  /// Sweeps one span that is not swept yet, small or large; false if all are. Threads: any. While the system
  /// takes the pages of a dead large one, a mutator counts as away (AwayHook).
  bool sweep_one(uint32_t cycle);
  /// The same, but pages for the system are left to the caller, who hands them to release() next.
  bool sweep_one(uint32_t cycle, LeavingPages& leaving);
  /// Gives such pages to the system, then they are free. Only wait_until_released() waits for it. Threads:
  /// any, no lock held.
  void release(const LeavingPages& leaving);
  /// Runs of pages that have been left to release() and not come back. acquire [sweep.leaving]: 0 means that
  /// all of them are free.
  [[nodiscard]] uint32_t leaving() const { return leaving_.load(std::memory_order_acquire); }
  /// Sleeps until leaving() is 0. Threads: any that holds no lock and is not running in the heap.
  void wait_until_released();
  /// True when every span not in a cache is swept and nobody is in the middle of one.
  [[nodiscard]] bool sweep_is_over() const;
  /// Spans not yet swept in this cycle, those in caches not counted. Exact when nothing runs. Cost: one load.
  [[nodiscard]] uint64_t unswept_spans() const {
    // acquire [sweep.in_flight]: pairs with the release in unlist().
    return listed_[(cycle() & 1) ^ 1].load(std::memory_order_acquire);
  }
  /// The same by asking every list. For checks.
  [[nodiscard]] uint64_t count_unswept_spans() const;
  /// How often a list's lock was taken to look for a span to sweep, ever. relaxed [stats].
  [[nodiscard]] uint64_t sweep_looks() const { return sweep_looks_.load(std::memory_order_relaxed); }
  /// Flips the roles of the bits and the lists: marks become allocation bits. Threads: the cycle thread,
  /// marking over, every mutator stopped or already at the next view.
  void finish_mark() { cycle_.store(cycle() + 1, std::memory_order_relaxed); }

  /// Calls `visit(Span&)` for every span in use, by address. World stopped and no sweeper running, or single
  /// thread.
  template <typename Visit>
  void for_each_span(Visit&& visit) {
    const uint64_t end = pages_.frontier_page();
    for (uint64_t page = 0; page < end;) {
      Span& span = table_.span_at(page);
      if (span.state.load(std::memory_order_relaxed) == SpanState::kInUse) {
        visit(span);
        page += span.pages;
      } else {
        const uint64_t free_pages = pages_.free_run_at(page);
        page += free_pages != 0 ? free_pages : 1;
      }
    }
  }

  /// False if `address` is in the heap's range and certainly not in an object: in no span, behind the last
  /// slot, or in a free slot. Slots that a cache holds are taken for allocated, as only its owner knows.
  /// Threads: any; for checks.
  [[nodiscard]] bool may_be_in_object(uintptr_t address) const;

  /// Bytes and objects ever freed by sweeping. relaxed [stats]: sums for reports; exact when no sweep runs.
  struct Freed {
    Atomic<uint64_t> bytes{0};
    Atomic<uint64_t> objects{0};
  };
  /// The same by size class (0: large objects), for Go's MemStats.BySize. relaxed [stats].
  struct SizeCounts {
    Atomic<uint64_t> mallocs{0};
    Atomic<uint64_t> frees{0};
  };
  [[nodiscard]] SizeCounts& by_size(size_t size_class) { return by_size_[size_class]; }
  [[nodiscard]] const SizeCounts& by_size(size_t size_class) const { return by_size_[size_class]; }
  [[nodiscard]] Freed& freed() { return freed_; }
  [[nodiscard]] const Freed& freed() const { return freed_; }
  /// Bytes of tables that describe the spans in use (Go's GCSys). relaxed [stats].
  [[nodiscard]] uint64_t metadata_bytes() const;
  struct MetadataBytes {
    uint64_t bits = 0;  // mark and allocation bits
    uint64_t spans = 0;
    uint64_t page_table = 0;
  };
  /// The same by kind; the parts add up to metadata_bytes() of the same moment.
  [[nodiscard]] MetadataBytes metadata_by_kind() const;

 private:
  static constexpr int kSweepAttempts = 64;
  CentralList& central(LayoutId layout);
  void list(uint32_t parity) { listed_[parity & 1].fetch_add(1, std::memory_order_relaxed); }
  void unlist(uint32_t parity) { listed_[parity & 1].fetch_sub(1, std::memory_order_release); }
  void put(CentralList& list, Span& span, uint32_t cycle);
  Span* take_unswept(CentralList& list, uint32_t cycle);
  Span* new_span(LayoutId layout, const PageRun& run, uint32_t cycle);
  /// After sweep_span(): files the span, or frees its pages if nothing lives in it: those it returns go to
  /// the system first.
  LeavingPages file_swept(Span& span, uint32_t cycle);
  LeavingPages free_span(Span& span);
  [[nodiscard]] bool give_to_system(const LeavingPages& leaving);
  void clear_large(const PageRun& run, bool untouched);
  [[nodiscard]] CentralList* central_if_any(LayoutId layout) const {
    // acquire [central.create]: pairs with the release in central(); the list is constructed.
    return centrals_[layout].load(std::memory_order_acquire);
  }

  HeapMemoryConfig config_;
  const std::unique_ptr<FreedSlots> freed_slots_;
  PageTable table_;
  PageHeap pages_{table_};
  SweepHook* sweep_hook_ = nullptr;
  AwayHook* away_hook_ = nullptr;
  Atomic<uint32_t> cycle_{0};
  // [sweep.in_flight]: raised before a span leaves its list unswept, lowered when it is filed. Whoever has
  // read that no span is listed as unswept and then reads 0 here knows that no sweep is half done: the count
  // of listed spans goes down by a release after this one has gone up.
  Atomic<uint32_t> sweeps_in_flight_{0};
  // [sweep.in_flight]: spans in lists, by parity as those; raised before a span is put in, lowered after it
  // was taken out.
  Atomic<uint64_t> listed_[2]{};
  Atomic<uint64_t> sweep_looks_{0};
  Atomic<uint32_t> leaving_{0};
  Freed freed_;
  std::array<SizeCounts, kSizeClassCount> by_size_;
  Atomic<uint64_t> unpublished_{0};
  // relaxed [stats]: pages of spans of a chunk or more, which have one entry a chunk.
  Atomic<uint64_t> chunked_pages_{0};

  Mutex create_mu_{LockRank::kLeaf};
  std::unique_ptr<Atomic<CentralList*>[]> centrals_;
  std::vector<std::unique_ptr<CentralList>> central_storage_ KEEL_GUARDED_BY(create_mu_);

  mutable Mutex large_mu_{LockRank::kLarge};
  SpanList large_[2] KEEL_GUARDED_BY(large_mu_);  // by parity, as in CentralList
  // relaxed [sweep.hint]: where the background sweeper looks next; any value is right.
  Atomic<uint32_t> next_layout_{1};
};

}  // namespace keel
