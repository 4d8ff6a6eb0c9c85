// See reports/api/interval_log.h.
#include "reports/api/interval_log.h"

#include <cerrno>

#include "allocator/base/os_memory.h"

namespace keel {

IntervalLog::IntervalLog(size_t capacity) : capacity_(capacity) {
  // Without huge pages, which would be resident before they are written.
  void* memory = os::reserve_metadata(capacity_ * sizeof(Entry));
  if (memory == nullptr) throw os::Refused("recorder: mmap", capacity_ * sizeof(Entry), errno);
  entries_ = static_cast<Entry*>(memory);
  exceptions_.reserve(64);
}

IntervalLog::~IntervalLog() { os::unreserve(entries_, capacity_ * sizeof(Entry)); }

}  // namespace keel
