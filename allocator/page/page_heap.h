// Page heap: runs of 8 KiB pages out of one reserved range, best fit, coalesced at once, released to the
// system.
//
// The range is writable up to a frontier that only rises, in steps of 4 MiB. Every page below it is in use or
// in exactly one free run; neighbours are merged. A page is dirty if it may hold old bytes, clean if the
// system will hand it out zeroed. Identity, checked by check_identities() and by the heap walk:
//     in_use + free == committed        free == dirty + released        (all in bytes)
// where `committed` is the frontier and `released` counts pages never touched as well (Go's HeapReleased).
// Pages on their way to the system are in no run for that time and count as released.
//
// With the lock held nothing grows with the pages of a run: a run of 4 TiB costs some thousand words
// (dirty_pages.h). Nodes of the runs are reserved with the range (run_nodes.h), so that nothing here asks the
// C++ heap or throws: allocate() changes all or nothing, free() always succeeds.
// Threads: any; one lock (kPages). Cost: O(log runs), and a word per 512 MiB of the run.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "allocator/base/mutex.h"
#include "allocator/page/dirty_pages.h"
#include "allocator/page/run_nodes.h"
#include "allocator/span/page_table.h"

namespace keel {

struct PageHeapStats {
  uint64_t reserved_bytes = 0;
  uint64_t committed_bytes = 0;  // Go's HeapSys
  uint64_t in_use_bytes = 0;
  uint64_t dirty_bytes = 0;     // free, still resident
  uint64_t released_bytes = 0;  // free, the system's
  uint64_t free_runs = 0;
};

struct PageRun {
  uint64_t page = 0;
  uint64_t pages = 0;
  bool dirty = false;  // some page of it may hold old bytes
  [[nodiscard]] bool valid() const { return pages != 0; }
};

class PageHeap {
 public:
  explicit PageHeap(PageTable& table) : table_(table) {}
  ~PageHeap();
  PageHeap(const PageHeap&) = delete;
  PageHeap& operator=(const PageHeap&) = delete;

  /// Reserves up to `wanted_bytes`, halving until the system agrees. False if not even 64 MiB could be had.
  bool reserve(uint64_t wanted_bytes, bool huge_pages);

  /// Takes `pages` pages whose first is a multiple of `align_pages`. An invalid run if the range, the limit
  /// or the system has no more.
  PageRun allocate(uint64_t pages, uint64_t align_pages = 1);

  /// Returns a run; its entries are withdrawn. `released` says the caller has already given it to the system.
  /// Threads: its owner.
  void free(uint64_t page, uint64_t pages, bool released);

  /// The same in two steps, for a run that its owner gives to the system in between: it goes out of use, and
  /// becomes free (`released`: the system has it).
  void begin_release(uint64_t pages);
  void end_release(uint64_t page, uint64_t pages, bool released);

  /// Gives dirty free pages to the system, highest addresses first, until at most `keep_bytes` of them stay
  /// or `budget_bytes` were released, a page more at most. Returns the bytes released. Threads: any; a piece
  /// of at most kReleasePieceBytes is taken out of its run, given back without the lock, and put back.
  uint64_t release_idle(uint64_t keep_bytes, uint64_t budget_bytes);

  static constexpr uint64_t kReleasePieceBytes = 4 * kMiB;

  /// Hard limit on committed bytes less released ones (`--max-heap`); 0 for none.
  void set_limit(uint64_t bytes);

  [[nodiscard]] PageHeapStats stats() const;
  /// The same without waiting, for a dying thread; false if the lock is taken.
  bool try_stats(PageHeapStats& stats) const;
  [[nodiscard]] uint64_t frontier_page() const;

  /// Pages from `page` to the end of the free run it starts, or 0. For walks with the world stopped.
  [[nodiscard]] uint64_t free_run_at(uint64_t page) const;

  /// Re-adds every run and bit and compares with the counters. Empty if all is well, else what is wrong.
  [[nodiscard]] const char* check_identities() const;

