// Free runs, growth and release; see page_heap.h.
#include "allocator/page/page_heap.h"

#include <algorithm>
#include <cerrno>

#include "allocator/base/bits.h"
#include "allocator/base/defects.h"
#include "allocator/base/os_memory.h"
#include "allocator/base/race_points.h"

namespace keel {
namespace {
// The pages of [page, page + pages) that lie in whole pages of the system: what a release drops. The range
// begins on one.
struct WholePages {
  uint64_t first;
  uint64_t count;
};
uint64_t pages_of_a_system_page() { return std::max<uint64_t>(1, os::page_bytes() >> kPageShift); }

WholePages whole_pages(uint64_t page, uint64_t pages) {
  const uint64_t unit = pages_of_a_system_page();
  const uint64_t first = round_up(page, unit);
  const uint64_t last = round_down(page + pages, unit);
  return {first, last > first ? last - first : 0};
}
}  // namespace

PageHeap::~PageHeap() {
  // Their nodes are in the memory that goes now.
  runs_.clear();
  by_size_.clear();
  if (range_ != nullptr) os::unreserve(range_, range_bytes_);
  if (metadata_ != nullptr) os::unreserve(metadata_, metadata_bytes(range_bytes_));
}

uint64_t PageHeap::metadata_bytes(uint64_t range_bytes) {
  const uint64_t pages = range_bytes >> kPageShift;
  return RunNodes::metadata_bytes(pages) + DirtyPages::metadata_bytes(pages);
}

bool PageHeap::reserve(uint64_t wanted_bytes, bool huge_pages) {
  huge_pages_ = huge_pages;
  MutexLock lock(mu_);
  for (uint64_t bytes = round_up(wanted_bytes, PageTable::kChunkBytes); bytes >= PageTable::kChunkBytes;
       bytes = round_down(bytes / 2, PageTable::kChunkBytes)) {
    range_ = os::reserve(bytes, PageTable::kChunkBytes);
    if (range_ == nullptr) {
      last_error_ = errno;
      continue;
    }
    // Metadata needs addresses too: if the tables do not fit, a smaller range must do.
    metadata_ = os::reserve_metadata(metadata_bytes(bytes));
    if (metadata_ != nullptr && table_.reserve(reinterpret_cast<uintptr_t>(range_), bytes)) {
      range_bytes_ = bytes;
      const uint64_t pages = bytes >> kPageShift;
      nodes_.place(metadata_, pages);
      dirty_pages_.place(static_cast<char*>(metadata_) + RunNodes::metadata_bytes(pages), pages);
      last_error_ = 0;
      return true;
    }
    last_error_ = errno;
    table_.unreserve();
    if (metadata_ != nullptr) os::unreserve(metadata_, metadata_bytes(bytes));
    os::unreserve(range_, bytes);
    range_ = nullptr;
    metadata_ = nullptr;
  }
  return false;
}

PageHeap::Runs::iterator PageHeap::find_fit_locked(uint64_t pages, uint64_t align_pages) {
  uint64_t looked = 0;
  auto it = by_size_.lower_bound({pages, 0});
  for (; it != by_size_.end() && looked < kMostRunsLookedAt; ++it, ++looked) {
    if (round_up(it->second, align_pages) + pages <= it->second + it->first) return runs_.find(it->second);
  }
  // A run so long holds an aligned place wherever it begins.
  if (it != by_size_.end()) it = by_size_.lower_bound({pages + align_pages - 1, 0});
  return it == by_size_.end() ? runs_.end() : runs_.find(it->second);
}

PageRun PageHeap::allocate(uint64_t pages, uint64_t align_pages) {
  PageRun run;
  {
    MutexLock lock(mu_);
    run = allocate_locked(pages, align_pages);
  }
  // Pages in use are clean: so free() need not touch the bits of a run that went to the system.
  if (run.dirty) dirty_pages_.write_own(run.page, run.pages, false);
  return run;
}

PageRun PageHeap::allocate_locked(uint64_t pages, uint64_t align_pages) {
  if (pages == 0 || pages > range_bytes_ >> kPageShift) return {};
  if (limit_ != 0 && (in_use_ + pages) << kPageShift > limit_ && !defect(Defect::kMaxHeapIgnored)) {
    last_error_ = 0;
    return {};
  }
  auto at = find_fit_locked(pages, align_pages);
  if (at == runs_.end()) {
    if (!grow_locked(pages + align_pages - 1)) return {};
    at = find_fit_locked(pages, align_pages);
  }
  const uint64_t run_page = at->first;
  const Run run = at->second;
  const uint64_t page = round_up(run_page, align_pages);
  const uint64_t before = page - run_page;
  const uint64_t after = run.pages - before - pages;
  const uint64_t dirty = dirty_in(run, page, pages);
  const uint64_t dirty_before = dirty_in(run, run_page, before);
  erase_locked(at);
  if (before > 0) insert_locked(run_page, {before, dirty_before});
  if (after > 0) insert_locked(page + pages, {after, run.dirty_pages - dirty - dirty_before});
  if (dirty > 0) dirty_pages_.write_shared(page, pages, false);
  in_use_ += pages;
  return {page, pages, dirty > 0};
}

// Counted only where the run is mixed.
uint64_t PageHeap::dirty_in(const Run& run, uint64_t page, uint64_t pages) const {
  if (run.dirty_pages == 0 || pages == 0) return 0;
  return run.dirty_pages == run.pages ? pages : dirty_pages_.count(page, pages);
}

void PageHeap::free(uint64_t page, uint64_t pages, bool released) { take_back(page, pages, released, true); }

void PageHeap::begin_release(uint64_t pages) {
  MutexLock lock(mu_);
  in_use_ -= pages;
  detached_ += pages;
}

void PageHeap::end_release(uint64_t page, uint64_t pages, bool released) {
  take_back(page, pages, released, false);
}

void PageHeap::take_back(uint64_t page, uint64_t pages, bool released, bool in_use) {
  released = released || defect(Defect::kDirtyPagesCalledClean);
  const WholePages clean = released ? whole_pages(page, pages) : WholePages{page, 0};
  const uint64_t end_of_clean = clean.first + clean.count;
  if (clean.count == 0) dirty_pages_.write_own(page, pages, true);
  MutexLock lock(mu_);
  (in_use ? in_use_ : detached_) -= pages;
  if (clean.count == 0) {
    dirty_pages_.write_shared(page, pages, true);
  } else {
    // Parts of pages of the system.
    dirty_pages_.write_shared(page, clean.first - page, true);
    dirty_pages_.write_shared(end_of_clean, page + pages - end_of_clean, true);
  }
  put_back_locked(page, {pages, pages - clean.count});
}

void PageHeap::put_back_locked(uint64_t page, Run merged) {
  const uint64_t pages = merged.pages;
  auto next = runs_.lower_bound(page);
  if (next != runs_.end() && next->first == page + pages) {
    merged.pages += next->second.pages;
    merged.dirty_pages += next->second.dirty_pages;
    const auto gone = next++;
    erase_locked(gone);
  }
  if (next != runs_.begin()) {
    const auto previous = std::prev(next);
    if (previous->first + previous->second.pages == page) {
      page = previous->first;
      merged.pages += previous->second.pages;
      merged.dirty_pages += previous->second.dirty_pages;
      erase_locked(previous);
    }
  }
  insert_locked(page, merged);
}

bool PageHeap::grow_locked(uint64_t pages) {
  // A free run that ends at the frontier is extended, so only the rest must be new.
  if (!runs_.empty()) {
    const auto last = std::prev(runs_.end());
    if (last->first + last->second.pages == frontier_ && last->second.pages < pages)
      pages -= last->second.pages;
  }
  const uint64_t bytes = round_up(pages << kPageShift, kGrowBytes);
  const uint64_t committed = frontier_ << kPageShift;
  last_error_ = 0;
  if (bytes > range_bytes_ - committed) return false;
  char* start = static_cast<char*>(range_) + committed;
  last_error_ = os::make_writable(start, bytes);
  if (last_error_ != 0) return false;
  if (huge_pages_) os::set_huge_pages(start, bytes, true);
  const uint64_t first = frontier_;
  frontier_ += bytes >> kPageShift;
  uint64_t page = first;
  Run merged{bytes >> kPageShift, 0};
  if (!runs_.empty()) {
    const auto last = std::prev(runs_.end());
    if (last->first + last->second.pages == first) {
      page = last->first;
      merged.pages += last->second.pages;
      merged.dirty_pages = last->second.dirty_pages;
      erase_locked(last);
    }
  }
  insert_locked(page, merged);
  return true;
}

void PageHeap::insert_locked(uint64_t page, Run run) {
  runs_.emplace(page, run);
  by_size_.emplace(run.pages, page);
  dirty_ += run.dirty_pages;
}

void PageHeap::erase_locked(Runs::iterator at) {
  by_size_.erase({at->second.pages, at->first});
  dirty_ -= at->second.dirty_pages;
  runs_.erase(at);
}

// The highest dirty pages below `below` that the system can take, whole pages of its own: at most a piece of
// them in one run, or none; a look at so many pages at once.
PageHeap::Piece PageHeap::find_dirty_locked(uint64_t below, uint64_t most) const {
  auto it = runs_.lower_bound(below);
  uint64_t looked = 0;
  while (it != runs_.begin()) {
    --it;
    if (it->second.dirty_pages == 0) {
      if (++looked == kMostRunsLookedAt) return {it->first, 0, true};
      continue;
    }
    // Down from the end of the run, or from where the last look ended within it.
    const WholePages whole = whole_pages(it->first, it->second.pages);
    const uint64_t last = std::min(whole.first + whole.count, below);
    if (last <= whole.first) continue;
    bool found = false;
    uint64_t end = dirty_pages_.end_of_last(whole.first, last, kMostWordsLookedAt, found);
    if (!found) return {end, 0, true};
    const uint64_t unit = pages_of_a_system_page();
    end = round_up(end, unit);
    const uint64_t begin = std::max(whole.first, round_down(end - std::min(end, std::max(unit, most)), unit));
    return {begin, end - begin, true};
  }
  return {0, 0, false};
}

// Takes the pages, a piece of less than a block, out of the free run they are in: nobody can be given them
// while they are on their way. Returns how many were dirty.
uint64_t PageHeap::detach_locked(uint64_t page, uint64_t pages) {
  const auto at = std::prev(runs_.upper_bound(page));
  const uint64_t run_page = at->first;
  const Run run = at->second;
  const uint64_t before = page - run_page;
  const uint64_t after = run.pages - before - pages;
  const uint64_t dirty = dirty_in(run, page, pages);
  // Of the two rests the shorter one is counted.
  const uint64_t dirty_before = before <= after
                                    ? dirty_in(run, run_page, before)
                                    : run.dirty_pages - dirty - dirty_in(run, page + pages, after);
  erase_locked(at);
  if (before > 0) insert_locked(run_page, {before, dirty_before});
  if (after > 0) insert_locked(page + pages, {after, run.dirty_pages - dirty_before - dirty});
  dirty_pages_.write_shared(page, pages, false);
  detached_ += pages;
  return dirty;
}

uint64_t PageHeap::release_idle(uint64_t keep_bytes, uint64_t budget_bytes) {
  uint64_t released = 0;
  uint64_t below = ~uint64_t{0};  // pages at or above this one have been looked at
  while (released < budget_bytes) {
    const uint64_t left = std::min(budget_bytes - released, kReleasePieceBytes);
    Piece piece;
    uint64_t dirty = 0;
    uint64_t past = 0;
    {
      MutexLock lock(mu_);
      const uint64_t idle = dirty_ << kPageShift;
      if (idle <= keep_bytes) break;
      const uint64_t most = std::min(left, round_up(idle - keep_bytes, kPageBytes));
      piece = find_dirty_locked(below, std::max<uint64_t>(1, most >> kPageShift));
      if (!piece.more) break;
      below = piece.page;
      if (piece.pages == 0) continue;
      dirty = detach_locked(piece.page, piece.pages);
      past = defect(Defect::kUsedPageReleased) && piece.page + piece.pages < frontier_ ? 1 : 0;
    }
    race_point(RacePoint::kReleasingPages);
    // Other pages of the piece are clean already; releasing them again costs the kernel nothing.
    const bool gone = os::release(static_cast<char*>(range_) + (piece.page << kPageShift),
                                  (piece.pages + past) << kPageShift);
    if (gone) table_.release_metadata(piece.page, piece.pages);
    MutexLock lock(mu_);
    detached_ -= piece.pages;
    if (!gone) dirty_pages_.write_shared(piece.page, piece.pages, true);
    put_back_locked(piece.page, {piece.pages, gone ? 0 : piece.pages});
    // What the system does not take back stays dirty: it is not zero.
    if (!gone) break;
    released += dirty << kPageShift;
  }
  return released;
}

void PageHeap::set_limit(uint64_t bytes) {
  MutexLock lock(mu_);
  limit_ = bytes;
}

bool PageHeap::try_stats(PageHeapStats& stats) const {
  if (!mu_.try_lock()) return false;
  stats = stats_locked();
  mu_.unlock();
  return true;
}

PageHeapStats PageHeap::stats() const {
  MutexLock lock(mu_);
  return stats_locked();
}

PageHeapStats PageHeap::stats_locked() const {
  PageHeapStats s;
  s.reserved_bytes = range_bytes_;
  s.committed_bytes = frontier_ << kPageShift;
  s.in_use_bytes = in_use_ << kPageShift;
  s.dirty_bytes = dirty_ << kPageShift;
  s.released_bytes = s.committed_bytes - s.in_use_bytes - s.dirty_bytes;
  s.free_runs = runs_.size();
  return s;
}

uint64_t PageHeap::frontier_page() const {
  MutexLock lock(mu_);
  return frontier_;
}

uint64_t PageHeap::free_run_at(uint64_t page) const {
  MutexLock lock(mu_);
  const auto it = runs_.find(page);
  return it == runs_.end() ? 0 : it->second.pages;
}

const char* PageHeap::check_identities() const {
  MutexLock lock(mu_);
  uint64_t free_pages = 0;
  uint64_t dirty = 0;
  uint64_t end_of_last = ~uint64_t{0};
  uint64_t next_block = 0;
  for (const auto& [page, run] : runs_) {
    for (uint64_t end : {page, page + run.pages - 1}) {
      if (table_.find(table_.address_of(end)) != nullptr) return "a free page still leads to a span";
    }
    if (page == end_of_last) return "two free runs touch but are not merged";
    if (by_size_.count({run.pages, page}) == 0) return "a free run is missing from the index by size";
    if (dirty_pages_.count(page, run.pages) != run.dirty_pages) {
      return "dirty pages of a run differ from its bits";
    }
    if (!dirty_pages_.agrees(page, run.pages, next_block)) {
      return "a block's count of dirty pages differs from its bits";
    }
    end_of_last = page + run.pages;
    free_pages += run.pages;
    dirty += run.dirty_pages;
  }
  if (by_size_.size() != runs_.size()) return "the index by size has runs that are not free";
  if (dirty != dirty_) return "dirty != sum of the runs' dirty pages";
  if (free_pages + detached_ + in_use_ != frontier_) return "in_use + free != committed";
  return "";
}

uint64_t PageHeap::words_under_lock() const {
  MutexLock lock(mu_);
  return dirty_pages_.words();
}

int PageHeap::last_error() const {
  MutexLock lock(mu_);
  return last_error_;
}

}  // namespace keel
