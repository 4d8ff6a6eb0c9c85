// CONFIG: barriers=hybrid transitions=all roots=precise
//
// One mutator stays away from safepoints for 100 ms while a cycle wants to begin. With handshakes the others
// go on finishing requests; with stops they stand.
#include <gtest/gtest.h>

#include <sched.h>

#include <algorithm>
#include <array>
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

// Requests that two mutators finish while a third is away: it has been asked for `asked` (World::Pending) and
// does not answer. `enough`: it stays away until so many are done, at least 100 ms.
//
// Counting begins once everybody who must answer has been asked, not after a time: on a busy machine the
// collector may be slow to ask. A handshake is asked of the third alone, since the others have answered long
// before; a stop is asked of all three and stays pending while they stand.
uint64_t requests_while_one_is_away(const char* transitions, World::Pending asked, uint64_t enough) {
  HeapConfig config;
  config.roots = Roots::kPrecise;
  config.transitions = transitions;
  Heap heap(config);
  std::atomic<uint64_t> done{0};
  std::atomic<bool> counting{false};
  std::atomic<bool> stop{false};
  std::array<std::atomic<const Mutator*>, 2> waited_for{};
  std::latch attached{3};
  std::vector<std::thread> others;
  for (auto& mutator : waited_for) {
    others.emplace_back([&] {
      MutatorScope scope(heap, "other");
      mutator.store(Mutator::current());
      attached.count_down();
      while (!stop.load()) {
        EXPECT_EQ(serve(), 64U * 63 / 2);
        if (counting.load()) done.fetch_add(1);
      }
    });
  }
  std::atomic<bool> collecting{true};
  std::thread collector([&] {
    while (collecting.load()) heap.collect();
  });
  uint64_t counted = 0;
  std::thread away([&] {
    MutatorScope scope(heap, "away");
    const Mutator& self = *Mutator::current();
    attached.count_down();
    blocking([&] { attached.wait(); });
    const auto everybody_asked = [&] {
      const bool self_asked = (World::pending(self) & asked) != 0;
      if (asked == World::kHandshake) return self_asked;
      return self_asked && std::all_of(waited_for.begin(), waited_for.end(),
                                       [&](const auto& m) { return (World::pending(*m) & asked) != 0; });
    };
    while (!everybody_asked()) {
      // Not yet away from what this round is not about: after a stop each thread still owes a handshake.
      const uint32_t pending = World::pending(self);
      if (pending != 0 && (pending & asked) == 0) safepoint();
    }
    // No safepoint from here on: the cycle waits for this thread.
    const uint32_t cycles = heap.stats().num_gc;
    const int64_t begin = now_ns();
    counting.store(true);
    while (now_ns() - begin < kAwayNs || done.load() < enough) {
    }
    counted = done.load();
    EXPECT_EQ(heap.stats().num_gc, cycles);
    collecting.store(false);
    blocking([&] { collector.join(); });
  });
  away.join();
  stop.store(true);
  for (std::thread& other : others) other.join();
  return counted;
}

TEST(MutatorAway, OthersFinishRequestsMeanwhileWithHandshakes) {
  EXPECT_GE(requests_while_one_is_away("handshake", World::kHandshake, 1000), 1000U);
}

TEST(MutatorAway, OthersStandMeanwhileWithStops) {
  // Each may have passed the last safepoint of one request when the stop is asked for.
  EXPECT_LE(requests_while_one_is_away("stw", World::kStop, 0), 2U);
}

// The collector's own account of why it waits (World::away_ns()), while `straggler` keeps it waiting in a
// thread of its own and `done` is false. The straggler ends when told.
template <typename Straggler, typename Done>
int64_t longest_absence(Straggler&& straggler, Done&& done) {
  HeapConfig config;
  config.roots = Roots::kPrecise;
  Heap heap(config);
  const World& world = heap.core().world;
  std::atomic<const Mutator*> mutator{nullptr};
  std::atomic<bool> go{false};
  std::thread thread([&] {
    MutatorScope scope(heap, "straggler");
    mutator.store(Mutator::current());
    straggler(go);
  });
  while (mutator.load() == nullptr) std::this_thread::yield();
  std::thread collector([&] { heap.collect(); });
  while (World::pending(*mutator.load()) == 0) std::this_thread::yield();
  int64_t longest = 0;
  const int64_t begin = now_ns();
  while (!done(longest, now_ns() - begin)) {
    longest = std::max(longest, world.away_ns());
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  go.store(true);
  thread.join();
  collector.join();
  EXPECT_EQ(world.away_ns(), 0) << "it waits for nobody";
  return longest;
}

constexpr int64_t kSeenNs = 50'000'000;

TEST(MutatorAway, OneThatRunsAndReachesNoSafepointIsAway) {
  const auto spin = [](const std::atomic<bool>& go) {
    while (!go.load()) {
    }
  };
  // If it never counted, the runner's limit of time would fail the test.
  longest_absence(spin, [](int64_t longest, int64_t) { return longest >= kSeenNs; });
}

TEST(MutatorAway, OneThatSleepsOutsideOfARegionIsAway) {
  const auto sleep = [](const std::atomic<bool>& go) {
    while (!go.load()) std::this_thread::sleep_for(std::chrono::milliseconds(30));
  };
  longest_absence(sleep, [](int64_t longest, int64_t) { return longest >= kSeenNs; });
}

// Of the lowest class on a core that another thread never leaves, it gets 0.3 % of that core.
TEST(MutatorAway, OneThatWaitsForACoreIsNot) {
  cpu_set_t one;
  CPU_ZERO(&one);
  {
    cpu_set_t usable;
    ASSERT_EQ(sched_getaffinity(0, sizeof(usable), &usable), 0);
    int core = 0;
    while (!CPU_ISSET(core, &usable)) ++core;
    CPU_SET(core, &one);
  }
  std::atomic<bool> stop{false};
  std::atomic<int> pinned{0};
  const auto pin = [&] {
    EXPECT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    pinned.fetch_add(1);
  };
  std::thread hog([&] {
    pin();
    while (!stop.load()) {
    }
  });
  const auto starve = [&](const std::atomic<bool>& go) {
    pin();
    const sched_param lowest{};
    EXPECT_EQ(sched_setscheduler(0, SCHED_IDLE, &lowest), 0);
    while (!go.load()) {
    }
  };
  const auto long_enough = [&](int64_t, int64_t waited_ns) {
    if (waited_ns >= 10 * kSeenNs) stop.store(true);
    return stop.load();
  };
  const int64_t longest = longest_absence(starve, long_enough);
  hog.join();
  // What it got before the hog was there, and what it gets now and then.
  EXPECT_LT(longest, 10 * kSeenNs / 2);
}

}  // namespace
}  // namespace keel
