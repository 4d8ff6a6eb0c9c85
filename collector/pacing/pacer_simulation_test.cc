// CONFIG: goals=gogc,memory-limit
//
// Go's own test of a pacer: the 19 scenarios of its simulation, by their names, parameters and bounds, on the
// Pacer that the heap runs (simulated_program.h). Source of parameters and bounds: Go mgcpacer_test.go.
#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <vector>

#include "collector/pacing/simulated_program.h"

namespace keel::simulation {
namespace {

using Results = std::vector<CycleResult>;

/// What must hold after each cycle; `r` has the cycles so far.
using Check = std::function<void(const Results& r)>;

constexpr uint64_t kLimit = 512 * kMiB;

void expect_within(const char* what, double value, double low, double high, const Results& r) {
  EXPECT_GE(value, low) << what << " in cycle " << r.back().cycle;
  EXPECT_LE(value, high) << what << " in cycle " << r.back().cycle;
}
void expect_near(const char* what, double value, double wanted, double error, const Results& r) {
  expect_within(what, value, wanted - error, wanted + error, r);
}
double before(const Results& r) { return r[r.size() - 2].utilization; }

// Settled: the collector takes the share it aims at, cycle after cycle, and ends at the goal.
void expect_level(const Results& r, double error = 0.005) {
  expect_near("utilization against the last cycle", r.back().utilization, before(r), error, r);
}
void expect_settled(const Results& r, double utilization = kGoalUtilization) {
  expect_near("utilization", r.back().utilization, utilization, 0.005, r);
  expect_level(r);
}
void expect_goal_ratio(const Results& r, double low = 0.95, double high = 1.05) {
  expect_within("peak / goal", r.back().goal_ratio(), low, high, r);
}
void settled_from_25(const Results& r) {
  if (r.size() < 25) return;
  expect_settled(r);
  expect_goal_ratio(r);
}
// The step comes in cycle 50.
void level_apart_from_the_step(const Results& r) {
  if (!((r.size() >= 25 && r.size() < 50) || r.size() >= 75)) return;
  expect_level(r);
  expect_goal_ratio(r);
}
// Slow allocation: the mark begins early enough, but not much earlier than needed.
void slow_allocation(const Results& r, size_t settled, const std::function<void(const Results&)>& room) {
  if (r.size() > settled) room(r);
  if (r.size() <= 25) return;
  expect_near("utilization", r.back().utilization, kGoalUtilization, 0.005, r);
  expect_level(r, 0.05);
  expect_near("utilization against cycle 12", r.back().utilization, r[11].utilization, 0.05, r);
}
void expect_proportional_room(const Results& r) {
  expect_goal_ratio(r, 0.925, 1.025);
  expect_within("trigger ratio", r.back().trigger_ratio(), 0.925, 0.975, r);
}
void expect_limit_is_goal(const Results& r) {
  EXPECT_EQ(r.back().goal_bytes, goal_below_limit(kLimit)) << "in cycle " << r.back().cycle;
}
// Far beyond the limit: the goal is as low as it can be, and (without the CPU limiter, which is not the
// pacer's part) the collector takes everything.
void exceeds_limit(const Results& r) {
  if (r.size() > 12) {
    EXPECT_EQ(r.back().goal_bytes, r.back().live_bytes) << "in cycle " << r.back().cycle;
  }
  if (r.size() >= 25) expect_settled(r, 1.0);
}

// The live heap grows to its size in the first 12 cycles.
Stream grows(double from, int cycles = 12) { return constant(from).plus(ramp(1 - from, cycles)); }

void run(Scenario scenario, const Check& check) {
  const int length = scenario.length;
  Program program(std::move(scenario));
  Results results;
  for (int i = 0; i < length && !testing::Test::HasFailure(); ++i) {
    results.push_back(program.next_cycle());
    const CycleResult& r = results.back();
    ASSERT_GE(r.utilization, 0);
    ASSERT_LE(r.utilization, 1.0000001);
    check(results);
  }
  if (!testing::Test::HasFailure()) return;
  for (const CycleResult& r : results) {
    std::printf("%2d %.4f live %llu triggered %llu peak %llu goal %llu\n", r.cycle, r.utilization,
                static_cast<unsigned long long>(r.live_bytes),
                static_cast<unsigned long long>(r.triggered_bytes),
                static_cast<unsigned long long>(r.peak_bytes), static_cast<unsigned long long>(r.goal_bytes));
  }
}

TEST(PacerSimulation, Steady) { run({.name = "Steady", .growth = grows(2)}, settled_from_25); }

TEST(PacerSimulation, SteadyBigStacks) {
  run({.name = "SteadyBigStacks",
       .allocation_rate = constant(132),
       .growth = grows(2),
       .stack_bytes = constant(2048).plus(ramp(128 * kMiB, 8))},
      settled_from_25);
}

TEST(PacerSimulation, SteadyBigGlobals) {
  run({.name = "SteadyBigGlobals",
       .globals_bytes = 128 * kMiB,
       .allocation_rate = constant(132),
       .growth = grows(2)},
      settled_from_25);
}

TEST(PacerSimulation, StepAlloc) {
  run({.name = "StepAlloc",
       .allocation_rate = constant(33).plus(ramp(66, 1).delay(50)),
       .growth = grows(2),
       .length = 100},
      level_apart_from_the_step);
}

TEST(PacerSimulation, HeavyStepAlloc) {
  run({.name = "HeavyStepAlloc",
       .allocation_rate = constant(33).plus(ramp(330, 1).delay(50)),
       .growth = grows(2),
       .length = 100},
      level_apart_from_the_step);
}

TEST(PacerSimulation, StepScannableFrac) {
  run({.name = "StepScannableFrac",
       .allocation_rate = constant(128),
       .growth = grows(2),
       .scannable = constant(0.2).plus(unit(0.5).delay(50)),
       .length = 100},
      level_apart_from_the_step);
}

TEST(PacerSimulation, HighGOGC) {
  run({.name = "HighGOGC",
       .gogc_percent = 1500,
       .allocation_rate = random(7, 0x53).offset(165),
       .growth = grows(2).plus(random(0.01, 0x1)).plus(unit(14).delay(25))},
      [](const Results& r) {
        if (r.size() <= 12) return;
        // In cycle 26 the heap grows by 14: overshoot is expected, but never beyond GOGC of the next cycle.
        expect_goal_ratio(r, 0.90, r.size() == 26 ? 15 : 1.05);
        expect_near("utilization", r.back().utilization, kGoalUtilization, kGoalUtilization + 0.03, r);
        expect_level(r, 0.03);
      });
}

TEST(PacerSimulation, OscAlloc) {
  run({.name = "OscAlloc", .allocation_rate = oscillate(13, 0, 8).offset(67), .growth = grows(2)},
      [](const Results& r) {
        if (r.size() <= 12) return;
        expect_goal_ratio(r);
        expect_within("utilization", r.back().utilization, 0.25, 0.3, r);
      });
}

TEST(PacerSimulation, JitterAlloc) {
  run({.name = "JitterAlloc",
       .allocation_rate = random(13, 0xf).offset(132),
       .growth = grows(2).plus(random(0.01, 0xe))},
      [](const Results& r) {
        if (r.size() <= 12) return;
        expect_goal_ratio(r, 0.95, 1.025);
        expect_within("utilization", r.back().utilization, 0.25, 0.275, r);
      });
}

TEST(PacerSimulation, HeavyJitterAlloc) {
  run({.name = "HeavyJitterAlloc",
       .allocation_rate = random(33, 0x0).offset(330),
       .growth = grows(2).plus(random(0.01, 0x152))},
      [](const Results& r) {
        if (r.size() <= 13) return;
        expect_goal_ratio(r);
        expect_level(r, 0.05);
        expect_near("utilization against cycle 12", r.back().utilization, r[11].utilization, 0.05, r);
      });
}

TEST(PacerSimulation, SmallHeapSlowAlloc) {
  run({.name = "SmallHeapSlowAlloc",
       .allocation_rate = constant(1),
       .scan_rate = constant(2048),
       .growth = grows(2, 3),
       .scannable = constant(0.01)},
      [](const Results& r) { slow_allocation(r, 4, expect_proportional_room); });
}

TEST(PacerSimulation, MediumHeapSlowAlloc) {
  run({.name = "MediumHeapSlowAlloc",
       .allocation_rate = constant(1),
       .scan_rate = constant(2048),
       .growth = grows(2, 8),
       .scannable = constant(0.01)},
      [](const Results& r) { slow_allocation(r, 9, expect_proportional_room); });
}

TEST(PacerSimulation, LargeHeapSlowAlloc) {
  run({.name = "LargeHeapSlowAlloc",
       .allocation_rate = constant(1),
       .scan_rate = constant(2048),
       .growth = grows(4),
       .scannable = constant(0.01)},
      [](const Results& r) {
        slow_allocation(r, 13, [](const Results& now) {
          expect_goal_ratio(now);
          expect_near("runway", now.back().runway(), static_cast<double>(kHeapMinimum), 64 * kKiB, now);
        });
      });
}

TEST(PacerSimulation, SteadyMemoryLimit) {
  run({.name = "SteadyMemoryLimit", .memory_limit_bytes = kLimit, .growth = grows(2)}, [](const Results& r) {
    EXPECT_LT(r.back().peak_bytes, goal_below_limit(kLimit));
    settled_from_25(r);
  });
}

TEST(PacerSimulation, SteadyMemoryLimitNoGCPercent) {
  run({.name = "SteadyMemoryLimitNoGCPercent",
       .gogc_percent = -1,
       .memory_limit_bytes = kLimit,
       .growth = grows(2)},
      [](const Results& r) {
        expect_limit_is_goal(r);
        settled_from_25(r);
      });
}

TEST(PacerSimulation, ExceedMemoryLimit) {
  run({.name = "ExceedMemoryLimit", .memory_limit_bytes = kLimit, .growth = grows(3.5)}, exceeds_limit);
}

TEST(PacerSimulation, ExceedMemoryLimitNoGCPercent) {
  run({.name = "ExceedMemoryLimitNoGCPercent",
       .gogc_percent = -1,
       .memory_limit_bytes = kLimit,
       .growth = grows(3.5)},
      [](const Results& r) {
        if (r.size() < 10) expect_limit_is_goal(r);
        exceeds_limit(r);
      });
}

TEST(PacerSimulation, MaintainMemoryLimit) {
  run({.name = "MaintainMemoryLimit", .memory_limit_bytes = kLimit, .growth = grows(3)},
      [](const Results& r) {
        if (r.size() > 12) expect_limit_is_goal(r);
        settled_from_25(r);
      });
}

TEST(PacerSimulation, MaintainMemoryLimitNoGCPercent) {
  run({.name = "MaintainMemoryLimitNoGCPercent",
       .gogc_percent = -1,
       .memory_limit_bytes = kLimit,
       .growth = grows(3)},
      [](const Results& r) {
        expect_limit_is_goal(r);
        settled_from_25(r);
      });
}

}  // namespace
}  // namespace keel::simulation
