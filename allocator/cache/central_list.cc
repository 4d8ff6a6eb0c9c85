// Lists of spans by sweep parity; see central_list.h.
#include "allocator/cache/central_list.h"

namespace keel {

Span* CentralList::take_partial(uint32_t cycle) {
  MutexLock lock(mu_);
  return sets_[cycle & 1].partial.pop();
}

Span* CentralList::take_unswept(uint32_t cycle) {
  MutexLock lock(mu_);
  Set& old = sets_[(cycle & 1) ^ 1];
  Span* span = old.partial.pop();
  return span != nullptr ? span : old.full.pop();
}

void CentralList::put(Span& span, uint32_t cycle, uint32_t slots) {
  MutexLock lock(mu_);
  Set& swept = sets_[cycle & 1];
  (span.live_slots < slots ? swept.partial : swept.full).push(span);
}

uint64_t CentralList::unswept(uint32_t cycle) const {
  MutexLock lock(mu_);
  return sets_[(cycle & 1) ^ 1].size();
}

}  // namespace keel
