// CONFIG: barriers=hybrid transitions=all roots=precise
//
// A hard limit and many threads: who fits gets room, however many others take what a collection frees.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>
#include <vector>

#include "allocator/base/rng.h"
#include "collector/cycle/heap_core.h"

namespace keel {
namespace {

struct Node {
  Ptr<Node> next;
  std::array<uint64_t, 100> words;
};

class Room : public testing::TestWithParam<const char*> {
 protected:
  static constexpr uint64_t kMost = 32 * kMiB;
  HeapConfig config() const {
    HeapConfig c;
    c.roots = Roots::kPrecise;
    c.transitions = GetParam();
    c.max_heap_bytes = kMost;
    c.gogc_percent = HeapConfig::kGogcOff;  // every collection is one that somebody needs
    return c;
  }
  /// A list of two thirds of what the heap may have.
  static Root<Node> fill() {
    Root<Node> kept;
    for (uint64_t bytes = 0; bytes < kMost * 2 / 3; bytes += sizeof(Node)) {
      PreciseLocal<Node> node = make<Node>();
      node->next = kept.get();
      kept = node.get();
    }
    return kept;
  }
};

// Half of the limit lives; eight threads fill the rest with garbage as fast as they can, and one of them asks
// for a quarter of the limit at once, over and over: after a collection it fits.
TEST_P(Room, ForEachRequestThatFits) {
  Heap heap(config());
  std::atomic<int> refused{0};
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      Rng rng(t + 1);
      MutatorScope scope(heap);
      Root<Node> kept;
      for (int i = 0; i < 1000; ++i) {
        PreciseLocal<Node> node = make<Node>();
        node->next = kept.get();
        kept = node.get();
      }
      while (!done) {
        try {
          for (int i = 0; i < 100; ++i) make<Node>();
          make_bytes(rng.below(200'000));
        } catch (const OutOfMemory&) {
          ++refused;
        }
      }
    });
  }
  {
    MutatorScope scope(heap, "large");
    for (int i = 0; i < 40; ++i) {
      try {
        make_bytes(kMost / 4);
      } catch (const OutOfMemory& e) {
        ++refused;
        ADD_FAILURE() << "request " << i << ": " << e.what();
      }
    }
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(refused, 0);
  EXPECT_EQ(heap.check(), "");
}

// What does not fit is refused to each thread, after collections of its own; nobody waits for ever.
TEST_P(Room, IsRefusedToEveryThreadThatDoesNotFit) {
  Heap heap(config());
  std::atomic<int> refused{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&] {
      MutatorScope scope(heap);
      Root<Node> kept;
      try {
        for (;;) {
          PreciseLocal<Node> node = make<Node>();
          node->next = kept.get();
          kept = node.get();
        }
      } catch (const OutOfMemory&) {
        ++refused;
      }
      while (refused != 6) blocking([] { std::this_thread::yield(); });  // what it holds stays
    });
  }
  for (std::thread& thread : threads) thread.join();
  heap.collect();
  EXPECT_EQ(heap.stats().heap_objects, 0U);
  EXPECT_EQ(heap.check(), "");
}

// Whoever is in line when collections cannot serve the first is refused by the same ones.
TEST_P(Room, ManyThatDoNotFitCostTheCollectionsOfOne) {
  constexpr uint32_t kThreads = 16;
  Heap heap(config());
  MutatorScope scope(heap, "keeps most");
  const Root<Node> kept = fill();
  const uint32_t before = heap.stats().num_gc;
  std::atomic<uint32_t> refused{0};
  // No cycle begins until all are in line.
  std::latch held{1};
  std::thread holds([&] {
    heap.between_cycles([&] {
      held.count_down();
      while (heap.core().room.length() != kThreads) std::this_thread::yield();
    });
  });
  blocking([&] {
    held.wait();
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        MutatorScope asking(heap, "asks");
        try {
          make_bytes(kMost / 2);
        } catch (const OutOfMemory&) {
          ++refused;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    holds.join();
  });
  EXPECT_EQ(refused, kThreads);
  EXPECT_EQ(heap.stats().num_gc - before, RoomQueue::kCollections);
  EXPECT_EQ(heap.check(), "");
}

INSTANTIATE_TEST_SUITE_P(Transitions, Room, testing::Values("stw", "handshake"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace keel
