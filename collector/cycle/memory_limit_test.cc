// CONFIG: goals=memory-limit,fixed,membalancer,periodic roots=precise
//
// The limits and rules on a real heap: all memory stays below a soft limit, a limit below the live heap lets
// the program go on, a cycle comes of itself, and a fixed goal is the peak.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <thread>

#include "allocator/base/clock.h"
#include "collector/cycle/heap_core.h"

namespace keel {
namespace {

struct Node {
  Ptr<Node> next;
  std::array<uint64_t, 7> words;
};

class Cycles : public NullListener {
 public:
  void on_cycle(const CycleRecord& cycle) override {
    MutexLock lock(mu_);
    all_.push_back(cycle);
  }
  std::vector<CycleRecord> all() {
    MutexLock lock(mu_);
    return all_;
  }

 private:
  Mutex mu_{LockRank::kListener};
  std::vector<CycleRecord> all_ KEEL_GUARDED_BY(mu_);
};

uint64_t mapped_bytes(const HeapStats& s) { return s.sys_bytes() - s.heap_released_bytes; }

// A list of `bytes` of objects.
Root<Node> keep(uint64_t bytes) {
  Root<Node> kept;
  for (uint64_t n = 0; n < bytes / sizeof(Node); ++n) {
    PreciseLocal<Node> node = make<Node>();
    node->next = kept.get();
    kept.reset(node.get());
  }
  return kept;
}

// Keeps `live` bytes while it allocates garbage, until `cycles` cycles have ended: how much that takes
// depends on who gets a core when.
void churn(Heap& heap, uint64_t live, uint32_t cycles) {
  MutatorScope scope(heap);
  const Root<Node> kept = keep(live);
  while (heap.stats().num_gc < cycles) {
    for (int n = 0; n < 4096; ++n) make<Node>();
  }
  uint64_t length = 0;
  for (Node* node = kept.get(); node != nullptr; node = node->next) ++length;
  EXPECT_EQ(length, live / sizeof(Node));
}

HeapConfig config(Cycles& cycles) {
  HeapConfig c;
  c.roots = Roots::kPrecise;
  c.listener = &cycles;
  return c;
}

TEST(MemoryLimit, AllMemoryStaysBelowItWithGogcOff) {
  Cycles cycles;
  HeapConfig c = config(cycles);
  c.gogc_percent = HeapConfig::kGogcOff;
  c.memory_limit_bytes = 48 * kMiB;
  Heap heap(c);
  churn(heap, 8 * kMiB, 8);
  // How far the heap runs past its goal depends on who gets a core when; the goals and the end do not: the
  // pages that the last cycle frees go back in the background, with nobody allocating. If they did not, the
  // runner's time limit would fail the test.
  heap.collect();
  while (mapped_bytes(heap.stats()) > c.memory_limit_bytes) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  std::vector<CycleRecord> all = cycles.all();
  all.pop_back();
  ASSERT_GT(all.size(), 5U);
  // A cycle that was overrun (assists are off while the CPU limiter is on, and workers may have to wait for a
  // core) leaves all that was allocated meanwhile live, and no goal is below what lives.
  uint64_t live = 0;
  for (const CycleRecord& cycle : all) {
    EXPECT_EQ(cycle.trigger, CycleTrigger::kMemoryLimit);
    EXPECT_LE(cycle.heap_goal_bytes, std::max(goal_below_limit(c.memory_limit_bytes), live));
    live = cycle.heap_live_bytes;
  }
}

TEST(MemoryLimit, BelowTheLiveHeapTheProgramGoesOn) {
  Cycles cycles;
  HeapConfig c = config(cycles);
  c.memory_limit_bytes = 8 * kMiB;
  Heap heap(c);
  churn(heap, 24 * kMiB, 8);
  const std::vector<CycleRecord> all = cycles.all();
  ASSERT_FALSE(all.empty());
  EXPECT_LE(all.back().next_goal_bytes, all.back().heap_live_bytes + kMiB) << "as low as it can be";
}

TEST(MemoryLimit, CanBeSetWhileTheProgramRuns) {
  Cycles cycles;
  Heap heap(config(cycles));
  EXPECT_EQ(heap.set_memory_limit(32 * kMiB), HeapConfig::kNoLimit);
  EXPECT_EQ(heap.set_gc_percent(HeapConfig::kGogcOff), 100);
  EXPECT_LT(heap.stats().next_gc_bytes, 32 * kMiB);
  EXPECT_EQ(heap.set_memory_limit(HeapConfig::kNoLimit), 32 * kMiB);
  EXPECT_GE(heap.stats().next_gc_bytes, kNoGoal);
}

// A stop of 1000 s on all cores, as far as the limiter knows: that is not paid within this test.
void owe_a_long_stop(Heap& heap) {
  MemoryKeeper& keeper = heap.core().keeper;
  const int64_t now = now_ns();
  const int64_t cpu = process_cpu_ns();
  keeper.record_stop({now - 1000 * kSecond, now, cpu - 1000 * kSecond, cpu, 1000 * kSecond, 0}, false);
  ASSERT_TRUE(keeper.limiting());
  ASSERT_TRUE(keeper.puts_off());
}

void allocate_garbage(uint64_t bytes) {
  for (uint64_t n = 0; n < bytes / sizeof(Node); ++n) make<Node>();
}

// Below a memory limit that cannot be kept, a cycle that the heap asks for waits until the last stop is paid;
// one that somebody asked for, a check between cycles, and the heap's end do not.
TEST(CpuLimiter, BelowAMemoryLimitOnlyWhatSomebodyWaitsForIsDoneUntilAStopIsPaid) {
  Cycles cycles;
  HeapConfig c = config(cycles);
  c.memory_limit_bytes = 3 * kMiB;
  Heap heap(c);
  MutatorScope scope(heap);
  MemoryKeeper& keeper = heap.core().keeper;
  owe_a_long_stop(heap);
  const uint32_t before = heap.stats().num_gc;
  allocate_garbage(32 * kMiB);
  ASSERT_GT(heap.stats().heap_alloc_bytes, 4 * heap.stats().next_gc_bytes) << "the goal is far behind";
  EXPECT_EQ(heap.stats().num_gc, before);
  EXPECT_EQ(heap.check(), "");
  heap.collect();
  EXPECT_EQ(heap.stats().num_gc, before + 1);
  EXPECT_EQ(cycles.all().back().trigger, CycleTrigger::kForced);
  EXPECT_TRUE(cycles.all().back().limiter_active);
  allocate_garbage(32 * kMiB);
  EXPECT_EQ(heap.stats().num_gc, before + 1);
  EXPECT_TRUE(keeper.limiting());
}

// Whatever is owed: the goal is what was asked for, and mutators still wait for the cycle that keeps it.
TEST(CpuLimiter, WithoutAMemoryLimitTheGoalIsKept) {
  for (const char* barrier : {"none", "hybrid"}) {
    Cycles cycles;
    HeapConfig c = config(cycles);
    c.barrier = barrier;
    Heap heap(c);
    MutatorScope scope(heap);
    owe_a_long_stop(heap);
    allocate_garbage(64 * kMiB);
    heap.collect();
    const std::vector<CycleRecord> all = cycles.all();
    ASSERT_GT(all.size(), 1U) << barrier;
    for (const CycleRecord& cycle : all) {
      EXPECT_LE(cycle.heap_begin_bytes, cycle.heap_goal_bytes + kMiB / 4) << barrier << cycle.number;
      EXPECT_TRUE(cycle.limiter_active) << barrier << cycle.number;
    }
  }
}

// A goal below GOGC=100's would have one mark follow the other: until what is owed is paid, the heap may
// double.
TEST(CpuLimiter, WithoutAMemoryLimitTheHeapDoublesAtMost) {
  Cycles cycles;
  HeapConfig c = config(cycles);
  c.barrier = "none";
  c.gogc_percent = 10;
  Heap heap(c);
  MutatorScope scope(heap);
  const Root<Node> kept = keep(8 * kMiB);
  heap.collect();
  const uint64_t live = cycles.all().back().heap_live_bytes;
  ASSERT_GE(live, 8 * kMiB);
  owe_a_long_stop(heap);
  const size_t before = cycles.all().size();
  allocate_garbage(16 * kMiB);
  heap.collect();
  const std::vector<CycleRecord> all = cycles.all();
  ASSERT_GT(all.size(), before + 1) << "one that the heap asked for, and collect()";
  EXPECT_GE(all[before].heap_begin_bytes, 2 * live - kMiB / 4);
  EXPECT_LE(all[before].heap_begin_bytes, 2 * live + kMiB / 4);
  EXPECT_TRUE(all[before].limiter_active);
}

// A mutator that reaches no safepoint makes the world late: no collection takes place meanwhile, and nobody
// owes for it.
TEST(CpuLimiter, TheTimeToStopIsNotCollection) {
  for (const char* barrier : {"none", "hybrid"}) {
    Cycles cycles;
    HeapConfig c = config(cycles);
    c.barrier = barrier;
    Heap heap(c);
    MutatorScope scope(heap);
    std::thread other([&heap] { heap.collect(); });
    while ((World::pending(*Mutator::current()) & World::kStop) == 0) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(1200));  // more than the bucket holds
    blocking([&other] { other.join(); });
    EXPECT_GE(cycles.all().back().world_stop_ns, 1200 * kMillisecond) << barrier;
    EXPECT_FALSE(heap.core().keeper.limiting()) << barrier;
    const uint32_t before = heap.stats().num_gc;
    allocate_garbage(64 * kMiB);
    EXPECT_GT(heap.stats().num_gc, before) << barrier;
  }
}

TEST(FixedGoal, IsWhatTheHeapGrowsTo) {
  Cycles cycles;
  HeapConfig c = config(cycles);
  c.goal = GoalRule::kFixed;
  c.fixed_goal_bytes = 40 * kMiB;
  Heap heap(c);
  churn(heap, 4 * kMiB, 8);
  const std::vector<CycleRecord> all = cycles.all();
  ASSERT_GT(all.size(), 4U);
  for (const CycleRecord& cycle : all) EXPECT_EQ(cycle.heap_goal_bytes, 40 * kMiB);
}

TEST(Membalancer, GivesALargerHeapToACheaperPriceOfMemory) {
  uint64_t goals[2];
  for (int i = 0; i < 2; ++i) {
    Cycles cycles;
    HeapConfig c = config(cycles);
    c.goal = GoalRule::kMembalancer;
    c.membalancer_per_mib = i == 0 ? 100 : 0.0001;
    Heap heap(c);
    churn(heap, 4 * kMiB, 8);
    goals[i] = cycles.all().back().next_goal_bytes;
  }
  // The price differs by 10^6, so the extra by 10^3, whatever the machine's speed: far beyond its changes.
  EXPECT_GT(goals[1], 2 * goals[0]);
}

TEST(Periodic, ACycleComesOfItself) {
  Cycles cycles;
  HeapConfig c = config(cycles);
  c.periodic_ns = 20'000'000;
  Heap heap(c);
  while (cycles.all().size() < 3) std::this_thread::yield();
  for (const CycleRecord& cycle : cycles.all()) EXPECT_EQ(cycle.trigger, CycleTrigger::kPeriodic);
}

// The heap has asked for a cycle that is put off; an idle program pays for nothing, and the clock's comes.
TEST(Periodic, ACycleComesWhileTheHeapsOwnIsPutOff) {
  Cycles cycles;
  HeapConfig c = config(cycles);
  c.periodic_ns = 20'000'000;
  c.memory_limit_bytes = 3 * kMiB;
  Heap heap(c);
  owe_a_long_stop(heap);
  {
    MutatorScope scope(heap);
    allocate_garbage(8 * kMiB);
  }
  const size_t before = cycles.all().size();
  while (cycles.all().size() < before + 3) std::this_thread::yield();
  for (const CycleRecord& cycle : cycles.all()) EXPECT_EQ(cycle.trigger, CycleTrigger::kPeriodic);
}

TEST(GcStats, AgreeWithTheCycles) {
  Cycles cycles;
  Heap heap(config(cycles));
  churn(heap, kMiB, 8);
  heap.collect();
  const std::vector<CycleRecord> all = cycles.all();
  const GcStats stats = heap.gc_stats();
  ASSERT_EQ(stats.num_gc, all.size());
  EXPECT_EQ(stats.last_gc_unix_ns, all.back().end_unix_ns);
  int64_t total = 0;
  for (const CycleRecord& cycle : all) total += cycle.world_stop_ns;
  EXPECT_EQ(stats.pause_total_ns, total);
  EXPECT_EQ(stats.pause_ns.front(), all.back().world_stop_ns) << "most recent first";
  EXPECT_EQ(stats.pause_quantiles_ns.back(), *std::max_element(stats.pause_ns.begin(), stats.pause_ns.end()));
}

TEST(HeapStats, PartsAddUpAsGosDo) {
  Cycles cycles;
  Heap heap(config(cycles));
  churn(heap, 4 * kMiB, 8);
  heap.collect();
  const HeapStats s = heap.stats();
  EXPECT_EQ(s.heap_sys_bytes, s.heap_idle_bytes + s.heap_in_use_bytes);
  EXPECT_LE(s.heap_released_bytes, s.heap_idle_bytes);
  EXPECT_EQ(s.heap_objects, s.mallocs - s.frees);
  uint64_t mallocs = 0;
  uint64_t frees = 0;
  for (const HeapStats::BySize& size : s.by_size) {
    mallocs += size.mallocs;
    frees += size.frees;
  }
  EXPECT_EQ(mallocs, s.mallocs) << "no large object here";
  EXPECT_EQ(frees, s.frees);
}

}  // namespace
}  // namespace keel
