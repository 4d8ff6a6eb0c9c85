// Where memory is taken, marked, swept and given back: assists and hand-over, a full grey pool, sweeping
// against refills, the memory limit.
#include <string>

#include "collector/cycle/heap_core.h"
#include "collector/explore/scenario.h"
#include "collector/explore/scenario_parts.h"

namespace keel::explore {
namespace {

// A list of big nodes behind a Root, some dropped on the way: keeps the last `keep`.
void churn(Heap& heap, Rng& rng, uint64_t first, int count, size_t keep) {
  MutatorScope attached(heap);
  std::vector<Root<BigNode>> kept;
  std::vector<uint64_t> numbers;
  for (int i = 0; i < count; ++i) {
    const uint64_t number = first + static_cast<uint64_t>(i);
    PreciseLocal<BigNode> node = make_numbered<BigNode>(number);
    if (!kept.empty() && rng.below(2) == 0) node->next = kept[rng.below(kept.size())].get();
    if (kept.size() == keep) {
      const size_t at = rng.below(keep);
      check_node(kept[at].get(), numbers[at], "a kept node");
      kept[at] = node.get();
      numbers[at] = number;
    } else {
      kept.emplace_back(node.get());
      numbers.push_back(number);
    }
  }
  for (size_t i = 0; i < kept.size(); ++i) {
    check_node(kept[i].get(), numbers[i], "a kept node");
    const BigNode* next = kept[i]->next.get();
    if (next != nullptr) check_node(next, next->number, "a kept node's next");
  }
}

// Runs `count` threads of churn() and joins them; what main does meanwhile is `meanwhile`.
template <typename F>
void churn_together(Heap& heap, Rng& rng, int nodes, size_t keep, F&& meanwhile) {
  std::vector<keel::Thread> threads;
  for (uint64_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t, own_seed = rng.next()] {
      name_thread(t == 0 ? "churns-0" : "churns-1");
      Rng own(own_seed);
      churn(heap, own, 1000 * (t + 1), nodes, keep);
    });
  }
  meanwhile();
  for (keel::Thread& thread : threads) thread.join();
}

}  // namespace

// A heap that passes its goal again and again: triggers, assists that find work and that wait for it, grey
// work handed from one to the other.
void run_assist(const Variant& variant, uint64_t seed) {
  HeapConfig config = tiny_heap(variant);
  config.goal = GoalRule::kFixed;
  config.fixed_goal_bytes = 64 * kKiB;
  Heap heap(config);
  Rng rng(seed);
  churn_together(heap, rng, 60, 12, [] {});
  require_empty(heap);
}

namespace {

// Wider than a grey chunk; two of its fans have fans of their own.
struct Fan {
  static constexpr size_t kWidth = 9;
  static constexpr size_t kBranches = 2;
  std::array<Ptr<Fan>, kWidth> fans;
  Ptr<Node> leaf;
  uint64_t number;
};

Fan* make_fan(uint64_t number, int depth) {
  PreciseLocal<Fan> fan = make<Fan>();
  fan->number = number;
  fan->leaf = make_numbered<Node>(number);
  for (size_t i = 0; depth > 0 && i < Fan::kWidth; ++i)
    fan->fans[i] = make_fan(number * 10 + i, i < Fan::kBranches ? depth - 1 : 0);
  return fan.get();
}

void check_fan(const Fan* fan, uint64_t number, int depth) {
  require(fan != nullptr && fan->number == number, "lost object: a fan's number %llu is wrong",
          static_cast<unsigned long long>(number));
  check_node(fan->leaf.get(), number, "a fan's leaf");
  for (size_t i = 0; depth > 0 && i < Fan::kWidth; ++i)
    check_fan(fan->fans[i].get(), number * 10 + i, i < Fan::kBranches ? depth - 1 : 0);
}

}  // namespace

// One to three chunks of grey memory for everybody, and objects wider than a chunk: overflows all the time.
void run_overflow(const Variant& variant, uint64_t seed) {
  Rng rng(seed);
  HeapConfig config = tiny_heap(variant);
  config.grey_chunks = static_cast<uint32_t>(1 + rng.below(3));
  config.mark_workers = 2;
  Heap heap(config);
  std::vector<keel::Thread> threads;
  for (uint64_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t, own_seed = rng.next()] {
      name_thread(t == 0 ? "mutator-0" : "mutator-1");
      MutatorScope attached(heap);
      Rng own(own_seed);
      Chains chains(1000 * (t + 1));
      const int depth = t == 0 ? 3 : 2;
      Root<Fan> fan(make_fan(1, depth));
      for (int i = 0; i < 20; ++i) chains.change(own);
      check_fan(fan.get(), 1, depth);
      chains.check();
    });
  }
  heap.collect();
  heap.collect();
  for (keel::Thread& thread : threads) thread.join();
  require_empty(heap);
}

// The same without mutators that run, one collection: what few changes of priority can do within a stop.
void run_small_overflow(const Variant& variant, uint64_t seed) {
  Rng rng(seed);
  HeapConfig config = tiny_heap(variant);
  config.grey_chunks = static_cast<uint32_t>(2 + rng.below(2));
  config.mark_workers = 2;
  Heap heap(config);
  MutatorScope attached(heap);
  Root<Fan> fan(make_fan(1, 3));
  heap.collect();
  check_fan(fan.get(), 1, 3);
}

// Many spans half dead: refills sweep, the background thread sweeps, the next cycle wants the sweep over.
void run_sweep(const Variant& variant, uint64_t seed) {
  HeapConfig config = tiny_heap(variant);
  config.mark_workers = 2;
  Heap heap(config);
  Rng rng(seed);
  churn_together(heap, rng, 50, 10, [&] {
    for (int i = 0; i < 3; ++i) heap.collect();
  });
  require_empty(heap);
}

// The limit goes up and down, pages go back, while two threads allocate.
void run_limit(const Variant& variant, uint64_t seed) {
  HeapConfig config = tiny_heap(variant);
  config.memory_limit_bytes = 256 * kKiB;
  Heap heap(config);
  Rng rng(seed);
  churn_together(heap, rng, 60, 8, [&] {
    for (int i = 0; i < 3; ++i) {
      switch (rng.below(4)) {
        case 0:
          heap.set_memory_limit((64 + 64 * rng.below(4)) * kKiB);
          break;
        case 1:
          heap.free_os_memory();
          break;
        case 2:
          heap.set_gc_percent(static_cast<int64_t>(50 * rng.below(4)));
          break;
        default:
          heap.collect();
      }
    }
  });
  heap.free_os_memory();
  require_empty(heap);
}

}  // namespace keel::explore
