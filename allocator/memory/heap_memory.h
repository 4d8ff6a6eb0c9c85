// Heap memory: page table, page heap, central lists and large objects joined, with one account of all bytes.
//
// This is what a thread cache refills from and what the collector sweeps. Cycle numbers: `cycle()` is the
// number of marks completed; marks of the running cycle go to bits[(cycle + 1) & 1], allocation bits are
// bits[cycle & 1]. finish_mark() raises the number, so the marks just made become the allocation bits, in
// O(1).
//
// Identities (checked by the heap walk, at rest):
//   page heap:   in_use + free == committed
//   spans:       sum of span bytes == in_use
//   objects:     allocated - freed == live slots of all spans (bytes and objects)
// Threads: as each function says. Locks: kCentral, kLarge, kPages.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "allocator/api/layout.h"
#include "allocator/api/sweep_hook.h"
#include "allocator/cache/central_list.h"
#include "allocator/page/page_heap.h"
#include "allocator/span/page_table.h"

namespace keel {

struct HeapMemoryConfig {
  uint64_t range_bytes = 0;     // addresses wanted; 0: as much as the build allows
  uint64_t max_heap_bytes = 0;  // hard limit on spans in use; 0: none
  bool huge_pages = false;
  bool poison = false;
};

class HeapMemory {
 public:
  explicit HeapMemory(const HeapMemoryConfig& config);
  HeapMemory(const HeapMemory&) = delete;
  HeapMemory& operator=(const HeapMemory&) = delete;

  /// Set once, before any allocation.
  void set_sweep_hook(SweepHook* hook) { sweep_hook_ = hook; }

  [[nodiscard]] PageTable& table() { return table_; }
  [[nodiscard]] const PageTable& table() const { return table_; }
  [[nodiscard]] PageHeap& pages() { return pages_; }
  [[nodiscard]] const PageHeap& pages() const { return pages_; }
  [[nodiscard]] bool poisons() const { return config_.poison; }

  /// relaxed [cycle.number]: written by the cycle thread at mark termination; mutators read it after the
  /// handshake or stop that follows, which orders it.
  [[nodiscard]] uint32_t cycle() const { return cycle_.load(std::memory_order_relaxed); }
  [[nodiscard]] BitWord* mark_bits(uint64_t page) const { return table_.bits((cycle() + 1) & 1, page); }
  [[nodiscard]] BitWord* alloc_bits(uint64_t page) const { return table_.bits(cycle() & 1, page); }
  [[nodiscard]] uint64_t page_of(const Span& span) const { return table_.page_of(span.start); }

  /// A span of `layout` with free slots and swept in this cycle, owned by the caller; null when memory is
  /// out. Sweeps at most kSweepAttempts unswept spans on the way. Threads: mutators, no lock held.
  Span* acquire_span(LayoutId layout);
  /// Returns a span that a cache has retired.
  void return_span(Span& span);
  /// Null when memory is out. `black`: born marked. Threads: mutators.
  Span* allocate_large(LayoutId layout, uint64_t bytes, bool black);

  /// Takes any unswept span (small or large) and sweeps it. False if there is none. Threads: any.
  bool sweep_one();
  /// Spans not yet swept in this cycle, those in caches not counted. Exact when nothing runs.
  [[nodiscard]] uint64_t unswept_spans() const;
  /// Sweeps a span that a cache held over the end of a mark, and files it. Threads: the cache's owner.
  void sweep_held(Span& span) {
    sweep_hook_->sweep_span(span);
    file_swept(span);
  }
  /// After sweep_span(): files the span, or frees its pages if nothing lives in it.
  void file_swept(Span& span);

  /// Flips the roles of the bits and the lists: marks become allocation bits. Threads: the cycle thread,
  /// marking over, every mutator stopped or with its holes published.
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

  /// Bytes and objects ever freed by sweeping. relaxed [stats]: sums for reports; exact when no sweep runs.
  struct Freed {
    std::atomic<uint64_t> bytes{0};
    std::atomic<uint64_t> objects{0};
  };
  [[nodiscard]] Freed& freed() { return freed_; }
  [[nodiscard]] const Freed& freed() const { return freed_; }
  /// Bytes of tables that describe the spans in use (Go's GCSys). relaxed [stats].
  [[nodiscard]] uint64_t metadata_bytes() const;

 private:
  static constexpr int kSweepAttempts = 64;
  CentralList& central(LayoutId layout);
  Span* new_span(LayoutId layout, const PageRun& run);
  void free_span(Span& span);
  [[nodiscard]] CentralList* central_if_any(LayoutId layout) const {
    // acquire [central.create]: pairs with the release in central(); the list is constructed.
    return centrals_[layout].load(std::memory_order_acquire);
  }

  HeapMemoryConfig config_;
  PageTable table_;
  PageHeap pages_{table_};
  SweepHook* sweep_hook_ = nullptr;
  std::atomic<uint32_t> cycle_{0};
  Freed freed_;
  // relaxed [stats]: pages of spans of a chunk or more, which have one entry a chunk.
  std::atomic<uint64_t> chunked_pages_{0};

  Mutex create_mu_{LockRank::kLeaf};
  std::unique_ptr<std::atomic<CentralList*>[]> centrals_;
  std::vector<std::unique_ptr<CentralList>> central_storage_ KEEL_GUARDED_BY(create_mu_);

  mutable Mutex large_mu_{LockRank::kLarge};
  std::vector<Span*> large_[2] KEEL_GUARDED_BY(large_mu_);  // by parity, as in CentralList
  // relaxed [sweep.hint]: where the background sweeper looks next; any value is right.
  std::atomic<uint32_t> next_layout_{1};
};

}  // namespace keel
