// Blocks of specials; see special_slab.h.
#include "collector/finalize/special_slab.h"

#include "allocator/base/check.h"
#include "allocator/base/out_of_memory.h"

namespace keel {

void SpecialSlab::link(Block& block) {
  block.previous = nullptr;
  block.next = with_room_;
  if (with_room_ != nullptr) with_room_->previous = &block;
  with_room_ = &block;
}

void SpecialSlab::unlink(Block& block) {
  (block.previous != nullptr ? block.previous->next : with_room_) = block.next;
  if (block.next != nullptr) block.next->previous = block.previous;
  block.previous = block.next = nullptr;
}

SpecialSlab::Block& SpecialSlab::add_block() {
  auto block = std::make_unique<Block>();
  if (vacant_numbers_.empty()) {
    block->number = blocks();
    make_room(blocks_);
    vacant_numbers_.reserve(blocks_.capacity());  // so that give_back() cannot run out of memory
    blocks_.emplace_back();
  } else {
    block->number = vacant_numbers_.back();
    vacant_numbers_.pop_back();
  }
  for (uint32_t i = kBlockSpecials; i-- > 0;) {
    Special& special = block->specials[i];
    special.block = block->number;
    special.stripe = stripe_;
    special.next = block->free;
    block->free = &special;
  }
  Block& added = *block;
  blocks_[added.number] = std::move(block);
  link(added);
  return added;
}

Special& SpecialSlab::acquire() {
  Block& block = with_room_ != nullptr ? *with_room_ : add_block();
  Special& special = *block.free;
  block.free = special.next;
  special.next = nullptr;
  ++block.used;
  ++used_;
  if (block.free == nullptr) unlink(block);
  return special;
}

void SpecialSlab::release(Special& special) {
  KEEL_DCHECK(special.kind != SpecialKind::kFree, "specials: released twice");
  Block& block = *blocks_[special.block];
  special.what = InlineFunction();
  special.kind = SpecialKind::kFree;
  special.queued = false;
  special.object.initialize(0);
  if (block.free == nullptr) link(block);
  special.next = block.free;
  block.free = &special;
  --block.used;
  --used_;
  // One empty block stays, so that a program at the edge of a block does not make one each time.
  const bool another = with_room_ != &block || block.next != nullptr;
  if (block.used == 0 && another && walks_ == 0) give_back(block);
}

void SpecialSlab::give_back(Block& block) {
  unlink(block);
  vacant_numbers_.push_back(block.number);
  blocks_[block.number].reset();
}

void SpecialSlab::end_walk() {
  if (--walks_ != 0) return;
  for (Block* block = with_room_; block != nullptr;) {
    Block* next = block->next;
    const bool another = with_room_ != block || next != nullptr;
    if (block->used == 0 && another) give_back(*block);
    block = next;
  }
}

}  // namespace keel
