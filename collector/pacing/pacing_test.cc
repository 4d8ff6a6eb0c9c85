// Goal, trigger and assist ratio as pure functions: Go's rules and bounds, without a heap.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "collector/pacing/cpu_limiter.h"
#include "collector/pacing/pacer.h"

namespace keel {
namespace {

TEST(Goal, GrowsByGogcOfLiveStacksAndGlobals) {
  EXPECT_EQ(gogc_goal({100 * kMiB, 0, 0, 100}), 200 * kMiB);
  EXPECT_EQ(gogc_goal({100 * kMiB, 8 * kMiB, 2 * kMiB, 100}), 210 * kMiB);
  EXPECT_EQ(gogc_goal({100 * kMiB, 0, 0, 50}), 150 * kMiB);
  EXPECT_EQ(gogc_goal({100 * kMiB, 0, 0, 0}), 100 * kMiB);
}

TEST(Goal, HasAFloorScaledByGogcAndCanBeOff) {
  EXPECT_EQ(gogc_goal({0, 0, 0, 100}), 4 * kMiB);
  EXPECT_EQ(gogc_goal({kMiB, 0, 0, 200}), 8 * kMiB);
  EXPECT_EQ(gogc_goal({kMiB, 0, 0, -1}), kNoGoal);
}

TEST(Trigger, StaysBetween70And95PercentOfTheWay) {
  const uint64_t live = 64 * kMiB;
  const uint64_t goal = 68 * kMiB;
  // No runway needed: as late as allowed; a huge one: as early as allowed.
  EXPECT_EQ(trigger_point({goal, live, 0, 0, 0}), live + 4 * kMiB * 61 / 64);
  EXPECT_EQ(trigger_point({goal, live, 1000, live, 0}), live + 4 * kMiB * 45 / 64);
  for (double c = 0; c < 10; c += 0.01) {
    const uint64_t t = trigger_point({goal, live, c, live, 0});
    EXPECT_GE(t, live + 4 * kMiB * 45 / 64);
    EXPECT_LE(t, live + 4 * kMiB * 61 / 64);
  }
}

TEST(Trigger, LargeHeapsMayStartFourMebibytesBeforeTheGoal) {
  EXPECT_EQ(trigger_point({2 * kGiB, kGiB, 0, 0, 0}), 2 * kGiB - 4 * kMiB);
}

TEST(Trigger, RunwayIsWhatTheProgramAllocatesWhileTheMarkRuns) {
  // c = 1/6 at u = 1/4: 3 c = 1/2 byte allocated per byte scanned.
  EXPECT_EQ(trigger_point({200 * kMiB, 100 * kMiB, 1.0 / 6, 40 * kMiB, 0}), 180 * kMiB);
}

TEST(Trigger, OffStaysOff) { EXPECT_EQ(trigger_point({kNoGoal, kMiB, 1, kMiB, 0}), kNoGoal); }

TEST(ConsMark, FollowsItsFormulaAndKeepsTheMaximumOfFive) {
  EXPECT_DOUBLE_EQ(cons_mark_of({100, 200, 0.25, 0.0}), 100 * 0.25 / (200 * 0.75));
  EXPECT_DOUBLE_EQ(cons_mark_of({100, 0, 0.25, 0.0}), 0);
  ConsMarkWindow window;
  EXPECT_EQ(window.add(5), 5);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(window.add(1), 5);
  EXPECT_EQ(window.add(1), 1) << "the fifth after the peak forgets it";
}

TEST(AssistRatio, WorkLeftOverRoomLeft) {
  EXPECT_DOUBLE_EQ(assist_ratio({10000000, 20000000, 0, 30000000, 20000000, 20000000, 1}), 1.0);
  EXPECT_DOUBLE_EQ(assist_ratio({10000000, 20000000, 5000000, 30000000, 20000000, 20000000, 1}), 0.5);
}

TEST(AssistRatio, AGrowingHeapStretchesTheRunwayInsteadOfTheRatio) {
  // 10 MB expected over 10 MB of room; then 20 MB turn out to be scannable: 20 MB of room, the same ratio.
  EXPECT_NEAR(assist_ratio({10000000, 20000000, 10000001, 30000000, 20000000, 30000001, 1}),
              9999999.0 / 9999999.0, 1e-9);
  // But no further than the next cycle would go: GOGC=10 allows 33 MB.
  EXPECT_NEAR(assist_ratio({10000000, 20000000, 10000001, 30000000, 20000000, 30000000, 0.1}),
              9999999.0 / 3000000.0, 1e-9);
}

TEST(AssistRatio, BeyondTheGoalItAssumesTheWorstAndTenPercentMore) {
  EXPECT_NEAR(assist_ratio({10000000, 20000000, 5000000, 30000000, 20000000, 31000000, 1}),
              15000000.0 / 2000000.0, 1e-9);
  EXPECT_GT(assist_ratio({100, 100, 100, 100, 100, 100, 1}), 0);
}

TEST(MemoryLimit, LeavesHeadroomBelowTheLimit) {
  EXPECT_EQ(memory_limit_goal(kNoGoal, {}, 0), kNoGoal);
  EXPECT_EQ(memory_limit_goal(512 * kMiB, {}, 0), 512 * kMiB - 512 * kMiB / 100 * 3);
  EXPECT_EQ(memory_limit_goal(16 * kMiB, {}, 0), 15 * kMiB) << "at least 1 MiB";
  EXPECT_EQ(memory_limit_goal(kMiB, {}, 0), kMiB) << "a limit that the headroom would eat";
}

TEST(MemoryLimit, TakesOffWhatIsNotHeapAndWhatIsOver) {
  // 100 MiB mapped: 60 of objects, 20 free, so 20 of other things.
  EXPECT_EQ(memory_limit_goal(120 * kMiB, {100 * kMiB, 20 * kMiB, 60 * kMiB}, 0),
            goal_below_limit(100 * kMiB));
  // The same with 10 MiB too much.
  EXPECT_EQ(memory_limit_goal(90 * kMiB, {100 * kMiB, 20 * kMiB, 60 * kMiB}, 0), goal_below_limit(60 * kMiB));
  EXPECT_EQ(memory_limit_goal(120 * kMiB, {100 * kMiB, 20 * kMiB, 60 * kMiB}, 110 * kMiB), 110 * kMiB);
  EXPECT_EQ(memory_limit_goal(20 * kMiB, {100 * kMiB, 0, 60 * kMiB}, 60 * kMiB), 60 * kMiB)
      << "other memory alone is over the limit: cycle after cycle, but never below live";
}

TEST(Membalancer, FollowsItsEquation) {
  // L = 100 MiB, g = 50 MiB/s, s = 500 MiB/s, c = 0.1/MiB: sqrt(100 * 50 / (0.1 * 500)) = 10 MiB.
  const MembalancerInputs in{100 * kMiB, 50.0 * kMiB, 500.0 * kMiB, 0.1 / kMiB};
  EXPECT_NEAR(static_cast<double>(membalancer_goal(in)), 110.0 * kMiB, 1.0);
}

TEST(Membalancer, DimensionsAgree) {
  // Bytes and MiB as the unit of everything give the same heap: the extra scales as a length of memory.
  const double in_mib = std::sqrt(100.0 * 50 / (0.1 * 500));
  const MembalancerInputs in_bytes{100 * kMiB, 50.0 * kMiB, 500.0 * kMiB, 0.1 / kMiB};
  EXPECT_NEAR(static_cast<double>(membalancer_goal(in_bytes) - 100 * kMiB) / kMiB, in_mib, 1e-6);
  // Seconds and milliseconds as well: g and s are both rates, and only their ratio counts.
  const MembalancerInputs in_ms{100 * kMiB, 0.05 * kMiB, 0.5 * kMiB, 0.1 / kMiB};
  EXPECT_EQ(membalancer_goal(in_ms), membalancer_goal(in_bytes));
  // The extra grows as the root of live size and of allocation rate, and falls as the root of price and
  // speed.
  auto extra = [](double live, double g, double s, double c) {
    const MembalancerInputs scaled{static_cast<uint64_t>(live * 100 * kMiB), g * 50 * kMiB, s * 500 * kMiB,
                                   c * 0.1 / kMiB};
    return static_cast<double>(membalancer_goal(scaled) - scaled.live_bytes);
  };
  const double one = extra(1, 1, 1, 1);
  EXPECT_NEAR(extra(4, 1, 1, 1) / one, 2, 1e-6);
  EXPECT_NEAR(extra(1, 4, 1, 1) / one, 2, 1e-6);
  EXPECT_NEAR(extra(1, 1, 4, 1) / one, 0.5, 1e-6);
  EXPECT_NEAR(extra(1, 1, 1, 4) / one, 0.5, 1e-6);
}

TEST(Membalancer, HasAFloorAndABeginning) {
  EXPECT_EQ(membalancer_goal({0, 0, 0, 1}), kHeapMinimum);
  EXPECT_EQ(membalancer_goal({100 * kMiB, 0, 0, 1}), 200 * kMiB) << "nothing measured yet: as GOGC=100";
}

TEST(FixedGoal, IsFixedUnlessMoreLives) {
  EXPECT_EQ(fixed_goal(64 * kMiB, 10 * kMiB), 64 * kMiB);
  EXPECT_EQ(fixed_goal(64 * kMiB, 100 * kMiB), 100 * kMiB);
}

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1'000'000'000;

// The bucket in numbers, as Go's test of its limiter takes it through them (mgclimit_test.go).
TEST(CpuLimiter, FillsWithCollectionAndDrainsWithTheProgram) {
  constexpr int kCores = 14;
  CpuLimiter limiter(0, kCores);
  EXPECT_EQ(limiter.capacity_ns(), kCores * kSecond);
  int64_t now = 3600 * kSecond;
  limiter.update(now, 0, 0);
  EXPECT_EQ(limiter.fill_ns(), 0) << "only the program ran";
  limiter.stop(now, now + 2 * kMs, 2 * kMs * kCores, true);
  now += 2 * kMs;
  EXPECT_EQ(limiter.fill_ns(), 2 * kMs * kCores) << "a stop is all the collector's";
  // Marking in the background takes a quarter: half of the rest of the window drains.
  now += kMs;
  limiter.update(now, 0, 0);
  EXPECT_EQ(limiter.fill_ns(), (2 * kMs - kMs / 2) * kCores);
  now += 10 * kSecond;
  limiter.update(now, 0, 0);
  EXPECT_EQ(limiter.fill_ns(), 0);
  // Half of the CPU: balanced.
  now += 10 * kMs;
  limiter.update(now, 10 * kMs * kCores / 4, 0);
  EXPECT_EQ(limiter.fill_ns(), 0);
  EXPECT_FALSE(limiter.limiting());
}

TEST(CpuLimiter, LimitsWhenFullAndStopsWhenItDrains) {
  constexpr int kCores = 4;
  CpuLimiter limiter(0, kCores);
  limiter.stop(0, 0, 0, true);
  int64_t now = kSecond - kMs;
  limiter.update(now, now * kCores * 3 / 4, 0);
  EXPECT_FALSE(limiter.limiting());
  now += kMs;
  limiter.update(now, kMs * kCores * 3 / 4, 0);
  EXPECT_EQ(limiter.fill_ns(), limiter.capacity_ns());
  EXPECT_TRUE(limiter.limiting());
  EXPECT_EQ(limiter.overflow_ns(), 0);
  now += kSecond;
  limiter.update(now, kSecond * kCores * 3 / 4, 0);
  EXPECT_EQ(limiter.overflow_ns(), kSecond * kCores) << "what does not fit is counted";
  EXPECT_TRUE(limiter.limiting());
  now += kSecond;
  limiter.update(now, 0, 0);
  EXPECT_EQ(limiter.fill_ns(), limiter.capacity_ns() / 2 + 2 * CpuLimiter::kPeriodNs * kCores)
      << "background marking alone drains at half speed";
  EXPECT_FALSE(limiter.limiting());
}

TEST(CpuLimiter, HoldsCollectionToAHalf) {
  // A collector that takes everything it may: 75 % in assists whenever they are allowed.
  constexpr int kCores = 2;
  CpuLimiter limiter(0, kCores);
  limiter.stop(0, 0, 0, true);
  int64_t gc = 0;
  int64_t now = 0;
  while (now < 100 * kSecond) {
    const int64_t assists = limiter.limiting() ? 0 : 10 * kMs * kCores * 3 / 4;
    now += 10 * kMs;
    gc += assists + 10 * kMs * kCores / 4;
    limiter.update(now, assists, 0);
  }
  const double share = static_cast<double>(gc) / static_cast<double>(now * kCores);
  EXPECT_LE(share, 0.51);
  EXPECT_GE(share, 0.49);
}

// Marks inside stops (no barrier), one after the other as soon as the limiter allows it: the program gets as
// much time as they take, however long they are.
TEST(CpuLimiter, HoldsMarksInsideStopsToAHalf) {
  for (int64_t stop_ns : {kMs, 100 * kMs, 3 * kSecond}) {
    constexpr int kCores = 2;
    CpuLimiter limiter(0, kCores);
    int64_t gc = 0;
    int64_t now = 0;
    while (now < 1000 * kSecond) {
      if (limiter.puts_off()) {
        now += 10 * kMs;
        limiter.update(now, 0, 0);
      } else {
        limiter.stop(now, now + stop_ns, stop_ns * kCores, false);
        now += stop_ns;
        gc += stop_ns;
      }
    }
    const double share = static_cast<double>(gc) / static_cast<double>(now);
    EXPECT_LE(share, 0.51) << stop_ns;
    EXPECT_GE(share, 0.49) << stop_ns;
  }
}

TEST(CpuLimiter, IdleTimeIsNobodys) {
  CpuLimiter limiter(0, 2);
  limiter.stop(0, 100 * kMs, 200 * kMs, false);
  const int64_t fill = limiter.fill_ns();
  limiter.update(200 * kMs, 0, 200 * kMs);
  EXPECT_EQ(limiter.fill_ns(), fill) << "an idle machine does not drain the bucket";
}

// A process that is stopped (SIGSTOP), or that gets no core, collects nothing meanwhile, whatever it was
// about.
TEST(CpuLimiter, CollectionIsNoMoreThanWhatTheProcessUsed) {
  CpuLimiter limiter(0, 2);
  limiter.stop(0, 0, 0, true);
  limiter.update(100 * kSecond, 50 * kSecond, 200 * kSecond);
  EXPECT_EQ(limiter.fill_ns(), 0);
  EXPECT_FALSE(limiter.limiting());
  limiter.update(200 * kSecond, 50 * kSecond, 200 * kSecond - 30 * kMs);
  EXPECT_EQ(limiter.fill_ns(), 30 * kMs);
}

TEST(CpuLimiter, AStopCostsAllCoresForAsLongAsItWouldTakeOnAnIdleMachine) {
  constexpr int kCores = 8;
  // To itself, all cores marking; and one that has all the work while seven look on (Go's charge).
  EXPECT_EQ(stop_cost_ns({100 * kMs, 0, 100 * kMs, 800 * kMs}, kCores), 800 * kMs);
  EXPECT_EQ(stop_cost_ns({100 * kMs, 0, 100 * kMs, 100 * kMs}, kCores), 800 * kMs);
  EXPECT_EQ(stop_cost_ns({100 * kMs, 90 * kMs, 10 * kMs, 100 * kMs}, kCores), 800 * kMs) << "a worker has it";
  // The same beside other programs that leave it a quarter of each core.
  EXPECT_EQ(stop_cost_ns({400 * kMs, 0, 100 * kMs, 800 * kMs}, kCores), 800 * kMs);
  EXPECT_EQ(stop_cost_ns({400 * kMs, 200 * kMs, 50 * kMs, 800 * kMs}, kCores), 800 * kMs);
  EXPECT_EQ(stop_cost_ns({400 * kMs, 360 * kMs, 10 * kMs, 100 * kMs}, kCores), 800 * kMs);
  // The process is stopped for an hour in the middle of it, while the cycle thread is at work or asleep.
  EXPECT_LE(stop_cost_ns({3600 * kSecond, 0, 100 * kMs, 800 * kMs}, kCores), 800 * kMs);
  EXPECT_LE(stop_cost_ns({3600 * kSecond, 3599 * kSecond, 100 * kMs, 100 * kMs}, kCores), 800 * kMs);
  // Nothing at all.
  EXPECT_EQ(stop_cost_ns({}, kCores), 0);
  EXPECT_EQ(stop_cost_ns({100 * kMs, 100 * kMs, 0, 0}, kCores), 0);
}

// Stops that were not put off (collect()) do not add up: the program owes the last one, however many there
// were.
TEST(CpuLimiter, OwesOneStopAndNoMore) {
  constexpr int kCores = 2;
  CpuLimiter limiter(0, kCores);
  int64_t now = 0;
  for (int n = 0; n < 100; ++n, now += 3 * kSecond) limiter.stop(now, now + 3 * kSecond, 6 * kSecond, false);
  EXPECT_TRUE(limiter.puts_off());
  limiter.update(now += 3 * kSecond - kMs, 0, 0);
  EXPECT_TRUE(limiter.puts_off());
  limiter.update(now += kMs, 0, 0);
  EXPECT_FALSE(limiter.puts_off());
  limiter.update(now += kMs, 0, 0);
  EXPECT_FALSE(limiter.limiting());
}

// Assists fill the bucket, and stops are short: mutators do not assist, and cycles begin when they should.
TEST(CpuLimiter, PutsNoCycleOffForAssists) {
  constexpr int kCores = 2;
  CpuLimiter limiter(0, kCores);
  limiter.stop(0, 0, 0, true);
  limiter.update(4 * kSecond, 4 * kSecond * kCores * 3 / 4, 0);
  EXPECT_TRUE(limiter.limiting());
  EXPECT_FALSE(limiter.puts_off());
}

TEST(Pacer, TriggersAreOffWhileACycleRuns) {
  Pacer pacer({});
  EXPECT_EQ(pacer.goal_bytes(), 4 * kMiB);
  EXPECT_FALSE(pacer.add_live(kMiB, kMiB));
  EXPECT_TRUE(pacer.add_live(3 * kMiB, 0));
  pacer.begin_cycle({});
  EXPECT_FALSE(pacer.add_live(100 * kMiB, 0));
  CycleMeasurements measured;
  measured.live_bytes = 10 * kMiB;
  measured.scanned_heap_bytes = 5 * kMiB;
  measured.utilization = 0.25;
  pacer.end_cycle(measured);
  EXPECT_EQ(pacer.live_bytes(), 10 * kMiB);
  EXPECT_EQ(pacer.goal_bytes(), 20 * kMiB);
}

TEST(Pacer, AMemoryLimitLowersAnyGoalAndMovesWithTheFigures) {
  Pacer pacer({.gogc_percent = -1, .memory_limit_bytes = 100 * kMiB});
  EXPECT_TRUE(pacer.limited());
  EXPECT_EQ(pacer.goal_bytes(), goal_below_limit(100 * kMiB));
  pacer.update_memory({30 * kMiB, 0, 10 * kMiB});
  EXPECT_EQ(pacer.goal_bytes(), goal_below_limit(80 * kMiB));
  pacer.set_gogc_percent(100);
  EXPECT_FALSE(pacer.limited()) << "GOGC's goal of 4 MiB is lower";
  EXPECT_EQ(pacer.goal_bytes(), 4 * kMiB);
}

CycleMeasurements live_of(uint64_t bytes) {
  CycleMeasurements measured;
  measured.live_bytes = bytes;
  return measured;
}

TEST(Pacer, PutsACycleOffWithoutABoundOnlyWhileAMemoryLimitSetsTheGoal) {
  Pacer pacer({.gogc_percent = 10});
  EXPECT_EQ(pacer.put_off_until_bytes(), pacer.goal_bytes());
  pacer.begin_cycle({});
  pacer.end_cycle(live_of(100 * kMiB));
  EXPECT_EQ(pacer.goal_bytes(), 110 * kMiB);
  EXPECT_EQ(pacer.put_off_until_bytes(), 200 * kMiB);
  pacer.set_gogc_percent(400);
  EXPECT_EQ(pacer.put_off_until_bytes(), 500 * kMiB) << "the goal, which is higher";
  pacer.set_memory_limit(600 * kMiB);
  EXPECT_EQ(pacer.put_off_until_bytes(), 500 * kMiB);
  pacer.set_memory_limit(50 * kMiB);
  EXPECT_EQ(pacer.put_off_until_bytes(), kNoGoal);
}

TEST(Pacer, EveryRuleSetsTheGoal) {
  Pacer fixed({.rule = GoalRule::kFixed, .fixed_bytes = 64 * kMiB});
  EXPECT_EQ(fixed.goal_bytes(), 64 * kMiB);
  Pacer balanced({.rule = GoalRule::kMembalancer, .membalancer_price = 0.1 / kMiB});
  balanced.begin_cycle({});
  CycleMeasurements measured;
  measured.live_bytes = 100 * kMiB;
  measured.allocated_bytes = 50 * kMiB;
  measured.elapsed_seconds = 1;
  measured.mark_cpu_seconds = 0.2;
  balanced.end_cycle(measured);
  EXPECT_NEAR(static_cast<double>(balanced.goal_bytes()), 110.0 * kMiB, 1.0);
}

TEST(Pacer, WhatIsAllocatedAfterMarkingEndedIsLive) {
  Pacer pacer({});
  pacer.add_live(3 * kMiB, 0);
  pacer.begin_cycle({});
  pacer.add_live(kMiB, 0);
  CycleMeasurements measured;
  measured.live_bytes = 2 * kMiB;
  measured.new_bytes = 64 * kKiB;  // of the MiB: by a thread that was told first
  pacer.end_cycle(measured);
  EXPECT_EQ(pacer.live_bytes(), 2 * kMiB + 64 * kKiB);
}

TEST(Pacer, CreditIsTakenOnce) {
  Pacer pacer({});
  pacer.add_credit(100);
  EXPECT_EQ(pacer.steal_credit(60), 61) << "rounded up to whole bytes";
  EXPECT_EQ(pacer.steal_credit(60), 39);
  EXPECT_EQ(pacer.steal_credit(60), 0);
}

// Beside 1 TiB of ballast past its goal one allocation can owe more than an int64_t holds.
TEST(Pacer, ADebtOfAnySizeTakesTheCreditThereIs) {
  for (const double debt : {1e18, 9.3e18, 1e30, std::numeric_limits<double>::infinity()}) {
    Pacer pacer({});
    pacer.add_credit(100);
    EXPECT_EQ(pacer.steal_credit(debt), 100) << debt;
    EXPECT_EQ(pacer.credit(), 0) << debt;
  }
}

}  // namespace
}  // namespace keel
