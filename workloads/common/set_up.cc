// See set_up.h.
#include "workloads/common/set_up.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "allocator/base/machine.h"
#include "allocator/base/units.h"
#include "workloads/common/session.h"

namespace keel {
namespace {

uint64_t sum(uint64_t a, uint64_t b) {
  uint64_t all = 0;
  return __builtin_add_overflow(a, b, &all) ? UINT64_MAX : all;
}

// What the goal lets the heap grow to over so many live bytes, where there is such a bound.
uint64_t heap_bytes(const CommonOptions& options, uint64_t live) {
  if (options.collector != Collector::kKeel) return live;
  const HeapConfig& heap = options.heap;
  uint64_t grown = live;
  if (heap.goal == GoalRule::kFixed) grown = std::max(live, heap.fixed_goal_bytes);
  if (heap.goal == GoalRule::kGogc && heap.gogc_percent != HeapConfig::kGogcOff) {
    grown = whole_bytes(static_cast<double>(live) * (1 + static_cast<double>(heap.gogc_percent) / 100));
  }
  if (heap.memory_limit_bytes < HeapConfig::kNoLimit)
    grown = std::min(grown, std::max(live, heap.memory_limit_bytes));
  // What does not fit is out of memory before it is taken.
  return heap.max_heap_bytes != 0 ? std::min(grown, heap.max_heap_bytes) : grown;
}

}  // namespace

uint64_t whole_bytes(double bytes) {
  return bytes < 0x1p64 ? static_cast<uint64_t>(std::max(0.0, bytes)) : UINT64_MAX;
}

uint64_t needed_bytes(const CommonOptions& options, const Footprint& footprint) {
  return sum(heap_bytes(options, footprint.live_bytes), footprint.outside_bytes);
}

std::string shortage(const CommonOptions& options, const Footprint& footprint, uint64_t available_bytes) {
  const uint64_t needed = needed_bytes(options, footprint);
  if (needed <= available_bytes) return {};
  std::string rule;
  if (heap_bytes(options, footprint.live_bytes) > footprint.live_bytes) {
    rule = options.heap.goal == GoalRule::kFixed ? " under this --goal"
                                                 : fmt::format(" at GOGC {}", options.heap.gogc_percent);
  }
  const auto size = [](uint64_t bytes) { return human_size(static_cast<double>(bytes)); };
  return fmt::format(
      "note: this will need about {} of memory ({} live{}), {} are available; less of {} needs less",
      size(needed), size(sum(footprint.live_bytes, footprint.outside_bytes)), rule, size(available_bytes),
      footprint.smaller);
}

SetUp::SetUp(Session& session, size_t parts) : session_(session), shares_(parts) {}

SetUp::~SetUp() { session_.end_progress(); }

void SetUp::expect(const Footprint& footprint) const { expect(footprint, session_.options()); }

void SetUp::expect(const Footprint& footprint, const CommonOptions& options) const {
  const std::string text = shortage(options, footprint, available_memory_bytes());
  if (!text.empty()) std::fprintf(stderr, "%s: %s\n", session_.workload().c_str(), text.c_str());
}

bool SetUp::stopped() const { return session_.stop_requested(); }

double SetUp::share() const {
  double all = 0;
  for (const std::atomic<double>& share : shares_) all += share.load(std::memory_order_relaxed);
  return all / static_cast<double>(shares_.size());
}

void SetUp::draw() { session_.show_progress(share(), kPhase); }

void SetUp::wait(const std::latch& ready) {
  if (session_.shows_progress()) {
    session_.wait([&] { return ready.try_wait(); }, [this] { return share(); }, kPhase);
  }
  ready.wait();
}

}  // namespace keel
