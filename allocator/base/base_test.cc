// Sizes, durations, bits, histogram-free basics of layer 0.
#include <gtest/gtest.h>

#include "allocator/base/bits.h"
#include "allocator/base/defects.h"
#include "allocator/base/machine.h"
#include "allocator/base/mutex.h"
#include "allocator/base/rng.h"
#include "allocator/base/units.h"

namespace keel {
namespace {

TEST(Units, SizesFollowGoMemlimitSyntax) {
  EXPECT_EQ(parse_size("10GiB").value(), 10 * kGiB);
  EXPECT_EQ(parse_size("17").value(), 17U);
  EXPECT_EQ(parse_size("17B").value(), 17U);
  EXPECT_EQ(parse_size("0B").value(), 0U);
  for (const char* bad :
       {"10.5GiB", "10GB", "-1B", "", "GiB", "1 GiB", "1gib", "9000000TiB", "99999999999999999999"}) {
    EXPECT_FALSE(parse_size(bad).ok()) << bad;
    EXPECT_NE(parse_size(bad).error().find(std::string("'") + bad + "'"), std::string::npos);
  }
}

TEST(Units, DurationsNeedAUnit) {
  EXPECT_EQ(parse_duration("2m").value(), 120 * kSecond);
  EXPECT_EQ(parse_duration("10ms").value(), 10 * kMillisecond);
  for (const char* bad : {"10", "1h", "1.5s", "", "s"}) EXPECT_FALSE(parse_duration(bad).ok()) << bad;
}

TEST(Units, FormatReadsBack) {
  for (uint64_t n : {uint64_t{0}, uint64_t{1}, kKiB, 3 * kMiB, 10 * kGiB, 4 * kTiB, kGiB + 1}) {
    EXPECT_EQ(parse_size(format_size(n)).value(), n) << format_size(n);
  }
}

TEST(Bits, WordMaskCoversExactlyTheRun) {
  for (size_t begin = 0; begin < 130; begin += 7) {
    for (size_t end = begin; end < 200; end += 5) {
      for (size_t i = 0; i < 200; ++i) {
        const bool in = (word_mask(i / 64, begin, end) >> (i % 64) & 1) != 0;
        ASSERT_EQ(in, i >= begin && i < end) << begin << " " << end << " " << i;
      }
    }
  }
}

TEST(Rng, SameSeedSameSequence) {
  Rng a(7);
  Rng b(7);
  Rng c(8);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const uint64_t x = a.next();
    EXPECT_EQ(x, b.next());
    differs = differs || x != c.next();
    EXPECT_LT(a.below(10), 10U);
    b.below(10);
  }
  EXPECT_TRUE(differs);
}

TEST(Machine, KnowsItsCoresAndMemory) {
  EXPECT_GE(usable_cores(), 1);
  EXPECT_LE(static_cast<size_t>(usable_cores()), affinity_cores().size());
  EXPECT_GT(physical_memory_bytes(), 64 * kMiB);
  EXPECT_GT(resident_bytes(), 0U);
  EXPECT_GT(process_memory().virtual_bytes, process_memory().resident_bytes);
}

TEST(Defects, HaveDistinctNamesAndAreOffWithoutBeingAskedFor) {
  size_t count = 0;
  const DefectFacts* list = defect_list(count);
  ASSERT_GT(count, 1U);
  for (size_t i = 0; i < count; ++i) {
    EXPECT_EQ(find_defect(to_string(list[i].defect)), list[i].defect);
    EXPECT_EQ(defect(list[i].defect), kExploreBuild && i == 0) << to_string(list[i].defect);
  }
  EXPECT_EQ(find_defect("no_such_defect"), std::nullopt);
  set_defect_for_testing(list[1].defect);
  EXPECT_EQ(defect(list[1].defect), kExploreBuild);
  set_defect_for_testing(Defect::kNone);
}

TEST(MutexDeathTest, LocksAreTakenInRankOrder) {
  if (!KEEL_DEBUG_CHECKS) GTEST_SKIP() << "ranks are checked in debug builds";
  Mutex low(LockRank::kRegistry);
  Mutex high(LockRank::kPages);
  {
    MutexLock first(low);
    MutexLock second(high);
  }
  EXPECT_DEATH(
      {
        MutexLock first(high);
        MutexLock second(low);
      },
      "rank 20 taken while holding rank 60");
}

}  // namespace
}  // namespace keel
