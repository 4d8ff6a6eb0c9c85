// CONFIG: barriers=hybrid roots=precise
//
// Which modes the workers take, and that a starved idle thread does not keep marking from ending.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "allocator/base/machine.h"
#include "collector/cycle/heap_core.h"

namespace keel {
namespace {

struct Node {
  Ptr<Node> left;
  Ptr<Node> right;
};

Node* make_tree(int depth) {
  PreciseLocal<Node> node = make<Node>();
  if (depth > 0) {
    node->left = make_tree(depth - 1);
    node->right = make_tree(depth - 1);
  }
  return node.get();
}

class Cycles : public NullListener {
 public:
  void on_cycle(const CycleRecord& cycle) override { last = cycle; }
  CycleRecord last;  // read after collect() has returned
};

HeapConfig config(Cycles& cycles) {
  HeapConfig c;
  c.roots = Roots::kPrecise;
  c.listener = &cycles;
  c.gogc_percent = HeapConfig::kGogcOff;
  return c;
}

// Go's startCycle(): whole cores to dedicated workers, unless that is off by more than 30 %.
TEST(MarkWorkers, DedicatedAndFractionalAddUpToAQuarterAsInGo) {
  const struct {
    int cores;
    uint32_t dedicated;
    uint32_t fractional;
  } cases[] = {{1, 0, 1}, {2, 0, 2}, {3, 0, 3}, {4, 1, 0}, {5, 1, 0}, {6, 1, 5}, {8, 2, 0}, {16, 4, 0}};
  for (const auto& c : cases) {
    const WorkerShares shares = worker_shares(c.cores);
    EXPECT_EQ(shares.dedicated, c.dedicated) << c.cores << " cores";
    EXPECT_EQ(shares.fractional_share > 0 ? static_cast<uint32_t>(c.cores) - shares.dedicated : 0,
              c.fractional)
        << c.cores << " cores";
    if (shares.fractional_share > 0) {
      EXPECT_NEAR(shares.dedicated + shares.fractional_share * c.cores, 0.25 * c.cores, 1e-9)
          << c.cores << " cores";
    }
  }
}

// The idle threads are of the lowest scheduling class: how soon they get a core is the machine's affair, so
// the test collects until they had one. If they never mark, it never ends, and the runner's time limit fails
// it.
TEST(MarkWorkers, IdleTimeIsUsedWhenNoMutatorRuns) {
  Cycles cycles;
  Heap heap(config(cycles));
  MutatorScope scope(heap);
  Root<Node> root(make_tree(18));
  int64_t idle_ns = 0;
  int64_t share_ns = 0;
  while (idle_ns == 0 || share_ns == 0) {
    heap.collect();
    idle_ns += cycles.last.idle_cpu_ns;
    share_ns += cycles.last.fractional_cpu_ns + cycles.last.dedicated_cpu_ns;
  }
}

// Every core is busy with threads of the normal class that are no mutators: the idle threads, which take work
// since no mutator runs, get next to nothing, and marking must end all the same.
TEST(MarkWorkers, AStarvedIdleThreadDoesNotKeepMarkingFromEnding) {
  Cycles cycles;
  Heap heap(config(cycles));
  MutatorScope scope(heap);
  Root<Node> root(make_tree(16));
  std::atomic<bool> stop{false};
  std::vector<std::thread> hogs;
  for (int core : affinity_cores()) {
    for (int i = 0; i < 2; ++i) {
      hogs.emplace_back([&stop, core] {
        pin_to_core(core);
        while (!stop.load(std::memory_order_relaxed)) {
        }
      });
    }
  }
  for (int i = 0; i < 5; ++i) {
    heap.collect();
    EXPECT_EQ(cycles.last.marked_objects, (1U << 17) - 1);
  }
  stop.store(true);
  for (std::thread& hog : hogs) hog.join();
}

}  // namespace
}  // namespace keel
