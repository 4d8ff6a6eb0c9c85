// Heap core: every part of a heap, joined, and the gateway through which mutators allocate.
//
// Life: constructed by Heap; threads of workers, sweeper and cycle start with it and end with it.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "allocator/base/atomic.h"
#include "barriers/api/barrier_list.h"
#include "collector/api/heap.h"
#include "collector/cycle/cycle.h"
#include "collector/cycle/memory_keeper.h"
#include "collector/cycle/room_queue.h"
#include "collector/finalize/finalizer_queue.h"
#include "collector/finalize/special_table.h"
#include "collector/mark/mark_workers.h"
#include "collector/pacing/assist_queue.h"
#include "collector/roots/root_table.h"
#include "collector/sweep/sweeper.h"
#include "collector/world/world.h"

namespace keel {

/// Sums over mutators, alive and gone. relaxed [stats]: exact when no mutator runs.
struct AllocationTotals {
  Atomic<uint64_t> bytes{0};
  Atomic<uint64_t> objects{0};
};

/// Long work of the allocator is done in a blocking region.
class BlockingAway final : public AwayHook {
 public:
  void run_away(void (*work)(void*), void* argument) override {
    blocking([work, argument] { work(argument); });
  }
};

class HeapCore {
 public:
  HeapCore(Heap& heap, const HeapConfig& config);
  ~HeapCore();

  // Mutators.
  void attach(std::string name, SourcePlace where);
  void detach();
  /// Refill's whole way: pay, sweep a share, take a hole, account, trigger. Throws OutOfMemory.
  void refill(Mutator& self, LayoutId layout);
  void* allocate_large(Mutator& self, LayoutId layout, uint64_t bytes);
  /// The caller's own marker while its barrier is on, else null.
  static Marker* active_marker(Mutator& self);
  /// The last mark that the mutator knows to be over.
  static uint32_t weak_cycle(const Mutator& self) { return self.weak_cycle_; }
  /// Settles what the mutator owes for its allocations while marking.
  void assist(Mutator& self);

  /// What every mutator has acknowledged, and what a thread that attaches takes over.
  enum class Phase : uint8_t {
    kOff,
    kBarrier,  // barriers are on
    kBlack,    // and allocation is black
    kMark,     // and every stack has been scanned once
    kEnding,   // marking is over and barriers are off, allocation is still black
  };
  /// Threads: the cycle thread, holding the registry (in a stop, or at the end of a round).
  void set_phase(Phase phase);

  // What a handshake does to each mutator. Threads: the mutator, or the collector holding it.
  void raise_barrier(Mutator& m);
  void begin_black(Mutator& m);
  void scan_roots(Mutator& m);
  /// Grey objects that its barrier and marker hold go to the pool; with `rescan` those its stack leads to as
  /// well.
  void hand_in_grey(Mutator& m, bool rescan);
  void lower_barrier(Mutator& m);
  /// Gives the cache back; from now on the mutator is in cycle `next`.
  void retire_cache(Mutator& m, uint32_t next);
  void take_counts(Mutator& m);
  void gather(Mutator& m);

  /// The locks that fork() holds, in order of rank: what they guard is whole in the child and can be read
  /// there. No other lock is taken there, for it may never be released.
  [[nodiscard]] std::array<Mutex*, 5> fork_locks();
  /// In a child after fork(), on its only thread.
  void close_after_fork();
  bool closed = false;  // written by that thread, before others start

  [[nodiscard]] HeapStats stats() const;

  Heap& heap;
  HeapConfig config;
  const BarrierKind& barrier;
  BlockingAway away;
  HeapMemory memory;
  GreyPool pool;
  World world;
  RootTable roots;
  FinalizerQueue finalizers;
  SpecialTable specials;
  Pacer pacer;
  AssistQueue assists{pacer};
  AllocationTotals allocated;
  MemoryKeeper keeper;
  RoomQueue room;
  Atomic<uint64_t> gathered_assist_ns{0};  // of this cycle, relaxed [stats]
  Atomic<uint64_t> assist_scan_bytes{0};
  Atomic<uint64_t> next_cycle_bytes{0};  // allocated by threads that are in the next cycle already
  Atomic<uint32_t> attached{0};          // mutators now; relaxed [stats]
  Atomic<uint32_t> next_mutator{1};      // relaxed: only uniqueness matters
  Phase phase = Phase::kOff;             // registry lock
  // relaxed [mark.active]: read by mutators to know whether to pay; a stale value pays a hole late.
  Atomic<bool> marking{false};

  /// Sums of this cycle, gathered from mutators by the collector or by detaching threads.
  struct Gathered {
    MarkCounts marks;
    uint64_t black_bytes = 0;
    uint64_t black_objects = 0;
    uint64_t stack_words = 0;
    uint64_t rescanned_words = 0;
    uint64_t stack_hits = 0;
    uint64_t shaded = 0;
    uint64_t flushes = 0;
  };
  Mutex gathered_mu{LockRank::kLeaf};
  Gathered gathered KEEL_GUARDED_BY(gathered_mu);
  std::vector<RootHit> hits
      KEEL_GUARDED_BY(gathered_mu);  // of the last mark, if config.record_roots or checkmark

  // Started last, stopped first.
  std::unique_ptr<Sweeper> sweeper;
  std::unique_ptr<MarkWorkers> workers;
  std::unique_ptr<Cycle> cycle;

 private:
  void attach_closed(std::unique_ptr<Mutator> self);
  void check_open() const;
  [[noreturn]] void throw_out_of_memory(uint64_t bytes, const char* why);
  void account(Mutator& self, const Layout& layout, uint64_t bytes);
  void sweep_share(Mutator& self, uint64_t bytes);
  void record_pause(Mutator& self, PauseKind kind, int64_t begin_ns);
  template <typename Take>
  auto take_room(Mutator& self, Take&& take);
  void pay(Mutator& self);
  uint64_t scan_for_debt(Mutator& self);
  void wait_for_credit(Mutator& self);
  void wait_for_mark(Mutator& self);
  [[nodiscard]] bool must_wait() const;
  void charge(Mutator& self, uint64_t bytes);

 public:
  /// Adjusts the assist ratio to what has been scanned and allocated. Threads: any.
  void revise_ratio();

 private:
  void stress(Mutator& self);
};

}  // namespace keel
