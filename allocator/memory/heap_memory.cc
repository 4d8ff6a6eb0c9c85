// Refilling, large objects and filing of swept spans; see heap_memory.h.
#include "allocator/memory/heap_memory.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "allocator/base/atomic.h"
#include "allocator/base/check.h"
#include "allocator/base/defects.h"
#include "allocator/base/futex.h"
#include "allocator/base/os_memory.h"
#include "allocator/base/out_of_memory.h"
#include "allocator/base/race_points.h"
#include "allocator/span/span_bits.h"

namespace keel {
namespace {

#if defined(__SANITIZE_THREAD__)
#define KEEL_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KEEL_TSAN 1
#endif
#endif

#ifdef KEEL_TSAN
// What ThreadSanitizer's address map leaves for anonymous mappings beside its own shadow.
constexpr uint64_t kDefaultRange = 128 * kGiB;
#else
// 16 TiB of the 128 TiB an x86-64 process has: a 4 TiB ballast and as much garbage, with room to spare.
constexpr uint64_t kDefaultRange = 16 * kTiB;
#endif

// A huge page; large pointer-free objects start on one so that none is half shared.
constexpr uint64_t kHugePageBytes = 2 * kMiB;

class SweepInFlight {
 public:
  explicit SweepInFlight(Atomic<uint32_t>& count) : count_(count) {
    // relaxed [sweep.in_flight]: the list's lock, taken next, orders it for whoever finds the list empty.
    count_.fetch_add(1, std::memory_order_relaxed);
  }
  ~SweepInFlight() {
    // release [sweep.in_flight]: pairs with the acquire in sweep_is_over().
    count_.fetch_sub(1, std::memory_order_release);
  }
  SweepInFlight(const SweepInFlight&) = delete;
  SweepInFlight& operator=(const SweepInFlight&) = delete;

