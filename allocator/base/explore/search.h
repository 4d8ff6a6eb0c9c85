// Bounded search: every run of a small program that deviates from the deterministic one in at most so many
// decisions, level by level, so that what was completed can be stated.
//
// The caller runs a kBounded session with next()'s deviations and gives the alternatives that it saw to
// add(). Sources: session.h. Threads: one.
#pragma once

#include <utility>
#include <vector>

#include "allocator/base/explore/session.h"

namespace keel::explore {

class BoundedSearch {
 public:
  explicit BoundedSearch(uint32_t most_deviations) : bound_(most_deviations) {}

  /// The next run; false if every run of the last level has been made.
  bool next(std::vector<Deviation>& deviations) {
    if (!begun_) return begin_level(0, deviations);
    while (!open_.empty()) {
      Open& last = open_.back();
      if (last.next < last.choices.size()) {
        deviations = last.prefix;
        deviations.push_back(last.choices[last.next++]);
        current_ = deviations;
        return true;
      }
      open_.pop_back();
    }
    completed_ = static_cast<int>(level_);
    if (level_ == bound_) return false;
    return begin_level(level_ + 1, deviations);
  }

  void add(const std::vector<Alternative>& alternatives) {
    if (current_.size() >= level_) return;
    Open open;
    open.prefix = current_;
    for (const Alternative& alternative : alternatives) {
      for (uint32_t thread : alternative.threads) open.choices.push_back({alternative.decision, thread});
    }
    open_.push_back(std::move(open));
  }

  /// Every run with up to so many deviations has been made; -1: not even the one with none.
  [[nodiscard]] int completed() const { return completed_; }

 private:
  struct Open {
    std::vector<Deviation> prefix;
    std::vector<Deviation> choices;
    size_t next = 0;
  };
  bool begin_level(uint32_t level, std::vector<Deviation>& deviations) {
    begun_ = true;
    level_ = level;
    deviations.clear();
    current_.clear();
    return true;
  }
  const uint32_t bound_;
  uint32_t level_ = 0;
  bool begun_ = false;
  int completed_ = -1;
  std::vector<Deviation> current_;
  std::vector<Open> open_;
};

}  // namespace keel::explore
