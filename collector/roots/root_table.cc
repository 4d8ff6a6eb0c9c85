// Blocks of slots; see root_table.h.
#include "collector/roots/root_table.h"

#include <cstddef>

#include "allocator/base/out_of_memory.h"

namespace keel {

Slot* RootTable::acquire(SourcePlace where) {
  MutexLock lock(mu_);
  if (free_.empty()) {
    make_room(blocks_);
    auto block = std::make_unique<Block>();
    free_.reserve((blocks_.size() + 1) * kBlockSlots);  // so that release() cannot run out of memory
    blocks_.push_back(std::move(block));
    for (size_t i = kBlockSlots; i-- > 0;) free_.push_back(&(*blocks_.back())[i]);
  }
  Cell* cell = free_.back();
  free_.pop_back();
  cell->where = where;
  return &cell->slot;
}

void RootTable::release(Slot* slot) {
  static_assert(offsetof(Cell, slot) == 0);
  MutexLock lock(mu_);
  auto* cell = reinterpret_cast<Cell*>(slot);
  cell->where.line = kFree;
  free_.push_back(cell);
}

}  // namespace keel
