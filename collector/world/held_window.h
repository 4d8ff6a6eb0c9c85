// A window that a test holds open: the first thread that reaches a race point stands there until told to go
// on.
#pragma once

#include <atomic>
#include <latch>

#include "allocator/base/race_points.h"

namespace keel {

/// Holds the first thread that reaches `point` until opened. One at a time in a process.
class HeldWindow {
 public:
  explicit HeldWindow(RacePoint point) : point_(point) { set_race_hook_for_testing(&HeldWindow::hook, this); }
  ~HeldWindow() { set_race_hook_for_testing(nullptr, nullptr); }
  HeldWindow(const HeldWindow&) = delete;
  HeldWindow& operator=(const HeldWindow&) = delete;
  void wait_until_reached() { reached_.wait(); }
  void open() { open_.count_down(); }

 private:
  static void hook(RacePoint point, void* self) {
    auto* window = static_cast<HeldWindow*>(self);
    if (point != window->point_ || window->taken_.exchange(true)) return;
    window->reached_.count_down();
    window->open_.wait();
  }
  const RacePoint point_;
  std::atomic<bool> taken_{false};
  std::latch reached_{1};
  std::latch open_{1};
};

}  // namespace keel
