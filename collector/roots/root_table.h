// Root table: the slots behind every Root<T>.
//
// Slots are heap slots to the barrier (rule 4), so they may be taken, written and returned while they are
// scanned. Threads: any attached mutator; one lock (kRoots) around taking and returning, none around use.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "allocator/base/defects.h"
#include "allocator/base/mutex.h"
#include "allocator/base/source_place.h"
#include "barriers/api/slot.h"

namespace keel {

class RootTable {
 public:
  /// Throws std::bad_alloc, and has changed nothing then.
  Slot* acquire(SourcePlace where);
  void release(Slot* slot);
  /// Every slot's pointer at some moment of the call, null or not. Returns the bytes looked at.
  template <typename Visit>
  uint64_t scan(Visit&& visit) {
    // Blocks stay where they are, so only finding one takes the lock: whoever takes or returns a Root
    // meanwhile waits for a few instructions. A Root that moves to a slot gone by is shaded by its barrier
    // (rule 4).
    size_t number = 0;
    while (const Block* block = block_at(number)) {
      for (const Cell& cell : *block) {
        if (defect(Defect::kRootSkipped) && &cell == &block->front()) continue;
        visit(cell.slot.load_acquire());
      }
      ++number;
    }
    return number * kBlockSlots * sizeof(Slot);
  }
  /// Calls visit(pointer, where it was taken) for every slot taken. Threads: any.
  template <typename Visit>
  void for_each_in_use(Visit&& visit) {
    MutexLock lock(mu_);
    for (const auto& block : blocks_) {
      for (const Cell& cell : *block) {
        if (cell.where.line != kFree) visit(cell.slot.load_acquire(), cell.where);
      }
    }
  }
  /// Held across fork(), so that the child finds the table whole.
  [[nodiscard]] Mutex& fork_lock() { return mu_; }
  [[nodiscard]] size_t in_use() {
    MutexLock lock(mu_);
    return blocks_.size() * kBlockSlots - free_.size();
  }

 private:
  static constexpr size_t kBlockSlots = 256;
  static constexpr int kFree = -1;  // as a line
  struct Cell {
    Slot slot;  // first: release() finds the cell by it
    SourcePlace where{"", kFree};
  };
  using Block = std::array<Cell, kBlockSlots>;
  const Block* block_at(size_t number) {
    MutexLock lock(mu_);
    return number < blocks_.size() ? blocks_[number].get() : nullptr;
  }
  Mutex mu_{LockRank::kRoots};
  std::vector<std::unique_ptr<Block>> blocks_ KEEL_GUARDED_BY(mu_);
  std::vector<Cell*> free_ KEEL_GUARDED_BY(mu_);
};

}  // namespace keel
