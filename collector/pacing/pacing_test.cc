// Goal, trigger and assist ratio as pure functions: Go's rules and bounds, without a heap.
#include <gtest/gtest.h>

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
  EXPECT_EQ(trigger_point({goal, live, 0, 0}), live + 4 * kMiB * 61 / 64);
  EXPECT_EQ(trigger_point({goal, live, 1000, live}), live + 4 * kMiB * 45 / 64);
  for (double c = 0; c < 10; c += 0.01) {
    const uint64_t t = trigger_point({goal, live, c, live});
    EXPECT_GE(t, live + 4 * kMiB * 45 / 64);
    EXPECT_LE(t, live + 4 * kMiB * 61 / 64);
  }
}

TEST(Trigger, LargeHeapsMayStartFourMebibytesBeforeTheGoal) {
  EXPECT_EQ(trigger_point({2 * kGiB, kGiB, 0, 0}), 2 * kGiB - 4 * kMiB);
}

TEST(Trigger, RunwayIsWhatTheProgramAllocatesWhileTheMarkRuns) {
  // c = 1/6 at u = 1/4: 3 c = 1/2 byte allocated per byte scanned.
  EXPECT_EQ(trigger_point({200 * kMiB, 100 * kMiB, 1.0 / 6, 40 * kMiB}), 180 * kMiB);
}

TEST(Trigger, OffStaysOff) { EXPECT_EQ(trigger_point({kNoGoal, kMiB, 1, kMiB}), kNoGoal); }

TEST(ConsMark, FollowsItsFormulaAndKeepsTheMaximumOfFive) {
  EXPECT_DOUBLE_EQ(cons_mark_of({100, 200, 0.25, 0.0}), 100 * 0.25 / (200 * 0.75));
  EXPECT_DOUBLE_EQ(cons_mark_of({100, 0, 0.25, 0.0}), 0);
  ConsMarkWindow window;
  EXPECT_EQ(window.add(5), 5);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(window.add(1), 5);
  EXPECT_EQ(window.add(1), 1) << "the fifth after the peak forgets it";
}

TEST(AssistRatio, WorkLeftOverRoomLeft) {
  EXPECT_DOUBLE_EQ(assist_ratio({10000000, 20000000, 0, 30000000, 20000000}), 1.0);
  EXPECT_DOUBLE_EQ(assist_ratio({10000000, 20000000, 5000000, 30000000, 20000000}), 0.5);
}

TEST(AssistRatio, BeyondTheExpectedItAssumesTheWorstAndMovesTheGoal) {
  // More scanned than expected: everything that was live may have to be scanned, by 1.1 times the goal.
  EXPECT_DOUBLE_EQ(assist_ratio({10, 20000000, 12000000, 30000000, 25000000}), 8000000.0 / 8000000.0);
  EXPECT_GT(assist_ratio({100, 100, 100, 100, 100}), 0);
}

TEST(Pacer, TriggersAreOffWhileACycleRuns) {
  Pacer pacer(100);
  EXPECT_EQ(pacer.goal_bytes(), 4 * kMiB);
  EXPECT_FALSE(pacer.add_live(kMiB));
  EXPECT_TRUE(pacer.add_live(3 * kMiB));
  pacer.begin_cycle();
  EXPECT_FALSE(pacer.add_live(100 * kMiB));
  pacer.end_cycle({10 * kMiB, 5 * kMiB, 0, 0, 0.25, 0});
  EXPECT_EQ(pacer.live_bytes(), 10 * kMiB);
  EXPECT_EQ(pacer.goal_bytes(), 20 * kMiB);
}

TEST(Pacer, CreditIsTakenOnce) {
  Pacer pacer(100);
  pacer.add_credit(100);
  EXPECT_EQ(pacer.steal_credit(60), 61) << "rounded up to whole bytes";
  EXPECT_EQ(pacer.steal_credit(60), 39);
  EXPECT_EQ(pacer.steal_credit(60), 0);
}

}  // namespace
}  // namespace keel
