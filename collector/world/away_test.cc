// CONFIG: barriers=hybrid transitions=all roots=precise
//
// One mutator stays away from safepoints for 100 ms while a cycle wants to begin. With handshakes the others
// go on finishing requests; with stops they stand.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>
#include <vector>

#include "allocator/base/clock.h"
#include "collector/cycle/heap_core.h"

namespace keel {
namespace {

struct Node {
  Ptr<Node> next;
  uint64_t number;
};

constexpr int64_t kAwayNs = 100'000'000;

// A request: a chain of objects, built, walked and dropped.
uint64_t serve() {
  PreciseLocal<Node> head = nullptr;
  for (uint64_t i = 0; i < 64; ++i) {
    PreciseLocal<Node> node = make<Node>();
    node->next = head.get();
    node->number = i;
    head = node.get();
  }
  uint64_t sum = 0;
  for (Node* node = head.get(); node != nullptr; node = node->next) sum += node->number;
  return sum;
}

// Requests that two mutators finish while a third is away and a cycle has been asked for. `enough`: the third
// stays away until so many are done, at least 100 ms.
uint64_t requests_while_one_is_away(const char* transitions, uint64_t enough) {
  HeapConfig config;
  config.roots = Roots::kPrecise;
  config.transitions = transitions;
  Heap heap(config);
  std::atomic<uint64_t> done{0};
  std::atomic<bool> asked{false};
  std::atomic<bool> stop{false};
  std::latch attached{3};
  std::vector<std::thread> others;
  for (int t = 0; t < 2; ++t) {
    others.emplace_back([&] {
      MutatorScope scope(heap, "other");
      attached.count_down();
      while (!stop.load()) {
        EXPECT_EQ(serve(), 64U * 63 / 2);
        if (asked.load()) done.fetch_add(1);
      }
    });
  }
  uint64_t counted = 0;
  std::thread away([&] {
    MutatorScope scope(heap, "away");
    attached.count_down();
    blocking([&] { attached.wait(); });
    const uint32_t before = heap.stats().num_gc;
    std::thread collector([&] { heap.collect(); });
    // No safepoint from here on: the cycle cannot begin to mark.
    const int64_t begin = now_ns();
    while (now_ns() - begin < kAwayNs / 10) {
    }
    asked.store(true);
    while (now_ns() - begin < kAwayNs || done.load() < enough) {
    }
    counted = done.load();
    EXPECT_LE(heap.stats().num_gc, before + 1) << "a cycle begun before may have ended";
    blocking([&] { collector.join(); });
  });
  away.join();
  stop.store(true);
  for (std::thread& other : others) other.join();
  return counted;
}

TEST(MutatorAway, OthersFinishRequestsMeanwhileWithHandshakes) {
  EXPECT_GE(requests_while_one_is_away("handshake", 1000), 1000U);
}

TEST(MutatorAway, OthersStandMeanwhileWithStops) {
  // One request each may be on its last allocation when the stop is asked for.
  EXPECT_LE(requests_while_one_is_away("stw", 0), 2U);
}

}  // namespace
}  // namespace keel
