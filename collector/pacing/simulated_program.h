// A simulated program: drives a Pacer through rates alone, no heap, no threads, no clock.
//
// A cycle's program is five numbers (rates in KiB per CPU-millisecond, as streams over cycles). While the
// cycle marks, time goes in steps of 500 us, in each of which assists are taken to hold the pacer's ratio
// a = scanned / allocated exactly. With scan rate s, allocation rate r and the collector's CPU share u,
//     scanned = s * n * u * t,  allocated = r * n * (1 - u) * t   =>   u = a r / (a r + s),
// and never less than the background share 0.25. The last step ends when the work does.
// Source: the model of Go's pacer tests (mgcpacer_test.go) and of proposal 44167.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "allocator/base/rng.h"
#include "collector/pacing/pacer.h"

namespace keel::simulation {

/// A value a cycle. Each call is the next cycle.
class Stream {
 public:
  using Next = std::function<double()>;
  explicit Stream(Next next) : next_(std::move(next)) {}
  double operator()() { return next_(); }

  [[nodiscard]] Stream plus(Stream other) const {
    return Stream([a = *this, b = std::move(other)]() mutable { return a() + b(); });
  }
  [[nodiscard]] Stream offset(double amount) const {
    return Stream([a = *this, amount]() mutable { return a() + amount; });
  }
  /// 0 for `cycles` cycles, then this stream from its beginning.
  [[nodiscard]] Stream delay(int cycles) const {
    return Stream([a = *this, cycles]() mutable { return cycles > 0 ? (--cycles, 0.0) : a(); });
  }
  [[nodiscard]] Stream clamp(double low, double high) const {
    return Stream([a = *this, low, high]() mutable { return std::clamp(a(), low, high); });
  }
  /// Towards zero, to a multiple.
  [[nodiscard]] Stream quantize(double multiple) const {
    return Stream([a = *this, multiple]() mutable { return std::trunc(a() / multiple) * multiple; });
  }

 private:
  Next next_;
};

inline Stream constant(double value) {
  return Stream([value] { return value; });
}
/// `height` once, then 0.
inline Stream unit(double height) {
  return Stream([height, first = true]() mutable { return std::exchange(first, false) ? height : 0; });
}
/// From 0 to `height` in `cycles` equal steps, then constant.
inline Stream ramp(double height, int cycles) {
  return Stream([height, cycles, at = 0]() mutable {
    const double value = height * at / cycles;
    at = std::min(at + 1, cycles);
    return value;
  });
}
inline Stream oscillate(double amplitude, double phase, int period) {
  return Stream([=, at = 0]() mutable {
    const double angle = static_cast<double>(at) / period * 2 * M_PI + phase;
    at = (at + 1) % period;
    return std::sin(angle) * amplitude;
  });
}
/// Uniform in [-amplitude, amplitude).
inline Stream random(double amplitude, uint64_t seed) {
  return Stream([amplitude, rng = Rng(seed)]() mutable { return (rng.uniform() - 0.5) * 2 * amplitude; });
}

struct Scenario {
  const char* name;
  int64_t gogc_percent = 100;
  uint64_t memory_limit_bytes = kNoGoal;
  uint64_t globals_bytes = 32 * kKiB;
  int cores = 8;
  Stream allocation_rate = constant(33);  // KiB per CPU-ms
  Stream scan_rate = constant(1024);      // KiB per CPU-ms
  Stream growth = constant(1);            // live heap of the next cycle / of this one
  Stream scannable = constant(1);         // share of the heap that may hold pointers
  Stream stack_bytes = constant(8192);
  int length = 50;  // cycles
};

struct CycleResult {
  int cycle = 0;  // 1-based
  uint64_t live_bytes = 0;
  uint64_t triggered_bytes = 0;
  uint64_t goal_bytes = 0;
  uint64_t peak_bytes = 0;
  double utilization = 0;

  [[nodiscard]] double goal_ratio() const {
    return static_cast<double>(peak_bytes) / static_cast<double>(goal_bytes);
  }
  [[nodiscard]] double runway() const {
    return static_cast<double>(goal_bytes) - static_cast<double>(triggered_bytes);
  }
  [[nodiscard]] double trigger_ratio() const {
    return static_cast<double>(triggered_bytes - live_bytes) / static_cast<double>(goal_bytes - live_bytes);
  }
};

class Program {
 public:
  explicit Program(Scenario scenario);
  /// Runs one cycle to its end.
  CycleResult next_cycle();
  [[nodiscard]] Pacer& pacer() { return pacer_; }