 private:
  Atomic<uint32_t>& count_;
};

}  // namespace

HeapMemory::HeapMemory(const HeapMemoryConfig& config)
    : config_(config),
      freed_slots_(config.poison ? std::make_unique<FreedSlots>() : nullptr),
      centrals_(new Atomic<CentralList*>[kMaxLayouts]()) {
  const uint64_t range = config.range_bytes != 0 ? config.range_bytes : kDefaultRange;
  if (!pages_.reserve(range, config.huge_pages)) {
    throw os::Refused("heap: mmap of addresses, least", PageTable::kChunkBytes, pages_.last_error());
  }
  pages_.set_limit(config.max_heap_bytes);
}

CentralList& HeapMemory::central(LayoutId layout) {
  if (CentralList* list = central_if_any(layout)) return *list;
  MutexLock lock(create_mu_);
  // relaxed [central.create]: under the lock of all writers.
  if (CentralList* list = centrals_[layout].load(std::memory_order_relaxed)) return *list;
  make_room(central_storage_);
  central_storage_.push_back(std::make_unique<CentralList>());
  CentralList* list = central_storage_.back().get();
  // release [central.create]: pairs with the acquire in central_if_any().
  centrals_[layout].store(list, std::memory_order_release);
  return *list;
}

Span* HeapMemory::new_span(LayoutId layout, const PageRun& run, uint32_t cycle) {
  Span& span = table_.span_at(run.page);
  const Layout& l = layout_of(layout);
  if (freed_slots_ != nullptr) freed_slots_->forget(table_.address_of(run.page), run.pages);
  span.start = table_.address_of(run.page);
  span.pages = run.pages;
  span.object_bytes = 0;
  span.layout = layout;
  span.needs_zero = run.dirty;
  span.cached.store(false, std::memory_order_relaxed);
  span.live_slots = 0;
  span.overflowed.store(0, std::memory_order_relaxed);
  span.specials.store(nullptr, std::memory_order_relaxed);  // [span.specials]: as it was
  span.swept_cycle.store(cycle, std::memory_order_relaxed);
  clear_bits(table_.bits(0, run.page), l.slots);
  clear_bits(table_.bits(1, run.page), l.slots);
  span.state.store(SpanState::kInUse, std::memory_order_relaxed);
  return &span;
}

Span* HeapMemory::acquire_span(LayoutId layout, uint32_t cycle, bool black) {
  CentralList& list = central(layout);
  if (Span* span = list.take_partial(cycle)) {
    unlist(cycle);
    return span;
  }
  for (int attempt = 0; attempt < kSweepAttempts && !black; ++attempt) {
    SweepInFlight sweeping(sweeps_in_flight_);
    Span* span = take_unswept(list, cycle);
    if (span == nullptr) break;
    sweep_hook_->sweep_span(*span, cycle);
    if (span->live_slots < layout_of(layout).slots) return span;
    put(list, *span, cycle);
  }
  const PageRun run = pages_.allocate(layout_of(layout).span_pages);
  if (!run.valid()) return nullptr;
  Span* span = new_span(layout, run, cycle);
  table_.publish(*span);
  return span;
}

void HeapMemory::return_span(Span& span, uint32_t cycle) {
  KEEL_DCHECK(span.swept_cycle.load(std::memory_order_relaxed) == cycle, "central: span returned unswept");
  put(central(span.layout), span, cycle);
}

PageRun HeapMemory::take_large(LayoutId layout, uint64_t bytes) {
  if (bytes > table_.range_bytes()) return {};  // rounding up must not wrap
  const Layout& l = layout_of(layout);
  const uint64_t pages = round_up(bytes, kPageBytes) >> kPageShift;
  const bool untouched = l.noscan() && bytes >= kHugePageBytes;
  const PageRun run = pages_.allocate(pages, untouched ? kHugePageBytes / kPageBytes : 1);
  if (!run.valid()) return run;
  unpublished_.fetch_add(pages << kPageShift, std::memory_order_relaxed);
  // Entering and leaving a region costs more than a stop would wait for less.
  constexpr uint64_t kClearHereBytes = 256 * kKiB;
  if (away_hook_ == nullptr || !run.dirty || bytes <= kClearHereBytes) {
    clear_large(run, untouched);
    return run;
  }
  struct Work {
    HeapMemory* self;
    const PageRun* run;
    bool untouched;
  } work{this, &run, untouched};
  away_hook_->run_away(
      [](void* argument) {
        const auto* w = static_cast<const Work*>(argument);
        w->self->clear_large(*w->run, w->untouched);
      },
      &work);
  return run;
}

// The pages are this thread's alone: no span leads to them, so no marker reads them meanwhile.
void HeapMemory::clear_large(const PageRun& run, bool untouched) {
  race_point(RacePoint::kClearingLarge);
  void* start = reinterpret_cast<void*>(table_.address_of(run.page));
  const uint64_t bytes = run.pages << kPageShift;
  if (untouched) {
    // Never zeroed by writing: dropped pages read as zero, and stay the system's until somebody touches them.
    if (run.dirty && !defect(Defect::kLargeNotReleased)) {
      const auto begin = reinterpret_cast<uintptr_t>(start);
      const bool dropped = os::release(start, bytes);
      const uintptr_t kept = dropped ? std::max(begin, round_down(begin + bytes, os::page_bytes())) : begin;
      std::memset(reinterpret_cast<void*>(kept), 0, begin + bytes - kept);
    }
    if (config_.huge_pages) os::set_huge_pages(start, bytes, false);
    os::exclude_from_dumps(start, bytes);
  } else if (run.dirty && !defect(Defect::kLargeNotZeroed)) {
    std::memset(start, 0, bytes);
  }
}

Span& HeapMemory::publish_large(const PageRun& run, LayoutId layout, uint64_t bytes, uint32_t cycle,
                                bool black) {
  Span* span = new_span(layout, run, cycle);
  span->object_bytes = round_up(bytes, kWordBytes);
  span->live_slots = 1;
  set_bits(alloc_bits(run.page, cycle), 0, 1);
  if (black && !defect(Defect::kLargeBornWhite)) set_bits(mark_bits(run.page, cycle), 0, 1);
  if (span->bytes() >= PageTable::kChunkBytes) {
    chunked_pages_.fetch_add(run.pages, std::memory_order_relaxed);
  }
  table_.publish(*span);
  unpublished_.fetch_sub(span->bytes(), std::memory_order_relaxed);
  list(cycle);
  MutexLock lock(large_mu_);
  large_[cycle & 1].push(*span);
  return *span;
}

bool HeapMemory::may_be_in_object(uintptr_t address) const {
  if (!table_.contains(address)) return true;
  const Span* span = table_.find(address);
  if (span == nullptr) return false;
  const Layout& layout = layout_of(span->layout);
  if (layout.large()) return true;
  const uint32_t slot = layout.slot_of(address - span->start);
  if (slot >= layout.slots) return false;
  const uint64_t page = page_of(*span);
  // Either array: while a mark ends by handshakes they say "allocated" to different threads.
  const auto known = [&] {
    return test_bit(table_.bits(0, page), slot) || test_bit(table_.bits(1, page), slot);
  };
  // acquire [span.cached]: a cache that has let go has written its bits before.
  return known() || span->cached.load(std::memory_order_acquire) || known();
}

HeapMemory::MetadataBytes HeapMemory::metadata_by_kind() const {
  const uint64_t chunked = chunked_pages_.load(std::memory_order_relaxed);
  const uint64_t in_use = pages_.stats().in_use_bytes >> kPageShift;
  const uint64_t pages = in_use - std::min(in_use, chunked);
  MetadataBytes bytes;
  bytes.bits =
      pages * (defect(Defect::kMetadataMiscounted) ? 1 : 2) * PageTable::kBitWordsPerPage * sizeof(uint64_t);
  bytes.spans = pages * sizeof(Span);
  bytes.page_table =
      pages * sizeof(uint64_t) + (chunked << kPageShift >> PageTable::kChunkShift) * sizeof(void*);
  return bytes;
}

uint64_t HeapMemory::metadata_bytes() const {
  const MetadataBytes bytes = metadata_by_kind();
  return bytes.bits + bytes.spans + bytes.page_table;
}

LeavingPages HeapMemory::free_span(Span& span) {
  // relaxed [span.specials]: the sweep of this span, just now on this thread, has decided them.
  KEEL_CHECK(span.specials.load(std::memory_order_relaxed) == nullptr, "span at %p ends with specials",
             reinterpret_cast<void*>(span.start));
  const uint64_t page = table_.page_of(span.start);
  const uint64_t pages = span.pages;
  const Layout& l = layout_of(span.layout);
  const bool untouched = l.large() && l.noscan() && span.object_bytes >= kHugePageBytes;
  const bool chunked = span.bytes() >= PageTable::kChunkBytes;
  if (chunked) chunked_pages_.fetch_sub(pages, std::memory_order_relaxed);
  if (!defect(Defect::kFreeSpanFindable)) table_.withdraw(span);
  span.state.store(SpanState::kFree, std::memory_order_relaxed);
  if (!untouched && !chunked) {
    pages_.free(page, pages, false);
    return {};
  }
  // A span this large goes straight back to the system: nobody will reuse it whole soon. Not here: that takes
  // 0.2 s a GiB, and the sweep is not over before this returns.
  // relaxed [sweep.leaving]: up before the pages go out of use; the release that counts is in release().
  leaving_.fetch_add(1, std::memory_order_relaxed);
  pages_.begin_release(pages);
  return {page, pages, untouched};
}

bool HeapMemory::give_to_system(const LeavingPages& leaving) {
  char* start = reinterpret_cast<char*>(table_.address_of(leaving.page));
  const uint64_t bytes = leaving.pages << kPageShift;
  bool released = true;
  // A chunk at a time: growing the heap's range, and whoever then waits for it, wait for the system call.
  for (uint64_t at = 0; at < bytes && released; at += PageTable::kChunkBytes) {
    released = os::release(start + at, std::min<uint64_t>(PageTable::kChunkBytes, bytes - at));
  }
  if (leaving.untouched) {
    // As other pages again: what will be in them belongs into a core dump.
    os::include_in_dumps(start, bytes);
    if (config_.huge_pages) os::set_huge_pages(start, bytes, true);
  }
  return released;
}

void HeapMemory::release(const LeavingPages& leaving) {
  if (leaving.pages == 0) return;
  struct Work {
    HeapMemory* self;
    const LeavingPages* leaving;
    bool released;
  } work{this, &leaving, false};
  const auto give = [](void* argument) {
    auto* w = static_cast<Work*>(argument);
    w->released = w->self->give_to_system(*w->leaving);
  };
  if (away_hook_ != nullptr) {
    away_hook_->run_away(give, &work);
  } else {
    give(&work);
  }
  pages_.end_release(leaving.page, leaving.pages, work.released);
  // release [sweep.leaving]: pairs with the acquire in leaving(); the pages are free.
  leaving_.fetch_sub(1, std::memory_order_release);
  futex_wake_all(leaving_);
}

void HeapMemory::wait_until_released() {
  while (const uint32_t runs = leaving()) futex_wait(leaving_, runs);
}

LeavingPages HeapMemory::file_swept(Span& span, uint32_t cycle) {
  const Layout& l = layout_of(span.layout);
  if (span.live_slots == 0) return free_span(span);
  if (l.large()) {
    list(cycle);
    MutexLock lock(large_mu_);
    large_[cycle & 1].push(span);
  } else {
    put(central(span.layout), span, cycle);
  }
  return {};
}

void HeapMemory::put(CentralList& central, Span& span, uint32_t cycle) {
  list(cycle);
  central.put(span, cycle, layout_of(span.layout).slots);
}

Span* HeapMemory::take_unswept(CentralList& central, uint32_t cycle) {
  sweep_looks_.fetch_add(1, std::memory_order_relaxed);
  Span* span = central.take_unswept(cycle);
  if (span != nullptr) unlist(cycle + 1);
  return span;
}

bool HeapMemory::sweep_one(uint32_t now) {
  LeavingPages leaving;
  const bool swept = sweep_one(now, leaving);
  // The sweep is over by now: a cycle can begin meanwhile.
  release(leaving);
  return swept;
}

bool HeapMemory::sweep_one(uint32_t now, LeavingPages& leaving) {
  // relaxed [sweep.in_flight]: nothing to take; sweep_is_over() asks properly.
  if (listed_[(now & 1) ^ 1].load(std::memory_order_relaxed) == 0) return false;
  SweepInFlight sweeping(sweeps_in_flight_);
  Span* span = nullptr;
  {
    MutexLock lock(large_mu_);
    span = large_[(now & 1) ^ 1].pop();
    if (span != nullptr) unlist(now + 1);
  }
  const uint32_t count = layout_count();
  uint32_t id = next_layout_.load(std::memory_order_relaxed);
  for (uint32_t tried = 0; span == nullptr && tried < count; ++tried) {
    if (id >= count) id = 1;
    if (CentralList* list = central_if_any(static_cast<LayoutId>(id))) span = take_unswept(*list, now);
    if (span == nullptr) ++id;
  }
  next_layout_.store(id, std::memory_order_relaxed);
  if (span == nullptr) return false;
  sweep_hook_->sweep_span(*span, now);
  if (defect(Defect::kSpanFiledTwice) && span->live_slots != 0) file_swept(*span, now);
  leaving = file_swept(*span, now);
  return true;
}

bool HeapMemory::sweep_is_over() const {
  // acquire [sweep.in_flight]: what the sweeps wrote is visible to whoever marks next.
  return unswept_spans() == 0 && sweeps_in_flight_.load(std::memory_order_acquire) == 0;
}

uint64_t HeapMemory::count_unswept_spans() const {
  uint64_t count = 0;
  {
    MutexLock lock(large_mu_);
    count = large_[(cycle() & 1) ^ 1].size();
  }
  for (uint32_t id = 1; id < layout_count(); ++id) {
    if (const CentralList* list = central_if_any(static_cast<LayoutId>(id))) count += list->unswept(cycle());
  }
  return count;
}

}  // namespace keel