  /// Held across fork(), so that the child finds the runs whole and can read them.
  [[nodiscard]] Mutex& fork_lock() { return mu_; }

  /// Words of bits and counts looked at or written with the lock held, ever.
  [[nodiscard]] uint64_t words_under_lock() const;

  /// errno of the last refusal of the system, 0 if the range or the limit was the reason.
  [[nodiscard]] int last_error() const;

 private:
  [[nodiscard]] PageHeapStats stats_locked() const KEEL_REQUIRES(mu_);
  static constexpr uint64_t kGrowBytes = 4 * kMiB;  // Go's pallocChunkBytes (mpagealloc.go)

  struct Run {
    uint64_t pages;
    uint64_t dirty_pages;
  };
  using Runs = std::map<uint64_t, Run, std::less<uint64_t>, RunNodeAllocator<std::pair<const uint64_t, Run>>>;
  using Size = std::pair<uint64_t, uint64_t>;  // (pages, first page)
  using BySize = std::set<Size, std::less<Size>, RunNodeAllocator<Size>>;

  struct Piece {
    uint64_t page = 0;
    uint64_t pages = 0;  // 0: none here, go on below `page`
    bool more = false;
  };
  // Of one hold of the lock: 8 KiB of bits, or so many nodes of a tree.
  static constexpr uint64_t kMostWordsLookedAt = 1024;
  static constexpr uint64_t kMostRunsLookedAt = 1024;
  static uint64_t metadata_bytes(uint64_t range_bytes);
  PageRun allocate_locked(uint64_t pages, uint64_t align_pages) KEEL_REQUIRES(mu_);
  [[nodiscard]] Piece find_dirty_locked(uint64_t below, uint64_t most) const KEEL_REQUIRES(mu_);
  uint64_t detach_locked(uint64_t page, uint64_t pages) KEEL_REQUIRES(mu_);
  void take_back(uint64_t page, uint64_t pages, bool released, bool in_use);
  void put_back_locked(uint64_t page, Run run) KEEL_REQUIRES(mu_);
  bool grow_locked(uint64_t pages) KEEL_REQUIRES(mu_);
  void insert_locked(uint64_t page, Run run) KEEL_REQUIRES(mu_);
  void erase_locked(Runs::iterator at) KEEL_REQUIRES(mu_);
  Runs::iterator find_fit_locked(uint64_t pages, uint64_t align_pages) KEEL_REQUIRES(mu_);
  [[nodiscard]] uint64_t dirty_in(const Run& run, uint64_t page, uint64_t pages) const KEEL_REQUIRES(mu_);

  PageTable& table_;
  void* range_ = nullptr;
  void* metadata_ = nullptr;  // nodes_, then dirty_pages_
  uint64_t range_bytes_ = 0;
  bool huge_pages_ = false;

  mutable Mutex mu_{LockRank::kPages};
  uint64_t frontier_ KEEL_GUARDED_BY(mu_) = 0;  // pages made writable
  uint64_t in_use_ KEEL_GUARDED_BY(mu_) = 0;    // pages
  uint64_t dirty_ KEEL_GUARDED_BY(mu_) = 0;     // free dirty pages
  uint64_t detached_ KEEL_GUARDED_BY(mu_) = 0;  // free pages on their way to the system, in no run
  uint64_t limit_ KEEL_GUARDED_BY(mu_) = 0;     // bytes
  int last_error_ KEEL_GUARDED_BY(mu_) = 0;
  RunNodes nodes_;                                                                            // mu_
  Runs runs_ KEEL_GUARDED_BY(mu_){RunNodeAllocator<std::pair<const uint64_t, Run>>(nodes_)};  // by first page
  BySize by_size_ KEEL_GUARDED_BY(mu_){RunNodeAllocator<Size>(nodes_)};
  DirtyPages dirty_pages_;  // mu_, but for write_own()
};

}  // namespace keel
