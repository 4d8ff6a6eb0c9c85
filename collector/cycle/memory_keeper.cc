// Memory figures, eager scavenging, and what the CPU limiter is told; see memory_keeper.h.
#include "collector/cycle/memory_keeper.h"

#include <algorithm>
#include <utility>

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

void MemoryKeeper::update_limiter_locked(int64_t now, int64_t process_cpu) {
  const int64_t window = (now - limiter_.last_update_ns()) * cores_;
  const int64_t unused = std::max<int64_t>(0, window - (process_cpu - last_process_cpu_ns_));
  last_process_cpu_ns_ = process_cpu;
  limiter_.update(now, assist_ns_.exchange(0, std::memory_order_relaxed),
                  unused + idle_mark_ns_.exchange(0, std::memory_order_relaxed) + new_sweep_ns_);
  uncharged_sweep_ns_ += std::exchange(new_sweep_ns_, 0);
}

void MemoryKeeper::add_sweeping(int64_t ns) {
  MutexLock lock(mu_);
  new_sweep_ns_ += ns;
}

void MemoryKeeper::update_limiter() {
  MutexLock lock(mu_);
  const int64_t now = now_ns();
  if (now - limiter_.last_update_ns() > CpuLimiter::kPeriodNs) update_limiter_locked(now, process_cpu_ns());
}

void MemoryKeeper::record_stop(const StandingTime& stood, bool marking) {
  MutexLock lock(mu_);
  update_limiter_locked(stood.begin_ns, stood.begin_process_cpu_ns);
  const int64_t process_cpu = stood.end_process_cpu_ns - stood.begin_process_cpu_ns;
  const StopUse use{stood.end_ns - stood.begin_ns, stood.slept_ns, stood.cycle_cpu_ns, process_cpu};
  const int64_t cost = stop_cost_ns(use, cores_) + std::exchange(uncharged_sweep_ns_, 0);
  limiter_.stop(stood.begin_ns, stood.end_ns, cost, marking);
  last_process_cpu_ns_ = stood.end_process_cpu_ns;
}

void MemoryKeeper::record_marking(bool marking) {
  const int64_t now = now_ns();
  const int64_t cpu = process_cpu_ns();
  record_stop({now, now, cpu, cpu}, marking);
}

}  // namespace keel
