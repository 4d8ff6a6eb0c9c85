// Root table: the slots behind every Root<T>.
//
// Slots are heap slots to the barrier (rule 4), so they may be taken, written and returned while they are
// scanned. Threads: any attached mutator; one lock (kRoots) around taking and returning, none around use.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "allocator/base/mutex.h"
#include "barriers/api/slot.h"

namespace keel {

class RootTable {
 public:
  Slot* acquire();
  void release(Slot* slot);
  /// Every slot's pointer at some moment of the call, null or not. Returns the bytes looked at.
  template <typename Visit>
  uint64_t scan(Visit&& visit) {
    MutexLock lock(mu_);
    for (const auto& block : blocks_) {
      for (const Slot& slot : *block) visit(slot.load_acquire());
    }
    return blocks_.size() * sizeof(Block);
  }
  [[nodiscard]] size_t in_use() {
    MutexLock lock(mu_);
    return blocks_.size() * kBlockSlots - free_.size();
  }

 private:
  static constexpr size_t kBlockSlots = 256;
  using Block = std::array<Slot, kBlockSlots>;
  Mutex mu_{LockRank::kRoots};
  std::vector<std::unique_ptr<Block>> blocks_ KEEL_GUARDED_BY(mu_);
  std::vector<Slot*> free_ KEEL_GUARDED_BY(mu_);
};

}  // namespace keel
