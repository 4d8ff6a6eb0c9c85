// Random walk, PCT and the bounded search's run; see strategy.h and the sources in session.h.
#include "allocator/base/explore/strategy.h"

#include <algorithm>

namespace keel::explore {
namespace {

// A walk decides every `gap` points on average; the gap is the seed's, so that some runs switch all the time
// and others leave each thread alone for long.
class RandomWalk final : public Strategy {
 public:
  explicit RandomWalk(uint64_t seed) : rng_(seed) {
    constexpr std::array<uint64_t, 6> kGaps = {1, 4, 16, 64, 256, 1024};
    gap_ = kGaps[rng_.below(kGaps.size())];
  }
  uint64_t until_next(uint64_t) override { return 1 + rng_.below(2 * gap_ - 1); }
  ThreadRecord* choose(const std::vector<ThreadRecord*>& runnable, ThreadRecord&, Reason, uint64_t) override {
    return runnable[rng_.below(runnable.size())];
  }
  bool wakes_spuriously() override { return rng_.below(16) == 0; }
  size_t jump(size_t count) override { return rng_.below(64) == 0 ? rng_.below(count) : count; }
  size_t pick_waiter(size_t count) override { return rng_.below(count); }

 private:
  Rng rng_;
  uint64_t gap_;
};

// The highest priority runs. Priorities of threads are random and high; each change gives the thread that
// runs a priority below all others, and so does a yield, and running for very long while others wait (PCT
// assumes programs that end under every scheduler; loops that wait for somebody else do not).
class Priorities : public Strategy {
 public:
  explicit Priorities(uint64_t seed) : rng_(seed) {}
  void on_new_thread(ThreadRecord& thread) override {
    thread.priority = kHigh + rng_.below(kHigh) * kMostThreads + thread.id;
  }
  bool on_wake() override { return true; }
  ThreadRecord* choose(const std::vector<ThreadRecord*>& runnable, ThreadRecord& current, Reason reason,
                       uint64_t steps) override {
    const bool due = reason == Reason::kPoint && change_is_due(steps);
    if (due || reason == Reason::kYield || (last_ == &current && steps - since_ >= kLongest))
      current.priority = --low_;
    ThreadRecord* best = *std::max_element(runnable.begin(), runnable.end(),
                                           [](auto* a, auto* b) { return a->priority < b->priority; });
    if (best != last_) since_ = steps;
    last_ = best;
    return best;
  }

 protected:
  static constexpr uint64_t kLongest = 20'000;
  Rng& rng() { return rng_; }

 private:
  /// True once for each change of priority, when its step has come.
  virtual bool change_is_due(uint64_t steps) = 0;
  static constexpr uint64_t kHigh = uint64_t{1} << 40;
  static constexpr uint64_t kMostThreads = 1024;
  Rng rng_;
  uint64_t low_ = kHigh;
  const ThreadRecord* last_ = nullptr;
  uint64_t since_ = 0;  // it runs since so many steps
};

// PCT: changes at steps drawn from all those expected.
class Pct final : public Priorities {
 public:
  Pct(uint64_t seed, uint32_t depth, uint64_t expected_steps) : Priorities(seed) {
    for (uint32_t i = 1; i < depth; ++i)
      changes_.push_back(1 + rng().below(std::max<uint64_t>(1, expected_steps)));
    std::sort(changes_.begin(), changes_.end(), std::greater<>());
  }
  uint64_t until_next(uint64_t steps) override {
    if (changes_.empty() || changes_.back() > steps + kLongest) return kLongest;
    return std::max(changes_.back(), steps + 1) - steps;
  }

 private:
  bool change_is_due(uint64_t steps) override {
    if (changes_.empty() || steps < changes_.back()) return false;
    changes_.pop_back();
    return true;
  }
  std::vector<uint64_t> changes_;  // descending
};

// Holds windows open: the seed chooses a few kinds of race points, and for each how often a thread that
// passes it, or is a few steps behind it, falls below all others. Race points stand where it was argued that
// a thread may be held for long. Chosen by kind, one that is passed once in a run is held as readily as one
// that is passed a hundred times; and both of two windows that have to be open at once are, in one run of a
// few hundred.
class Windows final : public Priorities {
 public:
  Windows(uint64_t seed, uint32_t depth) : Priorities(seed), depth_(depth) {}
  bool on_race_point(uint32_t kind, uint64_t steps) override {
    Window& window = windows_[kind % windows_.size()];
    if (!window.met) {
      constexpr std::array<uint32_t, 3> kOneIn = {1, 2, 8};
      window.met = true;
      if (rng().below(kKindsMet) < depth_) window.one_in = kOneIn[rng().below(kOneIn.size())];
    }
    if (window.one_in == 0 || rng().below(window.one_in) != 0) return false;
    due_ = steps + (rng().below(2) == 0 ? 0 : rng().below(kBehind));
    return true;
  }
  uint64_t until_next(uint64_t steps) override { return due_ > steps ? due_ - steps : kLongest; }

