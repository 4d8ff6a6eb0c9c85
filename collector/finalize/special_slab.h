// Special slab: the memory of one stripe's specials, in blocks of 64, each given back once it is empty.
//
// A special keeps its address from acquire() to release(). While a walk is on, no block is given back, so
// that the walker may let go of the stripe's lock between blocks. Threads: the caller holds the stripe's
// lock.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "collector/finalize/special.h"

namespace keel {

class SpecialSlab {
 public:
  static constexpr uint32_t kBlockSpecials = 64;

  explicit SpecialSlab(uint16_t stripe) : stripe_(stripe) {}
  SpecialSlab(const SpecialSlab&) = delete;
  SpecialSlab& operator=(const SpecialSlab&) = delete;

  /// A special of kind kFree for the caller to fill in. Throws std::bad_alloc.
  Special& acquire();
  /// Takes it back; what it held is destroyed here.
  void release(Special& special);

  /// Blocks ever needed at once: visit_block() knows every number below it. Grows during a walk.
  [[nodiscard]] uint32_t blocks() const { return static_cast<uint32_t>(blocks_.size()); }
  /// Calls visit(Special&) for every special of a block that is not free.
  template <typename Visit>
  void visit_block(uint32_t number, Visit&& visit) {
    if (blocks_[number] == nullptr) return;
    for (Special& special : blocks_[number]->specials) {
      if (special.kind != SpecialKind::kFree) visit(special);
    }
  }
  void begin_walk() { ++walks_; }
  void end_walk();
  [[nodiscard]] uint64_t used() const { return used_; }
  /// Blocks that exist. For tests.
  [[nodiscard]] uint32_t resident_blocks() const {
    return blocks() - static_cast<uint32_t>(vacant_numbers_.size());
  }

 private:
  struct Block {
    Special* free = nullptr;
    uint32_t used = 0;
    uint32_t number = 0;
    // Among blocks with room.
    Block* previous = nullptr;
    Block* next = nullptr;
    std::array<Special, kBlockSpecials> specials;
  };
  Block& add_block();
  void link(Block& block);
  void unlink(Block& block);
  void give_back(Block& block);

  const uint16_t stripe_;
  uint32_t walks_ = 0;
  uint64_t used_ = 0;
  Block* with_room_ = nullptr;
  std::vector<std::unique_ptr<Block>> blocks_;  // by number; null where a block was given back
  std::vector<uint32_t> vacant_numbers_;
};

}  // namespace keel
