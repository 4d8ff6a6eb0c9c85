// Heap core: every part of a heap, joined, and the gateway through which mutators allocate.
//
// Life: constructed by Heap; threads of workers, sweeper and cycle start with it and end with it.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "barriers/api/barrier_list.h"
#include "collector/api/heap.h"
#include "collector/cycle/cycle.h"
#include "collector/mark/mark_workers.h"
#include "collector/roots/root_table.h"
#include "collector/sweep/sweeper.h"
#include "collector/world/world.h"

namespace keel {

/// Sums over mutators, alive and gone. relaxed [stats]: exact when no mutator runs.
struct AllocationTotals {
  std::atomic<uint64_t> bytes{0};
  std::atomic<uint64_t> objects{0};
};

class HeapCore {
 public:
  HeapCore(Heap& heap, const HeapConfig& config);
  ~HeapCore();

  // Mutators.
  void attach(std::string name);
  void detach();
  /// Refill's whole way: pay, sweep a share, take a hole, account, trigger. Throws OutOfMemory.
  void refill(Mutator& self, LayoutId layout);
  void* allocate_large(Mutator& self, LayoutId layout, uint64_t bytes);
  /// Settles what the mutator owes for its allocations while marking.
  void assist(Mutator& self);

  // What a handshake does to each mutator. Threads: the mutator, or the collector holding it.
  void begin_mark(Mutator& m);
  void scan_roots(Mutator& m);
  void hand_in_grey(Mutator& m);
  void end_mark(Mutator& m);
  void retire_cache(Mutator& m);
  void take_counts(Mutator& m);
  void gather(Mutator& m);

  /// In a child after fork(), on its only thread.
  void close_after_fork();
  bool closed = false;  // that thread only

  [[nodiscard]] HeapStats stats() const;

  Heap& heap;
  HeapConfig config;
  const BarrierKind& barrier;
  HeapMemory memory;
  GreyPool pool;
  World world;
  RootTable roots;
  Pacer pacer;
  AllocationTotals allocated;
  std::atomic<uint64_t> gathered_assist_ns{0};  // of this cycle, relaxed [stats]
  std::atomic<uint64_t> assist_scan_bytes{0};
  std::atomic<uint32_t> next_mutator{1};  // relaxed: only uniqueness matters
  // relaxed [mark.active]: read by mutators to know whether to pay; flips in a stop.
  std::atomic<bool> marking{false};

  /// Sums of this cycle, gathered from mutators by the collector or by detaching threads.
  struct Gathered {
    MarkCounts marks;
    uint64_t black_bytes = 0;
    uint64_t black_objects = 0;
    uint64_t stack_words = 0;
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
  void check_open() const;
  [[noreturn]] void throw_out_of_memory(uint64_t bytes);
  void account(Mutator& self, uint64_t bytes);
  void sweep_share(uint64_t bytes);
  void stress(Mutator& self);
};

}  // namespace keel
