// CONFIG: barriers=hybrid transitions=all roots=precise
//
// Blocking regions: they nest, what is fine inside one, and what is refused there.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>

#include "collector/cycle/heap_core.h"

namespace keel {
namespace {

struct Node {
  Ptr<Node> next;
  uint64_t number;
};

HeapConfig precise(const char* transitions = "stw") {
  HeapConfig c;
  c.roots = Roots::kPrecise;
  c.transitions = transitions;
  c.debug.checkmark = c.debug.walk = true;
  return c;
}

class Regions : public testing::TestWithParam<const char*> {};

TEST_P(Regions, NestToAnyDepthAndPassResultsAndExceptions) {
  Heap heap(precise(GetParam()));
  MutatorScope scope(heap);
  PreciseLocal<Node> node = make<Node>();
  const World& world = heap.core().world;
  EXPECT_EQ(blocking([&] {
              blocking([&] { EXPECT_EQ(world.running(), 0); });
              safepoint();  // nothing: the thread is blocked
              EXPECT_EQ(world.running(), 0) << "leaving an inner region leaves nothing";
              return blocking([] { return blocking([] { return 3; }) + 4; });
            }),
            7);
  EXPECT_EQ(world.running(), 1);
  EXPECT_THROW(blocking([] { blocking([] { throw std::runtime_error("out"); }); }), std::runtime_error);
  EXPECT_EQ(world.running(), 1);
  node->next = make<Node>();
  heap.collect();
  EXPECT_EQ(heap.stats().heap_objects, 2U);
}

// What a heap offers to any thread, from inside a region of a region.
TEST_P(Regions, EveryFunctionOfTheHeapMayBeCalledInsideOne) {
  Heap heap(precise(GetParam()));
  MutatorScope scope(heap);
  Root<Node> root(make<Node>());
  root->next = make<Node>();
  blocking([&] {
    blocking([&] { heap.collect(); });
    heap.collect();
    EXPECT_EQ(heap.stats().heap_objects, 2U);
    EXPECT_EQ(heap.layouts().size(), 1U);
    EXPECT_EQ(heap.check(), "");
    EXPECT_EQ(heap.set_gc_percent(50), 100);
    EXPECT_EQ(heap.set_memory_limit(HeapConfig::kNoLimit), HeapConfig::kNoLimit);
    EXPECT_TRUE(heap.run_finalizers(0)) << "nothing is queued";
    heap.free_os_memory();
    EXPECT_EQ(heap.gc_stats().num_gc, 3U);
    EXPECT_EQ(root->next->number, 0U) << "reading what a Root keeps is fine";
  });
  EXPECT_EQ(heap.check(), "");
}

// Many threads that go in and out of nested regions while cycles begin and end.
TEST_P(Regions, NestWhileCyclesRun) {
  Heap heap(precise(GetParam()));
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&heap, &stop, i] {
      MutatorScope scope(heap);
      Root<Node> root(make<Node>());
      for (uint64_t n = 0; !stop; ++n) {
        root->number = n;
        Node* fresh = make<Node>();
        fresh->number = n;
        root->next = fresh;
        blocking([&] {
          blocking([&] {
            if (i == 0) std::this_thread::yield();
          });
          blocking([] { blocking([] {}); });
        });
        ASSERT_EQ(root->next->number, n);
      }
    });
  }
  for (int i = 0; i < 30; ++i) heap.collect();
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(heap.check(), "");
}

INSTANTIATE_TEST_SUITE_P(Transitions, Regions, testing::Values("stw", "handshake"),
                         [](const auto& test) { return std::string(test.param); });

// Each use of the heap that must not be, by itself.
class RegionsDeathTest : public testing::Test {
 protected:
  static void die(const std::function<void(Root<Node>&, PreciseLocal<Node>&)>& act) {
    Heap heap(precise());
    MutatorScope scope(heap, "tester");
    Root<Node> root(make<Node>());
    PreciseLocal<Node> local = make<Node>();
    root->next = local.get();
    blocking([&] { act(root, local); });
  }
  static std::string sentence(const std::string& what) {
    return what + ": thread 'tester' is in a blocking region, where it must not touch the heap";
  }
};

TEST_F(RegionsDeathTest, SlowPathsAreRefusedInEveryBuild) {
  EXPECT_DEATH(die([](auto&, auto&) { make_bytes(1 << 20); }), sentence("an allocation"));
  EXPECT_DEATH(die([](auto&, auto&) { make_bytes(5000); }), sentence("an allocation"));
  // Not inside the macro: compilers differ in the line they give to what is expanded there.
  const int line = __LINE__ + 1;
  const auto make_root = [](auto& root, auto&) { Root<Node> other(root.get()); };
  EXPECT_DEATH(die(make_root), "issue11_blocking_test.cc:" + std::to_string(line) + ": " + sentence("Root"));
  EXPECT_DEATH(die([](auto& root, auto&) { set_finalizer(root.get(), [](Node*) {}); }),
               sentence("set_finalizer"));
  EXPECT_DEATH(die([](auto& root, auto&) {
                 add_cleanup(
                     root.get(), [](int) {}, 0);
               }),
               sentence("add_cleanup"));
  EXPECT_DEATH(die([](auto& root, auto&) { Weak<Node> weak(root.get()); }), sentence("Weak"));
}

TEST_F(RegionsDeathTest, EverythingElseIsRefusedInDebugBuilds) {
  if (!KEEL_DEBUG_CHECKS) GTEST_SKIP() << "release builds do not look";
  EXPECT_DEATH(die([](auto&, auto&) { make<Node>(); }), sentence("an allocation"));
  EXPECT_DEATH(die([](auto& root, auto&) { root->next = root.get(); }), sentence("a store to a Ptr"));
  EXPECT_DEATH(die([](auto& root, auto&) { root->next = nullptr; }), sentence("a store to a Ptr"));
  EXPECT_DEATH(die([](auto& root, auto&) { root = root.get(); }), sentence("Root"));
  EXPECT_DEATH(die([](auto& root, auto&) { root.reset(); }), sentence("Root"));
  EXPECT_DEATH(die([](auto& root, auto&) { Root<Node> gone(std::move(root)); }), sentence("Root"));
  EXPECT_DEATH(die([](auto& root, auto&) { PreciseLocal<Node> local = root.get(); }), sentence("Local"));
  EXPECT_DEATH(die([](auto&, auto& local) { local = nullptr; }), sentence("Local"));
}

TEST_F(RegionsDeathTest, LeavingTheHeapInsideOneIsRefused) {
  const auto act = [] {
    Heap heap(precise());
    auto scope = std::make_unique<MutatorScope>(heap, "tester");
    blocking([&] { scope.reset(); });
  };
  EXPECT_DEATH(act(), sentence("detach"));
}

}  // namespace
}  // namespace keel