 private:
  Scenario scenario_;
  Pacer pacer_;
  int cycle_ = 0;
  int64_t last_black_bytes_ = 0;  // allocated while the last cycle marked
};

inline Program::Program(Scenario scenario)
    : scenario_(std::move(scenario)),
      pacer_({.gogc_percent = scenario_.gogc_percent, .memory_limit_bytes = scenario_.memory_limit_bytes}) {
  constexpr double kLeastRate = 0.0001;
  constexpr double kNoMost = 1e30;
  for (Stream* rate : {&scenario_.allocation_rate, &scenario_.scan_rate, &scenario_.growth}) {
    *rate = rate->clamp(kLeastRate, kNoMost);
  }
  scenario_.scannable = scenario_.scannable.clamp(0, 1);
  scenario_.stack_bytes = scenario_.stack_bytes.quantize(2048).clamp(0, kNoMost);
}

inline CycleResult Program::next_cycle() {
  constexpr double kStepNs = 500'000;
  constexpr double kRateToStep = 1024 * kStepNs / 1e6;  // KiB per ms -> bytes per step
  constexpr int64_t kFirstLiveBytes = 256 * kKiB;
  const double cores = scenario_.cores;
  const double allocation_rate = scenario_.allocation_rate();
  const double scan_rate = scenario_.scan_rate();
  const double growth = scenario_.growth();
  const double scannable = scenario_.scannable();
  const auto stacks = static_cast<uint64_t>(scenario_.stack_bytes());

  // The program has allocated up to the trigger.
  const uint64_t marked = pacer_.marked_bytes();
  const uint64_t trigger = std::max(pacer_.trigger_bytes(), marked);
  pacer_.add_live(trigger - marked, static_cast<uint64_t>(static_cast<double>(trigger - marked) * scannable));
  pacer_.begin_cycle({stacks, scenario_.globals_bytes});

  const int64_t old_live = static_cast<int64_t>(marked) - last_black_bytes_;
  const int64_t live =
      cycle_ == 0 ? kFirstLiveBytes : static_cast<int64_t>(static_cast<double>(old_live) * growth);
  const auto heap_work = static_cast<int64_t>(static_cast<double>(live) * scannable);
  const int64_t work = static_cast<int64_t>(scenario_.globals_bytes + stacks) + heap_work;
  int64_t done = 0;
  int64_t black = 0;
  double duration_ns = 0;
  double assist_ns = 0;
  while (done < work) {
    const double pull = pacer_.ratio() * allocation_rate;
    const double share = std::max(kGoalUtilization, pull / (pull + scan_rate));
    const double wanted = scan_rate * kRateToStep * cores * share;
    const auto scanned = std::min(work - done, static_cast<int64_t>(wanted));
    const double step = scanned < static_cast<int64_t>(wanted) ? static_cast<double>(scanned) / wanted : 1;
    const auto allocated = static_cast<int64_t>(allocation_rate * kRateToStep * step * cores * (1 - share));
    done += scanned;
    black += allocated;
    pacer_.add_live(static_cast<uint64_t>(allocated),
                    static_cast<uint64_t>(static_cast<double>(allocated) * scannable));
    pacer_.revise(static_cast<uint64_t>(done));
    assist_ns += step * kStepNs * cores * (share - kGoalUtilization);
    duration_ns += step * kStepNs;
  }

  CycleResult result;
  result.cycle = ++cycle_;
  result.live_bytes = marked;
  result.triggered_bytes = pacer_.triggered_bytes();
  result.goal_bytes = pacer_.goal_bytes();
  result.peak_bytes = pacer_.live_bytes();
  result.utilization = assist_ns / (duration_ns * cores) + kGoalUtilization;

  CycleMeasurements measured;
  measured.live_bytes = static_cast<uint64_t>(live + black);
  measured.scanned_heap_bytes = static_cast<uint64_t>(heap_work);
  measured.stack_bytes = stacks;
  measured.global_bytes = scenario_.globals_bytes;
  measured.utilization = result.utilization;
  pacer_.end_cycle(measured);
  last_black_bytes_ = black;
  return result;
}

}  // namespace keel::simulation
