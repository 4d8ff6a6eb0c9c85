// Blocks of slots; see root_table.h.
#include "collector/roots/root_table.h"

namespace keel {

Slot* RootTable::acquire() {
  MutexLock lock(mu_);
  if (free_.empty()) {
    blocks_.push_back(std::make_unique<Block>());
    for (size_t i = kBlockSlots; i-- > 0;) free_.push_back(&(*blocks_.back())[i]);
  }
  Slot* slot = free_.back();
  free_.pop_back();
  return slot;
}

void RootTable::release(Slot* slot) {
  MutexLock lock(mu_);
  free_.push_back(slot);
}

}  // namespace keel
