// How fast marking is by the shape of the heap: one huge pointer array (scanned in pieces that workers
// share), a long linked list (no parallelism in the graph), a tree, and objects without pointers. Each
// iteration is a forced cycle; the time is that of its mark phase, and the workers argument is
// --mark-workers.
#include <benchmark/benchmark.h>

#include "collector/api/heap.h"

namespace keel {
namespace {

struct Node {
  Ptr<Node> left;
  Ptr<Node> right;
  uint64_t number;
};
struct Leaf {
  std::array<uint64_t, 2> words;
};

constexpr uint64_t kObjects = 1'000'000;

class LastCycle final : public NullListener {
 public:
  void on_cycle(const CycleRecord& cycle) override { last = cycle; }
  CycleRecord last;  // read after collect() has returned
};

// `build` fills the root; then one forced cycle an iteration.
template <typename T, typename Build>
void mark(benchmark::State& state, Build&& build) {
  LastCycle cycles;
  HeapConfig config;
  config.roots = Roots::kPrecise;
  config.gogc_percent = HeapConfig::kGogcOff;
  config.mark_workers = static_cast<uint32_t>(state.range(0));
  config.listener = &cycles;
  Heap heap(config);
  MutatorScope scope(heap);
  Root<T> root;
  build(root);
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
  state.counters["objects/s"] = benchmark::Counter(objects * marks, benchmark::Counter::kIsRate);
  state.counters["cpu_ns/object"] = cpu_ns / marks / objects;
  root.reset();
}

void array(benchmark::State& state) {
  mark<Ptr<Leaf>>(state, [](Root<Ptr<Leaf>>& root) {
    root.reset(make_array<Ptr<Leaf>>(kObjects));
    for (uint64_t i = 0; i < kObjects; ++i) root.get()[i] = make<Leaf>();
  });
}
void list(benchmark::State& state) {
  mark<Node>(state, [](Root<Node>& root) {
    for (uint64_t i = 0; i < kObjects; ++i) {
      PreciseLocal<Node> node = make<Node>();
      node->left = root.get();
      root.reset(node.get());
    }
  });
}
void tree(benchmark::State& state) {
  mark<Ptr<Node>>(state, [](Root<Ptr<Node>>& root) {
    // A complete tree in breadth-first order: node i has children 2i + 1 and 2i + 2.
    root.reset(make_array<Ptr<Node>>(1));
    PreciseLocal<Ptr<Node>> nodes = make_array<Ptr<Node>>(kObjects);
    for (uint64_t i = kObjects; i-- > 0;) {
      PreciseLocal<Node> node = make<Node>();
      if (2 * i + 1 < kObjects) node->left = nodes.get()[2 * i + 1].get();
      if (2 * i + 2 < kObjects) node->right = nodes.get()[2 * i + 2].get();
      nodes.get()[i] = node.get();
    }
    root.get()[0] = nodes.get()[0].get();
  });
}
void noscan(benchmark::State& state) {
  mark<uint64_t>(state, [](Root<uint64_t>& root) { root.reset(make_array<uint64_t>(8 * kObjects)); });
}

void shape(benchmark::internal::Benchmark* bench) {
  bench->ArgName("workers")->Arg(1)->Arg(2)->UseManualTime()->Unit(benchmark::kMillisecond);
}
BENCHMARK(array)->Name("mark/array")->Apply(shape);
BENCHMARK(list)->Name("mark/list")->Apply(shape);
BENCHMARK(tree)->Name("mark/tree")->Apply(shape);
BENCHMARK(noscan)->Name("mark/noscan")->Apply(shape);

}  // namespace
}  // namespace keel
