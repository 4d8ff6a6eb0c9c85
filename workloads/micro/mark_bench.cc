// How fast marking is by the shape of the heap: one wide pointer array (scanned in pieces that workers
// share), a long linked list (no parallelism in the graph), a tree, a random graph (every edge a cache miss),
// and memory without pointers. One source builds each shape on Keel and on Boehm's collector. Each iteration
// is a forced collection; the time is that of its mark phase. Keel's workers argument is --mark-workers;
// Boehm uses the markers that the context line names.
#include <benchmark/benchmark.h>

#include "allocator/base/rng.h"
#include "collector/api/heap.h"
#include "workloads/backends/keel_backend.h"
#include "workloads/micro/other_collectors.h"
#ifdef KEEL_MICRO_BOEHM
#include "workloads/backends/boehm_backend.h"
#endif

namespace keel {
namespace {

constexpr uint64_t kObjects = 1'000'000;

template <typename B>
struct Node {
  typename B::template Field<Node> left;
  typename B::template Field<Node> right;
  uint64_t number;
};
struct Leaf {
  static constexpr bool kNoPointers = true;
  std::array<uint64_t, 2> words;
};

// A shape is what it builds behind one root, and how many objects that is.
struct WideArray {
  static constexpr uint64_t kCount = kObjects + 1;
  template <typename B>
  struct On {
    using Slot = typename B::template Field<Leaf>;
    typename B::template Root<Slot> root;
    On() {
      root.reset(B::template make_array<Slot>(kObjects));
      for (uint64_t i = 0; i < kObjects; ++i) root.get()[i] = B::template make<Leaf>();
    }
  };
};
struct List {
  static constexpr uint64_t kCount = kObjects;
  template <typename B>
  struct On {
    typename B::template Root<Node<B>> root;
    On() {
      for (uint64_t i = 0; i < kObjects; ++i) {
        typename B::template Local<Node<B>> node = B::template make<Node<B>>();
        node->left = root.get();
        root.reset(&*node);
      }
    }
  };
};
// All nodes from one table, so that the shapes below differ in their edges only. The table dies with this.
template <typename B>
class Nodes {
 public:
  Nodes() {
    table_.reset(B::template make_array<Slot>(kObjects));
    for (uint64_t i = 0; i < kObjects; ++i) table_.get()[i] = B::template make<Node<B>>();
  }
  ~Nodes() { table_.reset(); }
  Node<B>* operator[](uint64_t i) { return table_.get()[i].get(); }

 private:
  using Slot = typename B::template Field<Node<B>>;
  typename B::template Root<Slot> table_;
};
struct Tree {
  static constexpr uint64_t kCount = kObjects;
  template <typename B>
  struct On {
    typename B::template Root<Node<B>> root;
    // Complete, in breadth-first order: node i has children 2i + 1 and 2i + 2.
    On() {
      Nodes<B> nodes;
      for (uint64_t i = 0; i < kObjects; ++i) {
        if (2 * i + 1 < kObjects) nodes[i]->left = nodes[2 * i + 1];
        if (2 * i + 2 < kObjects) nodes[i]->right = nodes[2 * i + 2];
      }
      root.reset(nodes[0]);
    }
  };
};
struct RandomGraph {
  static constexpr uint64_t kCount = kObjects;
  template <typename B>
  struct On {
    typename B::template Root<Node<B>> root;
    // One cycle through all nodes in random order, so that all are reachable, and one random edge each.
    On() {
      Nodes<B> nodes;
      Rng rng(1);
      std::vector<uint32_t> order(kObjects);
      for (uint32_t i = 0; i < kObjects; ++i) order[i] = i;
      for (uint64_t i = kObjects; i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
      for (uint64_t i = 0; i < kObjects; ++i) {
        nodes[order[i]]->left = nodes[order[(i + 1) % kObjects]];
        nodes[order[i]]->right = nodes[rng.below(kObjects)];
      }
      root.reset(nodes[0]);
    }
  };
};
struct NoPointers {
  static constexpr uint64_t kCount = 1;
  template <typename B>
  struct On {
    typename B::template Root<uint64_t> root;
    On() { root.reset(B::template make_array<uint64_t>(8 * kObjects)); }
  };
};

class LastCycle final : public NullListener {
 public:
  void on_cycle(const CycleRecord& cycle) override { last = cycle; }
  CycleRecord last;  // read after collect() has returned
};

template <typename Shape>
void mark(benchmark::State& state) {
  LastCycle cycles;
  HeapConfig config;
  config.roots = Roots::kPrecise;
  config.gogc_percent = HeapConfig::kGogcOff;
  config.mark_workers = static_cast<uint32_t>(state.range(0));
  config.listener = &cycles;
  Heap heap(config);
  MutatorScope scope(heap);
  typename Shape::template On<KeelBackend<true>> shape;
  heap.collect();
  double cpu_ns = 0;
  for (auto _ : state) {
    heap.collect();
    const CycleRecord& c = cycles.last;
    state.SetIterationTime(static_cast<double>(c.mark_termination_ns - c.mark_begin_ns) / 1e9);
    cpu_ns += static_cast<double>(c.dedicated_cpu_ns + c.fractional_cpu_ns + c.idle_cpu_ns);
  }
  const auto marks = static_cast<double>(state.iterations());
  const auto objects = static_cast<double>(cycles.last.marked_objects);
  if (cycles.last.marked_objects < Shape::kCount) state.SkipWithError("fewer objects marked than built");
  state.counters["objects/s"] = benchmark::Counter(objects * marks, benchmark::Counter::kIsRate);
  state.counters["cpu_ns/object"] = cpu_ns / marks / objects;
  shape.root.reset();
}

#ifdef KEEL_MICRO_BOEHM
template <typename Shape>
void boehm_mark(benchmark::State& state) {
  micro::BoehmThread known;
  typename Shape::template On<BoehmBackend> shape;
  micro::boehm_mark_ns();
  for (auto _ : state) state.SetIterationTime(static_cast<double>(micro::boehm_mark_ns()) / 1e9);
  const auto marks = static_cast<double>(state.iterations());
  state.counters["objects/s"] = benchmark::Counter(Shape::kCount * marks, benchmark::Counter::kIsRate);
  shape.root.reset();
  micro::boehm_mark_ns();
}
#endif

template <typename Shape>
void register_shape(const std::string& name) {
  auto* bench = benchmark::RegisterBenchmark(("mark/" + name).c_str(), mark<Shape>);
  bench->ArgName("workers")->Arg(1)->Arg(2)->UseManualTime()->Unit(benchmark::kMillisecond);
#ifdef KEEL_MICRO_BOEHM
  benchmark::RegisterBenchmark(("mark/boehm/" + name).c_str(), boehm_mark<Shape>)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
#endif
}
const bool g_registered = [] {
  register_shape<WideArray>("wide-array");
  register_shape<List>("list");
  register_shape<Tree>("tree");
  register_shape<RandomGraph>("random-graph");
  register_shape<NoPointers>("pointer-free");
  return true;
}();

}  // namespace
}  // namespace keel
