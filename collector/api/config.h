// How a heap is set up. One heap in a process at a time; the configuration does not change while it lives,
// except for what Heap has setters for.
#pragma once

#include <cstdint>
#include <string>

#include "allocator/base/result.h"

namespace keel {

class GcListener;

enum class Roots : uint8_t { kConservative, kPrecise };

/// How the heap goal is set (collector/pacing); a memory limit may lower any of them.
enum class GoalRule : uint8_t { kGogc, kFixed, kMembalancer };
const char* to_string(GoalRule rule);

struct DebugOptions {
  bool checkmark = false;  // mark again with the world stopped and compare (Go's gccheckmark)
  bool walk = false;       // check structure and byte accounts at every cycle
  bool poison = false;     // overwrite freed slots (Go's clobberfree)
  bool leakcheck = false;  // list what still holds on to the heap when it closes
  uint32_t stress = 0;     // collect every N allocations, tiny buffers, yields at race points; 0: off
};

struct HeapConfig {
  static constexpr int64_t kGogcOff = -1;
  static constexpr int64_t kMaxGogc = 1000000;
  static constexpr uint64_t kNoLimit = INT64_MAX;

  std::string barrier = "hybrid";
  std::string transitions = "stw";
  Roots roots = Roots::kConservative;
  int64_t gogc_percent = 100;  // or kGogcOff
  GoalRule goal = GoalRule::kGogc;
  uint64_t fixed_goal_bytes = 0;           // of GoalRule::kFixed
  double membalancer_per_mib = 0;          // of GoalRule::kMembalancer: the price of memory, 1 / MiB
  uint64_t memory_limit_bytes = kNoLimit;  // soft, on all memory (Go's GOMEMLIMIT)
  uint64_t max_heap_bytes = 0;             // hard limit on spans in use; 0: none
  uint64_t range_bytes = 0;                // addresses to reserve; 0: as many as the build allows
  bool assists = true;
  int64_t periodic_ns = 120'000'000'000;  // a cycle is forced after this long; 0: never (Go's forcegcperiod)
  uint32_t mark_workers = 0;              // 0: one per usable core
  uint32_t grey_chunks = 65536;           // bound of the grey pool, 4 KiB each
  // Off: the fault that clears a huge page takes milliseconds on a virtual machine whose host backs it on
  // first touch, and a mutator inside it cannot reach a safepoint (measured: docs/ballast.md, "Huge pages").
  bool huge_pages = false;
  uint32_t retain_percent = 10;  // kept above the goal before memory goes back to the system
  DebugOptions debug;
  bool record_roots = false;       // keep the stack words that led to objects in the last cycle
  GcListener* listener = nullptr;  // outlives the heap; null: nobody listens

  /// An error that names the option, the value and what is allowed, if the combination is unsound or out of
  /// range.
  [[nodiscard]] Result<bool> check() const;
};

}  // namespace keel
