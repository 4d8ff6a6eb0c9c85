// Grey pool: chunks of grey objects that any marker may take, in memory set aside before the cycle needs it.
//
// A marker works on two chunks of its own and hands full ones in here; whoever runs dry takes one out. The
// memory is bounded: when no empty chunk is left, the marker flags the object's span instead
// (Span::overflowed) and the cycle thread rescans that span's marked objects later. So marking always ends,
// in the memory it started with.
//
// Participants that may hold grey objects outside the pool are *busy*. Marking has run dry when the pool is
// empty and nobody is busy: the cycle thread waits for that, then asks the mutators for what their barriers
// remember. Threads: any; one lock (kGrey), taken once per chunk.
#pragma once

#include <cstdint>

#include "allocator/base/atomic.h"
#include "allocator/base/build.h"
#include "allocator/base/defects.h"
#include "allocator/base/mutex.h"
#include "allocator/span/span.h"

namespace keel {

/// A grey object: address in the low 48 bits, layout in the high 16.
using GreyObject = uint64_t;

struct GreyChunk {
  static constexpr uint32_t kRoom = 510;  // 4 KiB with the header
  // Few under the explorer: its heaps are tiny, and chunks must fill, change hands and run out there too.
  static constexpr uint32_t kCapacity = kExploreBuild ? 6 : kRoom;
  GreyChunk* next;
  uint32_t count;
  GreyObject objects[kRoom];
};
static_assert(sizeof(GreyChunk) == 4096);

class GreyPool {
 public:
  /// At most `max_chunks` chunks exist. Memory is reserved now and becomes resident as it is used.
  explicit GreyPool(uint32_t max_chunks);
  ~GreyPool();
  GreyPool(const GreyPool&) = delete;
  GreyPool& operator=(const GreyPool&) = delete;

  /// An empty chunk, or null: the bound is reached.
  GreyChunk* take_empty();
  void put_empty(GreyChunk* chunk);
  /// Hands in a chunk with work and wakes whoever waits for some. Counts as found work.
  void put_full(GreyChunk* chunk);
  /// A chunk with work, or null.
  GreyChunk* take_full();

  /// relaxed [grey.hint]: a marker that sees a stale value hands in work a little later, or for nothing.
  [[nodiscard]] bool hungry() const {
    return waiting_.load(std::memory_order_relaxed) != 0 && full_count_.load(std::memory_order_relaxed) == 0;
  }
  [[nodiscard]] bool empty() const { return full_count_.load(std::memory_order_relaxed) == 0; }

  /// A participant starts to hold work.
  void become_busy();
  /// It holds none any more.
  void become_idle();
  /// Waits at most `ns` for work to appear; the caller is not busy. False on time-out or wake_all().
  bool wait_for_work(int64_t ns);
  /// Waits at most `ns` until the pool is empty and nobody is busy. True if so.
  bool wait_until_quiet(int64_t ns);
  /// True if empty and nobody busy, now.
  [[nodiscard]] bool quiet();
  void wake_all();

  /// A push found no chunk: flags the span; its marked objects are scanned again before marking is over.
  /// [grey.overflow]: counted before the flag is up and until it is down, so no span is flagged while the
  /// count is 0; relaxed, since marking is over only if that is so after quiet(), which orders what a
  /// participant did before it became idle. The flag is released, and acquired by take_flag(), for the mark
  /// that came before.
  void flag(Span& span) {
    flagged_.fetch_add(1, std::memory_order_relaxed);
    if (span.overflowed.exchange(1, std::memory_order_release) != 0) {
      flagged_.fetch_sub(1, std::memory_order_relaxed);
    }
  }
  /// Takes the flag down; true if it was up: the caller scans the span's marked objects.
  bool take_flag(Span& span) {
    if (span.overflowed.exchange(0, std::memory_order_acquire) == 0) return false;
    flagged_.fetch_sub(1, std::memory_order_relaxed);
    return true;
  }
  /// Some span is flagged. Never false while one is.
  [[nodiscard]] bool overflowed() const {
    return flagged_.load(std::memory_order_relaxed) != 0 && !defect(Defect::kOverflowNotNoted);
  }
  /// A mutator is about to make an object grey that it may keep to itself for a while: counts as found work.
  /// relaxed [mark.announced]: the mark bit that follows is released, see try_mark_announced(). If the flag
  /// is up already and is taken down just now, the round that follows waits for this mutator, which then
  /// hands in.
  void announce_found_work() {
    if (!announced_.load(std::memory_order_relaxed)) announced_.store(true, std::memory_order_relaxed);
  }
  /// Chunks with work handed in since the last call, and whether any was announced: what a termination round
  /// asks.
  uint64_t take_found_work();
  /// Gives the memory of empty chunks back. Between cycles, when every chunk is empty.
  void release_idle();

 private:
  const uint32_t max_chunks_;
  GreyChunk* memory_;
  Mutex mu_{LockRank::kGrey};
  ConditionVariable work_;
  ConditionVariable quiet_;
  GreyChunk* full_ KEEL_GUARDED_BY(mu_) = nullptr;
  GreyChunk* free_ KEEL_GUARDED_BY(mu_) = nullptr;
  uint32_t fresh_ KEEL_GUARDED_BY(mu_) = 0;  // chunks never used since release_idle()
  uint32_t busy_ KEEL_GUARDED_BY(mu_) = 0;
  uint64_t found_ KEEL_GUARDED_BY(mu_) = 0;
  Atomic<uint32_t> full_count_{0};
  Atomic<uint32_t> waiting_{0};
  Atomic<uint32_t> flagged_{0};
  Atomic<bool> announced_{false};
};

}  // namespace keel
