// Memory figures, eager scavenging, and what the CPU limiter is told; see memory_keeper.h.
#include "collector/cycle/memory_keeper.h"

#include <algorithm>

#include "allocator/base/atomic.h"
#include "allocator/base/clock.h"

namespace keel {

MemoryKeeper::MemoryKeeper(HeapMemory& memory, Pacer& pacer, const Atomic<uint64_t>& allocated_bytes,
                           int cores)
    : memory_(memory),
      pacer_(pacer),
      allocated_bytes_(allocated_bytes),
      cores_(cores),
      limiter_(now_ns(), cores),
      last_process_cpu_ns_(process_cpu_ns()) {}

MemoryFigures MemoryKeeper::figures() const {
  const PageHeapStats pages = memory_.pages().stats();
  const uint64_t freed = memory_.freed().bytes.load(std::memory_order_relaxed);
  MemoryFigures figures;
  figures.mapped_bytes = pages.in_use_bytes + pages.dirty_bytes + memory_.metadata_bytes();
  figures.heap_free_bytes = pages.dirty_bytes;
  figures.heap_allocated_bytes = std::max(freed, allocated_bytes_.load(std::memory_order_relaxed)) - freed;
  return figures;
}

void MemoryKeeper::update_goal() {
  if (pacer_.has_memory_limit()) pacer_.update_memory(figures());
}

void MemoryKeeper::look() {
  if (!pacer_.has_memory_limit()) return;
  const MemoryFigures now = figures();
  const uint64_t limit = pacer_.memory_limit_bytes();
  if (now.mapped_bytes > limit && now.heap_free_bytes > 0 && !limiter_.limiting()) {
    const int64_t begin = now_ns();
    const uint64_t over = std::min(now.mapped_bytes - limit, now.heap_free_bytes);
    eager_.fetch_add(memory_.pages().release_idle(now.heap_free_bytes - over, over),
                     std::memory_order_relaxed);
    const int64_t used = now_ns() - begin;
    scavenge_ns_.fetch_add(used, std::memory_order_relaxed);
    add_assist(used);
  }
  update_goal();
}

void MemoryKeeper::update_limiter_locked(int64_t now) {
  const int64_t window = (now - limiter_.last_update_ns()) * cores_;
  const int64_t cpu = process_cpu_ns();
  const int64_t unused = std::max<int64_t>(0, window - (cpu - last_process_cpu_ns_));
  last_process_cpu_ns_ = cpu;
  limiter_.update(now, assist_ns_.exchange(0, std::memory_order_relaxed),
                  unused + idle_mark_ns_.exchange(0, std::memory_order_relaxed));
}

void MemoryKeeper::update_limiter() {
  MutexLock lock(mu_);
  const int64_t now = now_ns();
  if (now - limiter_.last_update_ns() > CpuLimiter::kPeriodNs) update_limiter_locked(now);
}

void MemoryKeeper::record_stop(int64_t begin_ns, int64_t end_ns, bool marking) {
  MutexLock lock(mu_);
  update_limiter_locked(begin_ns);
  limiter_.stop(begin_ns, end_ns, marking);
  last_process_cpu_ns_ = process_cpu_ns();
}

}  // namespace keel
