// Sweeper: turns the marks of the last cycle into free slots, span by span, never inside a stop; and decides
// what has become of a span's finalizers, cleanups and weak pointers (collector/finalize/special_table.h).
//
// A span is swept by whoever takes it from a list: a mutator that needs a slot (lazily), a mutator paying its
// proportional share (spans per allocated byte, as Go's proportional sweep), or the background thread, which
// uses at most a quarter of one core. All of it is over before the next cycle scans a root (rule 3). Threads:
// sweep_span() from any; start(), finish(), wait_for_pages() from the cycle thread.
#pragma once

#include <cstdint>

#include "allocator/base/atomic.h"
#include "allocator/base/thread.h"
#include "allocator/memory/heap_memory.h"

namespace keel {

class SpecialTable;

class Sweeper final : public SweepHook {
 public:
  Sweeper(HeapMemory& memory, SpecialTable& specials);
  ~Sweeper() override;

  void sweep_span(Span& span, uint32_t cycle) override;

  /// Lets the background thread work. `retain_bytes`: free pages go back to the system after the sweep as
  /// long as spans in use and free dirty pages together exceed this.
  void start(uint64_t retain_bytes);
  /// Sweeps whatever is left and waits until the background thread holds no span.
  void finish();
  /// Waits until the pages of dead large spans, which may be on their way to the system after the sweep, are
  /// free. World running.
  void wait_for_pages();

  // relaxed [stats]. CPU time of sweeping on all threads: one span of 16 is timed and counted for all.
  [[nodiscard]] int64_t sweep_ns() const { return sweep_ns_.load(std::memory_order_relaxed); }
  /// CPU time of the background thread giving pages back, and the bytes it gave.
  [[nodiscard]] int64_t release_ns() const { return release_ns_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t released_bytes() const { return released_bytes_.load(std::memory_order_relaxed); }

 private:
  void run();
  void sweep_untimed(Span& span, uint32_t cycle);

  HeapMemory& memory_;
  SpecialTable& specials_;
  Mutex mu_{LockRank::kCollect};
  ConditionVariable wake_;
  bool working_ KEEL_GUARDED_BY(mu_) = false;  // the thread holds, or may take, a span
  bool wanted_ KEEL_GUARDED_BY(mu_) = false;   // there may be spans to sweep
  bool releasing_ KEEL_GUARDED_BY(mu_) =
      false;  // swept: idle pages may go back, also while the next mark runs
  bool stopping_ KEEL_GUARDED_BY(mu_) = false;
  uint64_t retain_bytes_ KEEL_GUARDED_BY(mu_) = 0;
  Atomic<int64_t> sweep_ns_{0};
  Atomic<int64_t> release_ns_{0};
  Atomic<uint64_t> released_bytes_{0};
  Thread thread_;
};

}  // namespace keel
