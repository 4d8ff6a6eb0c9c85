// See reports/api/interval_log.h.
#include "reports/api/interval_log.h"

#include <sys/mman.h>

#include <new>

namespace keel {

IntervalLog::IntervalLog(size_t capacity) : capacity_(capacity) {
  void* memory = mmap(nullptr, capacity_ * sizeof(Entry), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  // The log's own pages must not become huge ones: they would be resident before they are written.
  madvise(memory, capacity_ * sizeof(Entry), MADV_NOHUGEPAGE);
  entries_ = static_cast<Entry*>(memory);
  exceptions_.reserve(64);
}

IntervalLog::~IntervalLog() { munmap(entries_, capacity_ * sizeof(Entry)); }

}  // namespace keel
