// Free runs, growth and release; see page_heap.h.
#include "allocator/page/page_heap.h"

#include <algorithm>
#include <bit>
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

uint64_t dirty_bits_bytes(uint64_t range_bytes) { return (range_bytes >> kPageShift) / 8 + 8; }
}  // namespace

PageHeap::~PageHeap() {
  if (range_ != nullptr) os::unreserve(range_, range_bytes_);
  if (dirty_bits_ != nullptr) os::unreserve(dirty_bits_, dirty_bits_bytes(range_bytes_));
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
    dirty_bits_ = static_cast<uint64_t*>(os::reserve_metadata(dirty_bits_bytes(bytes)));
    if (dirty_bits_ != nullptr && table_.reserve(reinterpret_cast<uintptr_t>(range_), bytes)) {
      range_bytes_ = bytes;
      last_error_ = 0;
      return true;
    }
    last_error_ = errno;
    table_.unreserve();
    if (dirty_bits_ != nullptr) os::unreserve(dirty_bits_, dirty_bits_bytes(bytes));
    os::unreserve(range_, bytes);
    range_ = nullptr;
    dirty_bits_ = nullptr;
  }
  return false;
}

PageHeap::Runs::iterator PageHeap::find_fit_locked(uint64_t pages, uint64_t align_pages) {
  for (auto it = by_size_.lower_bound({pages, 0}); it != by_size_.end(); ++it) {
    if (round_up(it->second, align_pages) + pages <= it->second + it->first) return runs_.find(it->second);
  }
  return runs_.end();
}

PageRun PageHeap::allocate(uint64_t pages, uint64_t align_pages) {
  MutexLock lock(mu_);
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
  // Count bits only where the run is mixed.
  auto dirty_in = [&](uint64_t first, uint64_t count) KEEL_REQUIRES(mu_) {
    if (run.dirty_pages == 0 || count == 0) return uint64_t{0};
    return run.dirty_pages == run.pages ? count : count_dirty_locked(first, count);
  };
  const uint64_t dirty = dirty_in(page, pages);
  const uint64_t dirty_before = dirty_in(run_page, before);
  erase_locked(at);
  if (before > 0) insert_locked(run_page, {before, dirty_before});
  if (after > 0) insert_locked(page + pages, {after, run.dirty_pages - dirty - dirty_before});
  if (dirty > 0) set_dirty_locked(page, pages, false);
  in_use_ += pages;
  return {page, pages, dirty > 0};
}

void PageHeap::free(uint64_t page, uint64_t pages, bool released) {
  MutexLock lock(mu_);
  released = released || defect(Defect::kDirtyPagesCalledClean);
  in_use_ -= pages;
  const WholePages clean = released ? whole_pages(page, pages) : WholePages{page, 0};
  Run merged{pages, pages - clean.count};
  set_dirty_locked(page, pages, true);
  if (clean.count != 0) set_dirty_locked(clean.first, clean.count, false);
  put_back_locked(page, merged);
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

uint64_t PageHeap::count_dirty_locked(uint64_t page, uint64_t pages) const {
  uint64_t count = 0;
  for (uint64_t i = page / 64; i <= (page + pages - 1) / 64; ++i) {
    count += static_cast<uint64_t>(std::popcount(dirty_bits_[i] & word_mask(i, page, page + pages)));
  }
  return count;
}

void PageHeap::set_dirty_locked(uint64_t page, uint64_t pages, bool dirty) {
  for (uint64_t i = page / 64; i <= (page + pages - 1) / 64; ++i) {
    const uint64_t mask = word_mask(i, page, page + pages);
    dirty_bits_[i] = dirty ? dirty_bits_[i] | mask : dirty_bits_[i] & ~mask;
  }
}

// The highest dirty pages below `below` that the system can take, whole pages of its own: at most a piece of
// them in one run, or none; a look at so many pages at once.
PageHeap::DirtyPages PageHeap::find_dirty_locked(uint64_t below, uint64_t most) const {
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
    const uint64_t floor = std::max(whole.first, last - std::min(last, kMostPagesLookedAt));
    uint64_t end = last;
    while (end > floor && count_dirty_locked(end - 1, 1) == 0) {
      // A whole word of clean pages at a time.
      end = end % 64 == 0 && end - 64 >= floor && dirty_bits_[end / 64 - 1] == 0 ? end - 64 : end - 1;
    }
    if (end == floor) return {floor, 0, true};
    const uint64_t unit = pages_of_a_system_page();
    end = round_up(end, unit);
    const uint64_t begin = std::max(whole.first, round_down(end - std::min(end, std::max(unit, most)), unit));
    return {begin, end - begin, true};
  }
  return {0, 0, false};
}

// Takes the pages out of the free run they are in: nobody can be given them while they are on their way.
void PageHeap::detach_locked(uint64_t page, uint64_t pages) {
  const auto at = std::prev(runs_.upper_bound(page));
  const uint64_t run_page = at->first;
  const Run run = at->second;
  const uint64_t before = page - run_page;
  const uint64_t after = run.pages - before - pages;
  const uint64_t dirty = count_dirty_locked(page, pages);
  // Of the two rests the shorter one is counted.
  auto dirty_in = [this](uint64_t first, uint64_t count)
                      KEEL_REQUIRES(mu_) { return count == 0 ? 0 : count_dirty_locked(first, count); };
  const uint64_t dirty_before = run.dirty_pages == run.pages ? before
                                : before <= after            ? dirty_in(run_page, before)
                                                  : run.dirty_pages - dirty - dirty_in(page + pages, after);
  erase_locked(at);
  if (before > 0) insert_locked(run_page, {before, dirty_before});
  if (after > 0) insert_locked(page + pages, {after, run.dirty_pages - dirty_before - dirty});
  set_dirty_locked(page, pages, false);
  detached_ += pages;
}

uint64_t PageHeap::release_idle(uint64_t keep_bytes, uint64_t budget_bytes) {
  uint64_t released = 0;
  uint64_t below = ~uint64_t{0};  // pages at or above this one have been looked at
  while (released < budget_bytes) {
    const uint64_t left = std::min(budget_bytes - released, kReleasePieceBytes);
    DirtyPages piece;
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
      dirty = count_dirty_locked(piece.page, piece.pages);
      detach_locked(piece.page, piece.pages);
      past = defect(Defect::kUsedPageReleased) && piece.page + piece.pages < frontier_ ? 1 : 0;
    }
    race_point(RacePoint::kReleasingPages);
    // Other pages of the piece are clean already; releasing them again costs the kernel nothing.
    const bool gone = os::release(static_cast<char*>(range_) + (piece.page << kPageShift),
                                  (piece.pages + past) << kPageShift);
    if (gone) table_.release_metadata(piece.page, piece.pages);
    MutexLock lock(mu_);
    detached_ -= piece.pages;
    if (!gone) set_dirty_locked(piece.page, piece.pages, true);
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
  for (const auto& [page, run] : runs_) {
    for (uint64_t end : {page, page + run.pages - 1}) {
      if (table_.find(table_.address_of(end)) != nullptr) return "a free page still leads to a span";
    }
    if (page == end_of_last) return "two free runs touch but are not merged";
    if (by_size_.count({run.pages, page}) == 0) return "a free run is missing from the index by size";
    if (run.dirty_pages != 0 && count_dirty_locked(page, run.pages) != run.dirty_pages) {
      return "dirty pages of a run differ from its bits";
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

int PageHeap::last_error() const {
  MutexLock lock(mu_);
  return last_error_;
}

}  // namespace keel
