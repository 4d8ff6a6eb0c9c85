// Heap: one collected heap in a process at a time, an object with a configuration.
//
// Threads: create and destroy on a thread that is not attached, with no mutator left. Other functions as they
// say.
// After fork() the child's heap is closed, whatever was pending and whoever forked: it can be read, Roots may
// be made and go, threads may attach and leave, allocation throws OutOfMemory with a sentence. collect(),
// free_os_memory() and the setters do nothing, check() says that it checks nothing, finalizers and cleanups
// are not taken, a Weak equals its copies only, and no report is written. Nothing waits. The child may
// destroy the heap, and make one of its own. fork() itself waits for the few locks that reading needs, each
// held for a moment.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "collector/api/config.h"
#include "collector/api/events.h"
#include "collector/api/finalizers.h"
#include "collector/api/keep_alive.h"
#include "collector/api/local.h"
#include "collector/api/make.h"
#include "collector/api/mutator.h"
#include "collector/api/ptr.h"
#include "collector/api/root.h"

namespace keel {

class HeapCore;

/// Byte counts as Go's runtime.MemStats names and means them. Exact in all fields only with the world
/// stopped; read live, counts of running mutators lag by at most one span each and layout.
struct HeapStats {
  uint64_t total_alloc_bytes = 0;  // TotalAlloc
  uint64_t mallocs = 0;
  uint64_t frees = 0;
  uint64_t heap_alloc_bytes = 0;  // HeapAlloc: allocated and not yet swept
  uint64_t heap_sys_bytes = 0;
  uint64_t heap_idle_bytes = 0;
  uint64_t heap_in_use_bytes = 0;
  uint64_t heap_released_bytes = 0;
  uint64_t heap_objects = 0;
  // Tables that describe the heap, by what they are: mark and allocation bits and grey chunks (GCSys), spans
  // (MSpanInuse, MSpanSys), thread caches (MCacheInuse, MCacheSys), the page table (OtherSys). Stacks belong
  // to the threads and are not counted (StackSys is 0).
  uint64_t gc_sys_bytes = 0;
  uint64_t span_in_use_bytes = 0;
  uint64_t span_sys_bytes = 0;
  uint64_t cache_bytes = 0;
  uint64_t other_sys_bytes = 0;
  [[nodiscard]] uint64_t sys_bytes() const {
    return heap_sys_bytes + gc_sys_bytes + span_sys_bytes + cache_bytes + other_sys_bytes;
  }
  uint64_t reserved_bytes = 0;  // addresses reserved, not Go's
  uint64_t reserved_unused_bytes = 0;
  uint64_t next_gc_bytes = 0;    // NextGC
  uint64_t heap_live_bytes = 0;  // marked by the last cycle plus allocated since: what the trigger compares
  int64_t last_gc_unix_ns = 0;   // LastGC; 0 before the first
  uint64_t pause_total_ns = 0;   // both world stops
  uint32_t num_gc = 0;
  uint32_t num_forced_gc = 0;
  double gc_cpu_fraction = 0;
  int64_t gc_cpu_ns = 0;  // marking (idle time included), assists, stops times cores; sweeping not. Not Go's
  FinalizerCounts finalizers;
  struct BySize {
    uint32_t slot_bytes = 0;
    uint64_t mallocs = 0;
    uint64_t frees = 0;
  };
  std::vector<BySize> by_size;  // size classes; large objects are in none
};

/// Go's debug.GCStats. Times of pauses are all world stops of a cycle together, as in Go.
struct GcStats {
  int64_t last_gc_unix_ns = 0;
  uint32_t num_gc = 0;
  int64_t pause_total_ns = 0;
  std::vector<int64_t> pause_ns;           // most recent first, at most 256
  std::vector<int64_t> pause_end_unix_ns;  // most recent first
  std::vector<int64_t> pause_quantiles_ns;
};

/// Go's rule (debug.ReadGCStats): with n pauses sorted, quantile i of `count` is sorted[n * i / (count - 1)],
/// the last one the maximum; all 0 without pauses. count = 5: minimum, quarter, median, three quarters,
/// maximum.
std::vector<int64_t> pause_quantiles(std::vector<int64_t> pauses_ns, size_t count);

struct LayoutStats {
  std::string layout;
  uint64_t spans = 0;
  uint64_t objects = 0;
  uint64_t used_bytes = 0;
  uint64_t waste_bytes = 0;    // span bytes that hold no object
  uint64_t pointer_words = 0;  // of the objects' words, those that hold a pointer or may
};

class Heap {
 public:
  /// Precondition: config.check() is ok and no other heap exists. Throws std::bad_alloc if no addresses can
  /// be had.
  explicit Heap(const HeapConfig& config = {});
  ~Heap();
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  /// Returns after a full cycle that began after the call, and its sweep. Concurrent calls share one.
  /// Threads: any; an attached caller is blocked meanwhile.
  void collect();
  /// As Go's debug.SetGCPercent: sets, returns the previous value. HeapConfig::kGogcOff for off. Threads:
  /// any.
  int64_t set_gc_percent(int64_t percent);
  /// As Go's debug.SetMemoryLimit: sets the soft limit on all memory, returns the previous one;
  /// HeapConfig::kNoLimit for none. Threads: any.
  uint64_t set_memory_limit(uint64_t bytes);
  /// As Go's debug.FreeOSMemory: collect(), then every free page goes back to the system. Threads: any.
  void free_os_memory();

  /// Runs `work` while no cycle runs: what stats() and gc_stats() answer in it agrees with the cycles that
  /// the listener was told of. The world runs. Threads: any; `work` runs on the cycle thread, so it asks for
  /// no cycle and stops nobody; an exception that leaves it is thrown here. In a child after fork(), where no
  /// cycle comes, it runs on the caller.
  void between_cycles(const std::function<void()>& work);

  /// Waits until every finalizer and cleanup that is queued has run, at most `limit_ns`; true if so. What is
  /// still reachable is not queued. Threads: any.
  bool run_finalizers(int64_t limit_ns);
  /// Threads: any; stops nobody. See HeapStats for what is exact.
  [[nodiscard]] HeapStats stats() const;
  /// As Go's debug.ReadGCStats, with `quantiles` quantiles. Threads: any; stops nobody.
  [[nodiscard]] GcStats gc_stats(size_t quantiles = 5) const;
  /// Spans by layout. Threads: any; stops the world for the walk.
  [[nodiscard]] std::vector<LayoutStats> layouts();
  /// Structure and byte accounts of the whole heap, with the world stopped; empty if all is well, else the
  /// first fault. Threads: any, not inside a cycle's callbacks.
  [[nodiscard]] std::string check();

  [[nodiscard]] const HeapConfig& config() const;
  /// The heap of this process, or null.
  static Heap* current();
  [[nodiscard]] HeapCore& core() { return *core_; }

 private:
  std::unique_ptr<HeapCore> core_;
};

}  // namespace keel
