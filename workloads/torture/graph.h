// Graph: a graph of objects on the heap with its shadow, its roots and its weak pointers, and what can be
// done to it. One thread at a time; handed over whole.
//
// Every change is made on the heap and in the shadow, allocation first: if memory is out, neither has
// changed. Locals are LocalFor<kPrecise, Any>, so that the same source is exact under precise roots.
#pragma once

#include <utility>

#include "workloads/torture/shared.h"

namespace keel::torture {

/// One action of one thread: its random numbers follow from seed, thread and number alone, whatever the
/// actions before it met.
struct Turn {
  Turn(uint64_t seed, uint32_t t, uint64_t n)
      : rng(seed * 0x9e3779b97f4a7c15 ^ (uint64_t{t} << 40) ^ n), thread(t), number(n) {}
  uint64_t new_id() { return uint64_t{thread + 1} << 44 | number << 12 | next++; }

  Rng rng;
  const uint32_t thread;
  const uint64_t number;
  uint64_t next = 0;
};

template <bool kPrecise>
class Graph {
 public:
  template <typename T>
  using Local = LocalFor<kPrecise, T>;

  Graph(Tally& tally, Ends& ends, uint64_t budget_bytes)
      : tally_(tally), ends_(ends), budget_bytes_(budget_bytes) {}

  /// The graph's own actions; false if the action is not one of a graph. Throws Fault, OutOfMemory.
  bool act(Action action, Turn& turn);
  /// Compares everything that is reachable, and its roots. Throws Fault.
  void check();
  /// HeapAlloc of each object that is reachable, by id.
  void add_live(std::unordered_map<uint64_t, uint64_t>& bytes_of) const {
    set_.add_reachable(numbers(), bytes_of);
  }
  void drop_all();

  // Building blocks, for what is not a graph's: into any set, at first unreachable.
  /// A fresh object, its words written.
  static Local<Any> fresh(Turn& turn, Tally& tally, ShadowSet& set, const Body& body, int& n);
  /// A tree that never changes: number 0 of an empty set, and below it up to `depth` levels. With `ends`,
  /// some of its objects get finalizers.
  static Local<Any> tree(Turn& turn, Tally& tally, Ends* ends, ShadowSet& set, int depth, int& n);

 private:
  struct Held {
    Root<Any> root;
    ShadowEdge at;
  };
  struct Watched {
    Weak<Any> weak;
    ShadowEdge at;
  };
  static constexpr size_t kMostRoots = 12;
  static constexpr size_t kMostWatched = 24;

  [[nodiscard]] std::vector<int> numbers() const;
  [[nodiscard]] uint64_t most_bytes(Turn& turn) const;
  int walk(Turn& turn, Local<Any>& at);
  bool change_edge(Turn& turn, Local<Any>& parent, int p, Any* target, ShadowEdge edge);
  void hold(Any* target, ShadowEdge at);
  ShadowEdge interior(Turn& turn, int n) const;

  void add(Turn& turn);
  void unlink(Turn& turn);
  void move(Turn& turn);
  void connect(Turn& turn);
  void bulk(Turn& turn);
  void cut(Turn& turn);
  void change_roots(Action action, Turn& turn);
  void weak_add(Turn& turn);
  void weak_look(Turn& turn);
  void tree_add(Turn& turn);
  void adopt(Turn& turn);
  void disarm(Turn& turn);
  void cleanup_add(Turn& turn);
  void cleanup_stop(Turn& turn);
  void keep_within_budget();

  Tally& tally_;
  Ends& ends_;
  const uint64_t budget_bytes_;
  ShadowSet set_;
  std::vector<Held> roots_;
  std::vector<Watched> watched_;
  struct Tended {
    Ends::Registered registered;
    int n;
  };
  std::vector<Tended> tended_;
};

}  // namespace keel::torture
