// Sweeping of one span, and the background thread; see sweeper.h.
#include "collector/sweep/sweeper.h"

#include <pthread.h>

#include "allocator/base/clock.h"
#include "allocator/base/defects.h"
#include "allocator/base/out_of_memory.h"
#include "allocator/base/race_points.h"
#include "allocator/span/span_bits.h"
#include "collector/finalize/special_table.h"

namespace keel {
namespace {
// The background thread works this long, then sleeps three times as long: a quarter of one core.
constexpr int64_t kSliceNs = 100'000;
// Pages go back in pieces, between which the thread sleeps.
constexpr uint64_t kReleasePiece = PageHeap::kReleasePieceBytes;
// Reading the thread's clock costs as much as sweeping a small span.
constexpr int64_t kTimedOneIn = 16;
}  // namespace

Sweeper::Sweeper(HeapMemory& memory, SpecialTable& specials)
    : memory_(memory), specials_(specials), thread_([this] { or_give_up([this] { run(); }); }) {}

Sweeper::~Sweeper() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Sweeper::sweep_span(Span& span, uint32_t cycle) {
  // Which spans are timed changes from cycle to cycle and costs no counter.
  const bool timed = ((span.start >> kPageShift) + cycle) % kTimedOneIn == 0;
  const int64_t before = timed ? thread_cpu_ns() : 0;
  sweep_untimed(span, cycle);
  if (timed) sweep_ns_.fetch_add(kTimedOneIn * (thread_cpu_ns() - before), std::memory_order_relaxed);
}

void Sweeper::sweep_untimed(Span& span, uint32_t cycle) {
  const Layout& layout = layout_of(span.layout);
  const uint64_t page = memory_.page_of(span);
  BitWord* live_bits = memory_.alloc_bits(page, cycle);  // the marks of the cycle that just ended
  // A slot that was marked and never allocated: a pointer led one past the end of its neighbour. It stays
  // free.
  keep_bits(live_bits, memory_.mark_bits(page, cycle), layout.slots);
  if (defect(Defect::kMarkedObjectFreed)) clear_bits(live_bits, 0, 1);
  specials_.sweep_span(span, live_bits);  // first: some of the dead come back to life
  const uint32_t live = count_bits(live_bits, layout.slots);
  const uint32_t dead = span.live_slots - live;
  if (dead != 0) {
    const uint64_t slot_bytes = layout.large() ? span.bytes() : layout.slot_bytes;
    memory_.freed().bytes.fetch_add(dead * slot_bytes, std::memory_order_relaxed);
    memory_.freed().objects.fetch_add(dead, std::memory_order_relaxed);
    memory_.by_size(layout.size_class).frees.fetch_add(dead, std::memory_order_relaxed);
    FreedSlots* freed = memory_.freed_slots();
    if (freed != nullptr && !(layout.large() && layout.noscan())) {
      const BitWord* were_allocated = memory_.mark_bits(page, cycle);  // until the marks change roles below
      for (uint32_t slot = 0; slot < layout.slots; ++slot) {
        if (test_bit(were_allocated, slot) && !test_bit(live_bits, slot)) freed->add(span, slot, cycle);
      }
    }
    span.needs_zero = true;
  }
  if (!defect(Defect::kOldMarksKept)) clear_bits(memory_.mark_bits(page, cycle), layout.slots);
  if (!defect(Defect::kLiveSlotsNotCounted)) span.live_slots = live;
  span.swept_cycle.store(cycle, std::memory_order_relaxed);
}

void Sweeper::start(uint64_t retain_bytes) {
  {
    MutexLock lock(mu_);
    wanted_ = true;
    retain_bytes_ = retain_bytes;
  }
  wake_.notify_all();
}

void Sweeper::finish() {
  // A mutator may be in the middle of a span: it needs no more than the time to finish that one.
  while (!memory_.sweep_is_over()) {
    if (!memory_.sweep_one(memory_.cycle())) ThisThread::yield();
  }
  MutexLock lock(mu_);
  wanted_ = false;
  releasing_ = true;
  while (working_) wake_.wait(mu_);
  wake_.notify_all();
}

void Sweeper::wait_for_pages() { memory_.wait_until_released(); }

void Sweeper::run() {
  pthread_setname_np(pthread_self(), "keel-sweep");
  for (;;) {
    bool sweep = false;
    uint64_t retain = 0;
    {
      MutexLock lock(mu_);
      while (!wanted_ && !releasing_ && !stopping_) wake_.wait(mu_);
      if (stopping_) return;
      sweep = working_ = wanted_;
      retain = retain_bytes_;
    }
    bool more = true;
    LeavingPages leaving;
    if (sweep) {
      race_point(RacePoint::kBackgroundSweep);
      const int64_t slice_end = now_ns() + kSliceNs;
      while (more && leaving.pages == 0 && now_ns() < slice_end) {
        more = memory_.sweep_one(memory_.cycle(), leaving);
      }
    } else {
      // Swept: return idle pages, a piece at a time.
      const uint64_t in_use = memory_.pages().stats().in_use_bytes;
      const int64_t before = thread_cpu_ns();
      const uint64_t released =
          memory_.pages().release_idle(retain > in_use ? retain - in_use : 0, kReleasePiece);
      released_bytes_.fetch_add(released, std::memory_order_relaxed);
      more = released != 0;
      release_ns_.fetch_add(thread_cpu_ns() - before, std::memory_order_relaxed);
    }
    {
      MutexLock lock(mu_);
      working_ = false;
      if (!more && sweep) {
        wanted_ = false;
        releasing_ = true;
      } else if (!more) {
        releasing_ = false;
      }
      if (!defect(Defect::kSweepEndNotTold)) wake_.notify_all();
    }
    // It holds no span any more: a cycle can begin while these go.
    memory_.release(leaving);
    MutexLock lock(mu_);
    if (more && !stopping_) wake_.wait_for(mu_, 3 * kSliceNs);
  }
}

}  // namespace keel
