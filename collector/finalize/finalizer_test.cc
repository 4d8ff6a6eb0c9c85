// CONFIG: barriers=all transitions=all roots=precise
//
// Go's rules for finalizers, cleanups and weak pointers, one by one, and all at once under load.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "allocator/base/rng.h"
#include "collector/cycle/heap_core.h"

namespace keel {
namespace {

constexpr int64_t kPatience = 60'000'000'000;

struct Node {
  Ptr<Node> next;
  uint64_t number;
};

struct Kind {
  const char* barrier;
  const char* transitions;
};

std::vector<Kind> sound_kinds() {
  std::vector<Kind> all;
  for (const char* transitions : {"stw", "handshake"}) {
    for (const char* barrier : {"hybrid", "hybrid-conditional", "dijkstra", "yuasa", "none"}) {
      HeapConfig config;
      config.barrier = barrier;
      config.transitions = transitions;
      if (config.check().ok()) all.push_back({barrier, transitions});
    }
  }
  return all;
}

class Finalizers : public testing::TestWithParam<Kind> {
 protected:
  HeapConfig config() const {
    HeapConfig c;
    c.roots = Roots::kPrecise;
    c.barrier = GetParam().barrier;
    c.transitions = GetParam().transitions;
    c.debug.checkmark = true;
    c.debug.walk = true;
    c.debug.poison = true;
    return c;
  }
  // A collection, and whatever it queued has run.
  static void collect(Heap& heap) {
    heap.collect();
    EXPECT_TRUE(heap.run_finalizers(kPatience));
  }
};

TEST_P(Finalizers, RunOnceWithTheObjectAndThenItIsGone) {
  Heap heap(config());
  MutatorScope scope(heap);
  std::atomic<int> runs{0};
  std::atomic<uint64_t> number{0};
  {
    PreciseLocal<Node> node = make<Node>();
    node->number = 77;
    node->next = make<Node>();
    node->next->number = 78;
    set_finalizer(node.get(), [&](Node* n) {
      ++runs;
      number = n->number * 1000 + n->next->number;
    });
    collect(heap);
    EXPECT_EQ(runs, 0) << "still reachable";
  }
  collect(heap);
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(number, 77078U) << "the object and what it reaches are whole";
  heap.collect();
  EXPECT_EQ(heap.stats().heap_objects, 0U) << "its second death is final";
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(heap.core().specials.size(), 0U);
  const FinalizerCounts counts = heap.stats().finalizers;
  EXPECT_EQ(counts.finalizers_queued, 1U);
  EXPECT_EQ(counts.finalizers_executed, 1U);
}

TEST_P(Finalizers, MayResurrectAndBeSetAgain) {
  Heap heap(config());
  MutatorScope scope(heap);
  Root<Node> saved;
  std::atomic<int> runs{0};
  std::function<void(Node*)> finalizer = [&](Node* n) {
    ++runs;
    saved = n;
  };
  set_finalizer(make<Node>(), finalizer);
  collect(heap);
  ASSERT_EQ(runs, 1);
  EXPECT_NE(saved.get(), nullptr);
  set_finalizer(saved.get(), finalizer);
  collect(heap);
  EXPECT_EQ(runs, 1) << "it lives";
  saved.reset();
  collect(heap);
  EXPECT_EQ(runs, 2);
  saved.reset();
}

TEST_P(Finalizers, RunInOrderOfDependency) {
  Heap heap(config());
  MutatorScope scope(heap);
  std::vector<uint64_t> order;  // the finalizer thread's until run_finalizers() has returned
  {
    PreciseLocal<Node> b = make<Node>();
    b->number = 2;
    PreciseLocal<Node> a = make<Node>();
    a->number = 1;
    a->next = b.get();
    for (Node* n : {a.get(), b.get()}) {
      set_finalizer(n, [&order](Node* object) { order.push_back(object->number); });
    }
  }
  collect(heap);
  EXPECT_EQ(order, (std::vector<uint64_t>{1})) << "B is still needed by A's finalizer";
  collect(heap);
  EXPECT_EQ(order, (std::vector<uint64_t>{1, 2}));
}

TEST_P(Finalizers, OfACycleNeverRun) {
  Heap heap(config());
  MutatorScope scope(heap);
  std::atomic<int> runs{0};
  {
    PreciseLocal<Node> a = make<Node>();
    PreciseLocal<Node> b = make<Node>();
    a->next = b.get();
    b->next = a.get();
    set_finalizer(a.get(), [&](Node*) { ++runs; });
    set_finalizer(b.get(), [&](Node*) { ++runs; });
  }
  for (int i = 0; i < 3; ++i) collect(heap);
  EXPECT_EQ(runs, 0);
  EXPECT_EQ(heap.stats().heap_objects, 2U);
}

TEST_P(Finalizers, CanBeCleared) {
  Heap heap(config());
  MutatorScope scope(heap);
  std::atomic<int> runs{0};
  {
    PreciseLocal<Node> node = make<Node>();
    EXPECT_FALSE(clear_finalizer(node.get()));
    set_finalizer(node.get(), [&](Node*) { ++runs; });
    EXPECT_TRUE(clear_finalizer(node.get()));
  }
  collect(heap);
  EXPECT_EQ(runs, 0);
  EXPECT_EQ(heap.stats().heap_objects, 0U);
}

TEST_P(Finalizers, CleanupsRunWithoutTheObjectAndCanBeStopped) {
  Heap heap(config());
  MutatorScope scope(heap);
  std::atomic<int> sum{0};
  {
    PreciseLocal<Node> node = make<Node>();
    add_cleanup(
        node.get(), [&](int n) { sum += n; }, 1);
    add_cleanup(
        &node->number, [&](int n) { sum += n; }, 10);
    Cleanup stopped = add_cleanup(
        node.get(), [&](int n) { sum += n; }, 100);
    stopped.stop();
  }
  collect(heap);
  EXPECT_EQ(sum, 11);
  EXPECT_EQ(heap.stats().heap_objects, 0U) << "no resurrection: gone in the same cycle";
  EXPECT_EQ(heap.stats().finalizers.cleanups_executed, 2U);
}

TEST_P(Finalizers, CleanupsWaitForTheFinalizer) {
  Heap heap(config());
  MutatorScope scope(heap);
  std::atomic<int> finalized{0};
  std::atomic<int> cleaned{0};
  {
    PreciseLocal<Node> node = make<Node>();
    set_finalizer(node.get(), [&](Node*) { ++finalized; });
    add_cleanup(
        node.get(), [&](int) { ++cleaned; }, 0);
  }
  collect(heap);
  EXPECT_EQ(finalized, 1);
  EXPECT_EQ(cleaned, 0);
  collect(heap);
  EXPECT_EQ(cleaned, 1);
}

TEST_P(Finalizers, WeakPointersAreNullBeforeTheFinalizerSeesTheObject) {
  Heap heap(config());
  MutatorScope scope(heap);
  std::atomic<int> seen{-1};
  Weak<Node> weak;
  Weak<Node> same;
  {
    PreciseLocal<Node> node = make<Node>();
    weak = Weak<Node>(node.get());
    same = Weak<Node>(node.get());
    set_finalizer(node.get(), [&](Node*) { seen = weak.lock() == nullptr ? 0 : 1; });
    heap.collect();
    EXPECT_EQ(weak.lock(), node.get()) << "reachable";
    EXPECT_TRUE(weak == same);
    EXPECT_FALSE(weak == Weak<Node>());
  }
  collect(heap);
  EXPECT_EQ(seen, 0);
  EXPECT_EQ(weak.lock(), nullptr);
  EXPECT_TRUE(weak == same) << "equality survives the object";
  PreciseLocal<Node> other = make<Node>();
  EXPECT_FALSE(weak == Weak<Node>(other.get())) << "even if the slot is used again";
}

TEST_P(Finalizers, AWeakPointerIntoAnObjectKeepsItsOffset) {
  Heap heap(config());
  MutatorScope scope(heap);
  PreciseLocal<Node> node = make<Node>();
  Weak<uint64_t> inner(&node->number);
  heap.collect();
  EXPECT_EQ(inner.lock(), &node->number);
}

// Threads make objects with finalizers and weak pointers, lock weak pointers of others while cycles run, and
// drop everything. Each finalizer runs exactly once, with an undamaged object; a locked pointer is whole.
TEST_P(Finalizers, EachRunsExactlyOnceUnderLoad) {
  HeapConfig c = config();
  c.debug.checkmark = c.debug.walk = false;
  c.gogc_percent = 10;
  Heap heap(c);
  constexpr int kThreads = 3;
  constexpr int kObjects = 20000;
  const uint64_t seed = 1;
  std::atomic<uint64_t> made{0};
  std::atomic<uint64_t> finalized{0};
  std::atomic<uint64_t> damaged{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      MutatorScope scope(heap, "maker");
      Rng rng(seed * 100 + static_cast<uint64_t>(t));
      std::vector<Root<Node>> kept(50);
      std::vector<Weak<Node>> weak(200);
      for (int i = 0; i < kObjects; ++i) {
        PreciseLocal<Node> node = make<Node>();
        node->number = 0x600d;
        node->next = make<Node>();
        node->next->number = 0x600d;
        set_finalizer(node.get(), [&](Node* n) {
          if (n->number != 0x600d || n->next->number != 0x600d) ++damaged;
          ++finalized;
        });
        ++made;
        weak[rng.below(weak.size())] = Weak<Node>(node.get());
        if (rng.below(10) == 0) kept[rng.below(kept.size())] = node.get();
        PreciseLocal<Node> locked = weak[rng.below(weak.size())].lock();
        if (locked.get() != nullptr) {
          make<Node>();  // a safepoint: a cycle may end here
          if (locked->number != 0x600d || locked->next->number != 0x600d) ++damaged;
          if (rng.below(50) == 0) kept[rng.below(kept.size())] = locked.get();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::thread([&] {
    MutatorScope scope(heap, "end");
    for (int i = 0; i < 2; ++i) collect(heap);
    EXPECT_EQ(finalized, made) << "seed " << seed;
    EXPECT_EQ(damaged, 0U) << "seed " << seed;
    heap.collect();
    EXPECT_EQ(heap.stats().heap_objects, 0U);
    EXPECT_EQ(heap.check(), "");
  }).join();
}

INSTANTIATE_TEST_SUITE_P(Kinds, Finalizers, testing::ValuesIn(sound_kinds()), [](const auto& test) {
  std::string name = std::string(test.param.barrier) + "_" + test.param.transitions;
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

void misuse(const std::function<void()>& act) {
  HeapConfig config;
  config.roots = Roots::kPrecise;
  Heap heap(config);
  MutatorScope scope(heap);
  act();
}

TEST(FinalizerDeathTest, MisuseIsNamed) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(misuse([] {
                 Node* node = make<Node>();
                 set_finalizer(&node->number, [](uint64_t*) {});
               }),
               "points 8 bytes into an object .*not to its start");
  EXPECT_DEATH(misuse([] {
                 Node local{};
                 set_finalizer(&local, [](Node*) {});
               }),
               "set_finalizer: .* is not in the heap");
  EXPECT_DEATH(misuse([] {
                 Node* node = make<Node>();
                 for (int i = 0; i < 2; ++i) set_finalizer(node, [](Node*) {});
               }),
               "has a finalizer already");
  EXPECT_DEATH(misuse([] {
                 Node* node = make<Node>();
                 add_cleanup(
                     node, [](Node*) {}, node);
               }),
               "points into the object itself");
  EXPECT_DEATH(misuse([] {
                 set_finalizer(make<Node>(), [](Node*) { throw 1; });
                 Heap::current()->collect();
                 Heap::current()->run_finalizers(kPatience);
               }),
               "an exception left the finalizer of a");
}

}  // namespace
}  // namespace keel
