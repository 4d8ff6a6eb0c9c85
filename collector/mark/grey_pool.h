// Grey pool: chunks of grey objects that any marker may take, in memory set aside before the cycle needs it.
//
// A marker works on two chunks of its own and hands full ones in here; whoever runs dry takes one out. The
// memory is bounded: when no empty chunk is left, the marker flags the object's span instead
// (Span::overflowed) and the cycle thread rescans that span's marked objects later. So marking always ends,
// in the memory it started with.
//
// Participants that may hold grey objects outside the pool are *busy*. Marking has run dry when the pool is
// empty and nobody is busy: the cycle thread waits for that, then asks the mutators for what their barriers
// remember. How many chunks are handed in, how many participants are busy and whether work was found are one
// word, so that to look at them is to look at one instant:
//
//   [grey.state]  a chunk is counted before it is handed in and until it was taken out, who takes one is busy
//   before: so while there is grey work, the word says so. Every change is a read-modify-write, hence one
//   release sequence: who sees quiet sees all marks and sums of those who went idle. A worker becomes busy
//   only while the word says that a chunk is there (try_become_busy): once quiet, it stays so until somebody
//   finds work, however late a worker comes. [grey.wait]  who sleeps says so, then looks; who brings news
//   changes the word looked at, then looks for sleepers: all seq_cst, so at least one sees the other. The
//   futex word is read before the look: news in between changes it, and the sleep ends at once.
// No lock: a thread that loses its core here holds what it holds, but never keeps others from going on.
// Threads: any, unless said otherwise.
#pragma once

#include <cstdint>

#include "allocator/base/atomic.h"
#include "allocator/base/defects.h"
#include "allocator/span/span.h"
#include "collector/mark/chunk_stack.h"

namespace keel {

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
  void put_empty(GreyChunk* chunk) { free_.push(chunk); }
  /// Hands in a chunk with work and wakes whoever waits for some. Counts as found work.
  void put_full(GreyChunk* chunk);
  /// A chunk with work, or null. Precondition: the caller is busy.
  GreyChunk* take_full();

  /// relaxed [grey.hint]: a marker that sees a stale value hands in work a little later, or for nothing.
  [[nodiscard]] bool hungry() const {
    return waiting_.load(std::memory_order_relaxed) != 0 && full_.seems_empty();
  }
  /// relaxed [grey.hint].
  [[nodiscard]] bool empty() const { return full_.seems_empty(); }

  /// A participant starts to hold work that it finds itself, in roots for instance.
  void become_busy() { state_.fetch_add(kBusy, std::memory_order_acq_rel); }
  /// A participant wants work from the pool: busy, unless there is none. False: not busy.
  bool try_become_busy();
  /// It holds none any more.
  void become_idle();
  /// Waits at most `ns` for work to appear; the caller is not busy. Returns early on wake_all().
  void wait_for_work(int64_t ns);
  /// Waits at most `ns` until the pool is empty and nobody is busy. True if so. Threads: the cycle thread.
  bool wait_until_quiet(int64_t ns);
  /// True if empty and nobody busy, now.
  [[nodiscard]] bool quiet() const { return is_quiet(state_.load(std::memory_order_acquire)); }
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
    if ((state_.load(std::memory_order_relaxed) & kFound) == 0) {
      state_.fetch_or(kFound, std::memory_order_relaxed);
    }
  }

  /// One instant's look: nothing grey in the pool or with a participant, and work was handed in or announced
  /// since the last take_found().
  struct Look {
    bool quiet;
    bool found;
    [[nodiscard]] bool nothing() const { return quiet && !found; }
  };
  Look take_found() {
    const uint64_t state = state_.fetch_and(~kFound, std::memory_order_acq_rel);
    return {is_quiet(state), (state & kFound) != 0};
  }
  /// Gives the memory of empty chunks back, unless somebody keeps one. Between cycles. Threads: the cycle
  /// thread.
  void release_idle();

 private:
  static constexpr uint64_t kFull = 1;  // chunks in the low half
  static constexpr uint64_t kBusy = uint64_t{1} << 32;
  static constexpr uint64_t kFound = uint64_t{1} << 63;
  static bool is_quiet(uint64_t state) { return (state & ~kFound) == 0; }
  static uint32_t full(uint64_t state) { return static_cast<uint32_t>(state); }

  const uint32_t max_chunks_;
  GreyChunk* const memory_;
  ChunkStack full_;
  ChunkStack free_;
  Atomic<uint32_t> fresh_{0};  // chunks used since release_idle()
  Atomic<uint64_t> state_{0};
  Atomic<uint32_t> flagged_{0};
  // [grey.wait]
  Atomic<uint32_t> waiting_{0};  // for work
  Atomic<uint32_t> work_{0};     // futex word
  Atomic<uint32_t> waits_for_quiet_{0};
  Atomic<uint32_t> quiet_{0};  // futex word
};

}  // namespace keel