 private:
  static constexpr uint64_t kKindsMet = 12;  // measured: a scenario meets 9 to 15 kinds
  static constexpr uint64_t kBehind = 16;
  struct Window {
    bool met = false;
    uint32_t one_in = 0;  // 0: not held open
  };
  bool change_is_due(uint64_t steps) override {
    if (due_ == 0 || steps < due_) return false;
    due_ = 0;
    return true;
  }
  const uint32_t depth_;
  std::array<Window, 64> windows_{};  // by kind
  uint64_t due_ = 0;                  // step of the next change; 0: none
};

// Deterministic but for its deviations: a thread runs until it waits, then the next in order. Notes who else
// could have run after the last deviation, for the search.
class BoundedRun final : public Strategy {
 public:
  explicit BoundedRun(std::vector<Deviation> deviations) : deviations_(std::move(deviations)) {}
  uint64_t until_next(uint64_t) override { return 1; }
  ThreadRecord* choose(const std::vector<ThreadRecord*>& runnable, ThreadRecord& current, Reason reason,
                       uint64_t) override {
    const uint64_t decision = decisions_++;
    ThreadRecord* chosen = by_default(runnable, current, reason);
    if (next_ < deviations_.size() && deviations_[next_].decision == decision) {
      const uint32_t wanted = deviations_[next_++].thread;
      for (ThreadRecord* thread : runnable) {
        if (thread->id == wanted) chosen = thread;
      }
    } else if (next_ == deviations_.size() && runnable.size() > 1) {
      Alternative other{decision, {}};
      for (ThreadRecord* thread : runnable) {
        if (thread != chosen) other.threads.push_back(thread->id);
      }
      alternatives_.push_back(std::move(other));
    }
    return chosen;
  }
  std::vector<Alternative> take_alternatives() override { return std::move(alternatives_); }

 private:
  static ThreadRecord* by_default(const std::vector<ThreadRecord*>& runnable, const ThreadRecord& current,
                                  Reason reason) {
    if (reason == Reason::kPoint) {
      for (ThreadRecord* thread : runnable) {
        if (thread == &current) return thread;
      }
    }
    for (ThreadRecord* thread : runnable) {
      if (thread->id > current.id) return thread;
    }
    return runnable.front();
  }
  std::vector<Deviation> deviations_;
  size_t next_ = 0;
  uint64_t decisions_ = 0;
  std::vector<Alternative> alternatives_;
};

// Of all points of the scenarios, about so many are steps. measured: explore --list.
uint64_t expected_steps(const SessionOptions& options) {
  switch (options.switch_at) {
    case SwitchAt::kEveryPoint:
      break;
    case SwitchAt::kOrdered:
      return options.expected_points / 2;
    case SwitchAt::kSync:
      return options.expected_points / 8;
  }
  return options.expected_points;
}

}  // namespace

std::unique_ptr<Strategy> make_strategy(const SessionOptions& options) {
  switch (options.strategy) {
    case StrategyKind::kRandom:
      return std::make_unique<RandomWalk>(options.seed);
    case StrategyKind::kPct:
      return std::make_unique<Pct>(options.seed, options.depth, expected_steps(options));
    case StrategyKind::kWindows:
      return std::make_unique<Windows>(options.seed, options.depth);
    case StrategyKind::kBounded:
      return std::make_unique<BoundedRun>(options.deviations);
  }
  return nullptr;
}

const char* to_string(SwitchAt where) {
  switch (where) {
    case SwitchAt::kEveryPoint:
      return "all";
    case SwitchAt::kOrdered:
      return "ordered";
    case SwitchAt::kSync:
      return "sync";
  }
  return "";
}

const char* to_string(StrategyKind kind) {
  switch (kind) {
    case StrategyKind::kRandom:
      return "random";
    case StrategyKind::kPct:
      return "pct";
    case StrategyKind::kWindows:
      return "windows";
    case StrategyKind::kBounded:
      return "exhaustive";
  }
  return "";
}

}  // namespace keel::explore
