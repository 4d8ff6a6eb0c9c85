// CONFIG: the explore build
//
// The explorer finds mended faults that are put back, says how to repeat it, and the repetition is the same
// run; and the code as it is passes a bounded number of schedules of every scenario.
#include <gtest/gtest.h>

#include "allocator/base/defects.h"
#include "collector/explore/campaign.h"

namespace keel::explore {
namespace {

class Faults : public testing::Test {
 protected:
  ~Faults() override { set_defect_for_testing(Defect::kNone); }
  static Tally put_back(Defect defect, const char* scenario, uint64_t most_schedules) {
    set_defect_for_testing(defect);
    Campaign campaign;
    campaign.scenario = find_scenario(scenario);
    campaign.most_schedules = most_schedules;
    return run_campaign(campaign);
  }
};

TEST_F(Faults, ANestedBlockingRegionThatLeavesTwiceIsFoundAndReplayed) {
  const Tally tally = put_back(Defect::kNestedBlockingDeadlock, "blocking-stw", 100);
  ASSERT_TRUE(tally.found);
  EXPECT_TRUE(tally.replayed) << tally.replay;
}

TEST_F(Faults, AChildOfAForkThatWaitsForAStopIsFoundAndReplayed) {
  const Tally tally = put_back(Defect::kForkWithStopPending, "fork-stw", 2000);
  ASSERT_TRUE(tally.found);
  EXPECT_NE(tally.what.find("deadlock"), std::string::npos) << tally.what;
  EXPECT_TRUE(tally.replayed) << tally.replay;
}

TEST_F(Faults, AStoreThatDoesNotShadeIsFoundAndReplayed) {
  for (Defect defect : {Defect::kHybridWithoutDeletion, Defect::kHybridWithoutInsertion}) {
    const Tally tally = put_back(defect, "marking-handshake", 5000);
    ASSERT_TRUE(tally.found) << keel::to_string(defect);
    EXPECT_TRUE(tally.replayed) << tally.replay;
  }
}

// Two windows must be open at once: a worker keeps work that will overflow while the last stop looks at the
// flags, and ends with it before the stop looks whether anybody works.
TEST_F(Faults, AnOverflowAfterTheFlagsWereLookedAtIsFoundAndReplayed) {
  const Tally tally = put_back(Defect::kFlagsBeforeQuiet, "overflow-late-stw", 40'000);
  ASSERT_TRUE(tally.found);
  EXPECT_TRUE(tally.replayed) << tally.replay;
  const Tally mended = put_back(Defect::kNone, "overflow-late-stw", tally.schedules + 1);
  EXPECT_FALSE(mended.found) << mended.what << "; repeat it with: " << mended.replay;
}

// A schedule depends on its seed alone: alone, and after others in the same process.
TEST(Schedules, TheSameSeedIsTheSameRunOfTheCollector) {
  for (const Scenario& scenario : scenarios()) {
    Campaign campaign;
    campaign.scenario = &scenario;
    campaign.seed = 1;
    campaign.most_schedules = 9;
    const Tally after_others = run_campaign(campaign);
    campaign.seed = 9;
    campaign.most_schedules = 1;
    const Tally alone = run_campaign(campaign);
    ASSERT_FALSE(after_others.found || alone.found)
        << scenario.name << ": " << after_others.what << alone.what;
    EXPECT_EQ(after_others.trace_hash, alone.trace_hash) << scenario.name;
  }
}

// Of a heap small enough, every schedule with one deviation: each search ends by itself and finds nothing;
// with a barrier that lacks a half it finds the lost object.
TEST_F(Faults, EveryScheduleOfATinyHeapWithOneDeviationIsMade) {
  const auto search = [](const char* scenario) {
    Campaign campaign;
    campaign.scenario = find_scenario(scenario);
    campaign.strategy = StrategyKind::kBounded;
    campaign.most_deviations = 1;
    return run_campaign(campaign);
  };
  for (const char* scenario : {"tiny-stw", "tiny-handshake"}) {
    const Tally tally = search(scenario);
    EXPECT_FALSE(tally.found) << tally.what << "; repeat it with: " << tally.replay;
    EXPECT_EQ(tally.completed_deviations, 1) << scenario;
    EXPECT_GT(tally.schedules, 300U) << scenario;
  }
  set_defect_for_testing(Defect::kHybridWithoutInsertion);
  const Tally tally = search("tiny-handshake");
  ASSERT_TRUE(tally.found);
  EXPECT_NE(tally.what.find("lost object"), std::string::npos) << tally.what;
  EXPECT_TRUE(tally.replayed) << tally.replay;
}

TEST(Schedules, NothingIsFoundInAFewOfEveryScenario) {
  for (const Scenario& scenario : scenarios()) {
    Campaign campaign;
    campaign.scenario = &scenario;
    campaign.seed = 1000;
    campaign.most_schedules = 100;
    const Tally tally = run_campaign(campaign);
    EXPECT_FALSE(tally.found) << tally.what << "; repeat it with: " << tally.replay;
  }
}

}  // namespace
}  // namespace keel::explore
