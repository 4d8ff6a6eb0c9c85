// Scenarios: small programs on the real heap, each about one place where threads of the collector meet, run
// under a session of the explorer (allocator/base/explore/session.h).
//
// A scenario is one function: it makes a heap, threads and objects, checks by its own knowledge that what it
// holds is intact and what it counts is exact, and joins everybody. Its choices follow from the seed, like
// the schedule. What it must not do: wait outside the seam, or depend on addresses or on real time.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "allocator/base/explore/session.h"
#include "allocator/base/mutex.h"
#include "allocator/base/rng.h"
#include "allocator/base/thread.h"
#include "collector/api/heap.h"

namespace keel::explore {

struct Variant {
  const char* transitions = "stw";
  const char* barrier = "hybrid";
};

struct Scenario {
  const char* name;
  const char* what;
  Variant variant;
  void (*run)(const Variant& variant, uint64_t seed);
  uint64_t expected_points;  // of one run, about: where PCT places its changes
};

std::span<const Scenario> scenarios();
const Scenario* find_scenario(const char* name);

// Parts of scenarios.

/// An object that knows when it has been freed, or is another.
struct Node {
  Ptr<Node> next;
  Ptr<Node> other;
  uint64_t number;
  uint64_t canary;
};
/// The same, in a span of few.
struct BigNode {
  Ptr<BigNode> next;
  uint64_t number;
  uint64_t canary;
  std::array<uint64_t, 125> padding;
};

}  // namespace keel::explore

KEEL_POINTERS(keel::explore::BigNode, &keel::explore::BigNode::next);

namespace keel::explore {

template <typename T>
T* make_numbered(uint64_t number) {
  T* node = make<T>();
  node->number = number;
  node->canary = ~number * 0x9e3779b97f4a7c15ULL;
  return node;
}

template <typename T>
void check_node(const T* node, uint64_t number, const char* where) {
  require(node != nullptr, "lost object: %s: null instead of number %llu", where,
          static_cast<unsigned long long>(number));
  require(node->number == number && node->canary == ~number * 0x9e3779b97f4a7c15ULL,
          "lost object: %s: number %llu, canary %llx instead of number %llu", where,
          static_cast<unsigned long long>(node->number), static_cast<unsigned long long>(node->canary),
          static_cast<unsigned long long>(number));
}

/// Precise roots, freed slots overwritten, no timer, a small range: the same run for the same seed.
HeapConfig tiny_heap(const Variant& variant);

/// Names the calling thread in reports.
void name_thread(const char* name);

/// The heap is whole, and holds nothing any more. Threads: not attached, nobody else left.
void require_empty(Heap& heap);

/// A few chains of nodes in a row object, and what must be in them.
struct Row {
  static constexpr size_t kSlots = 4;
  std::array<Ptr<Node>, kSlots> slots;
};

class Chains {
 public:
  /// Numbers begin with `first`. Threads: the attached thread that makes it; it goes on that thread.
  explicit Chains(uint64_t first) : next_number_(first), row_(make<Row>()) {}
  /// One random change: a chain hidden behind a new node, dropped, moved, taken out so that only a local
  /// holds it, or put back; or a safepoint, or a blocking region.
  void change(Rng& rng);
  /// Swaps a chain with `shared`, under its lock.
  struct Shared {
    RawMutex mu;
    Root<Row> row;
    std::array<std::vector<uint64_t>, Row::kSlots> numbers;
  };
  void swap_with(Shared& shared, Rng& rng);
  void check() const;
  static void check_chain(const Node* head, const std::vector<uint64_t>& numbers);

 private:
  static constexpr size_t kLongest = 3;
  uint64_t next_number_;
  Root<Row> row_;
  std::array<std::vector<uint64_t>, Row::kSlots> numbers_;
  PreciseLocal<Node> held_;  // a chain that nothing else leads to
  std::vector<uint64_t> held_numbers_;
};

}  // namespace keel::explore
