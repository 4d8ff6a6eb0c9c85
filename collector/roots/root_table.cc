// Blocks of slots; see root_table.h.
#include "collector/roots/root_table.h"

#include <cstddef>

namespace keel {

Slot* RootTable::acquire(SourcePlace where) {
  MutexLock lock(mu_);
  if (free_.empty()) {
    blocks_.push_back(std::make_unique<Block>());
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
