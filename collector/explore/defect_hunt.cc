// Slices of schedules, scenario after scenario; see defect_hunt.h.
#include "collector/explore/defect_hunt.h"

#include <algorithm>
#include <cstdio>

#include "allocator/base/clock.h"
#include "allocator/base/defects.h"
#include "collector/explore/campaign.h"

namespace keel::explore {
namespace {

// Schedules of each scenario before the next one has its turn: few at first, so that each has one soon.
constexpr uint64_t kFirstSlice = 8;
constexpr uint64_t kLongestSlice = 512;

struct Hunted {
  const Scenario* scenario = nullptr;  // that found it
  Tally tally;
  uint64_t schedules = 0;
};

Hunted hunt(const std::vector<const Scenario*>& list, int64_t end_ns, uint64_t seed) {
  Hunted hunted;
  uint64_t slice = kFirstSlice;
  for (;; seed += slice, slice = std::min(2 * slice, kLongestSlice)) {
    for (const Scenario* scenario : list) {
      const int64_t left_ns = end_ns - now_ns();
      if (left_ns <= 0) return hunted;
      Campaign campaign;
      campaign.scenario = scenario;
      campaign.seed = seed;
      campaign.most_schedules = slice;
      campaign.most_ns = left_ns;
      hunted.tally = run_campaign(campaign);
      hunted.schedules += hunted.tally.schedules;
      if (!hunted.tally.found) continue;
      hunted.scenario = scenario;
      return hunted;
    }
  }
}

}  // namespace

void hunt_defects(const std::vector<const Scenario*>& list, int64_t each_ns, uint64_t seed) {
  size_t count = 0;
  const DefectFacts* facts = defect_list(count);
  size_t found = 0;
  size_t replayed = 0;
  std::printf("%-30s %-28s %10s %8s  %s\n", "defect", "found by", "schedules", "seconds", "found");
  for (size_t i = 1; i < count; ++i) {
    set_defect_for_testing(facts[i].defect);
    const int64_t begin_ns = now_ns();
    const Hunted hunted = hunt(list, begin_ns + each_ns, seed);
    const bool hit = hunted.scenario != nullptr;
    found += hit ? 1 : 0;
    replayed += hit && hunted.tally.replayed ? 1 : 0;
    std::printf("%-30s %-28s %10llu %8.1f  %.48s%s\n", keel::to_string(facts[i].defect).c_str(),
                hit ? hunted.scenario->name : "-", static_cast<unsigned long long>(hunted.schedules),
                static_cast<double>(now_ns() - begin_ns) / 1e9, hit ? hunted.tally.what.c_str() : "-",
                hunted.tally.replayed ? " (replayed)" : "");
    std::fflush(stdout);
  }
  set_defect_for_testing(Defect::kNone);
  std::printf("%zu of %zu defects found, %zu of these replayed\n", found, count - 1, replayed);
}

}  // namespace keel::explore
