// Which pages may hold old bytes: one bit a page, and a count for every block of 64 Ki pages (512 MiB), so
// that work with the page heap's lock held grows with the number of blocks of a run and not with its pages.
//
// A block that lies wholly within one run in use belongs to that run's owner, who writes it without the lock;
// any other block is shared, and read and written with the lock only. Pages in use are clean, but for the
// blocks of a run that its owner has just been given and clears.
// Identity, checked by agrees(): the count of a block == the bits set in it.
// Threads: as each function says. Cost: in words of memory, which words() adds up.
#pragma once

#include <cstdint>

#include "allocator/base/units.h"

namespace keel {

class DirtyPages {
 public:
  static constexpr uint64_t kBlockPages = 64 * 1024;
  static constexpr uint64_t kBlockWords = kBlockPages / 64;

  static uint64_t metadata_bytes(uint64_t pages);
  /// `memory` is metadata_bytes(pages) of zeros.
  void place(void* memory, uint64_t pages);

  /// Dirty pages of a free run, or of a part of one. Lock held. Cost: a word a block, and two blocks.
  [[nodiscard]] uint64_t count(uint64_t page, uint64_t pages) const;
  /// The end of the highest dirty page of the free pages [first, end). At most `most_words` are looked at:
  /// `found` is false and the result where to go on, if there was none so far (`first`: none). Lock held.
  [[nodiscard]] uint64_t end_of_last(uint64_t first, uint64_t end, uint64_t most_words, bool& found) const;

  /// Writes the pages of [page, page + pages) that lie in blocks which the run covers in part. Lock held.
  /// Cost: two blocks at most.
  void write_shared(uint64_t page, uint64_t pages, bool dirty);
  /// The same for the blocks which it covers. Threads: who owns the run, not held.
  void write_own(uint64_t page, uint64_t pages, bool dirty);

  /// For checks: the counts of a free run's blocks are those of their bits; blocks below `next_block`, which
  /// is raised, have been looked at. Lock held. Cost: a word per 64 pages.
  [[nodiscard]] bool agrees(uint64_t page, uint64_t pages, uint64_t& next_block) const;

  /// Words looked at or written with the lock held, ever. Lock held.
  [[nodiscard]] uint64_t words() const { return words_; }

 private:
  void write_words(uint64_t first, uint64_t end, bool dirty);
  [[nodiscard]] uint64_t count_words(uint64_t first, uint64_t end) const;

  uint64_t* bits_ = nullptr;
  uint64_t* counts_ = nullptr;
  mutable uint64_t words_ = 0;
};

}  // namespace keel
