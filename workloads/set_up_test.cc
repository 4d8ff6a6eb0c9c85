// What a set-up needs, by the flags, and the line that says so.
#include "workloads/common/set_up.h"

#include <gtest/gtest.h>

#include "allocator/base/units.h"

namespace keel {
namespace {

constexpr uint64_t kLive = 3 * kGiB;

TEST(SetUpNeeds, LiveAndWhatTheGoalLetsGrowAboveIt) {
  CommonOptions options;
  EXPECT_EQ(needed_bytes(options, {kLive}), 2 * kLive);
  EXPECT_EQ(needed_bytes(options, {kLive, "", kGiB}), 2 * kLive + kGiB);
  options.heap.gogc_percent = 50;
  EXPECT_EQ(needed_bytes(options, {kLive}), kLive + kLive / 2);
  options.heap.gogc_percent = HeapConfig::kGogcOff;
  EXPECT_EQ(needed_bytes(options, {kLive}), kLive) << "nothing bounds it: at least the live data";
  options.heap.goal = GoalRule::kFixed;
  options.heap.fixed_goal_bytes = 8 * kGiB;
  EXPECT_EQ(needed_bytes(options, {kLive}), 8 * kGiB);
  options.collector = Collector::kMalloc;
  EXPECT_EQ(needed_bytes(options, {kLive}), kLive);
}

TEST(SetUpNeeds, NoMoreThanTheLimitsAllow) {
  CommonOptions options;
  options.heap.memory_limit_bytes = 4 * kGiB;
  EXPECT_EQ(needed_bytes(options, {kLive}), 4 * kGiB);
  EXPECT_EQ(needed_bytes(options, {5 * kGiB}), 5 * kGiB) << "the limit is soft";
  options.heap.max_heap_bytes = kGiB;
  EXPECT_EQ(needed_bytes(options, {5 * kGiB}), kGiB) << "this one is not";
}

TEST(SetUpNeeds, NothingForTheBallast) {
  CommonOptions options;
  options.ballast_bytes = kTiB;
  EXPECT_EQ(needed_bytes(options, {kLive}), 2 * kLive);
}

TEST(SetUpNeeds, SumsThatDoNotFitAreTheLargest) {
  CommonOptions options;
  EXPECT_EQ(needed_bytes(options, {UINT64_MAX / 4 * 3}), UINT64_MAX);
  EXPECT_EQ(needed_bytes(options, {kLive, "", UINT64_MAX}), UINT64_MAX);
}

TEST(SetUpNeeds, AreSaidOnlyWhereTheyAreMoreThanThereIs) {
  const CommonOptions options;
  const Footprint footprint{kLive, "--slots or --threads"};
  EXPECT_EQ(shortage(options, footprint, 6 * kGiB), "");
  EXPECT_EQ(
      shortage(options, footprint, 2 * kGiB),
      "note: this will need about 6.00 GiB of memory (3.00 GiB live at GOGC 100), 2.00 GiB are available; "
      "less of --slots or --threads needs less");
}

}  // namespace
}  // namespace keel
