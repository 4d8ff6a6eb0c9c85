// The last events of one thread, for the crash report: what it did, in which cycle, when and for how long.
//
// Written by the thread, or by the collector while it holds it; read by a dying one. relaxed [crash.recent]:
// a torn entry in a last word is better than a wait. Cost: five stores, in slow paths only.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

namespace keel {

class RecentEvents {
 public:
  static constexpr uint32_t kCount = 16;
  struct Event {
    const char* what = nullptr;  // a literal
    uint32_t cycle = 0;
    int64_t begin_ns = 0;
    int64_t duration_ns = 0;
  };

  void add(const char* what, uint32_t cycle, int64_t begin_ns, int64_t duration_ns = 0) {
    const uint32_t number = count_.load(std::memory_order_relaxed);
    Entry& entry = entries_[number % kCount];
    entry.what.store(what, std::memory_order_relaxed);
    entry.cycle.store(cycle, std::memory_order_relaxed);
    entry.begin_ns.store(begin_ns, std::memory_order_relaxed);
    entry.duration_ns.store(duration_ns, std::memory_order_relaxed);
    count_.store(number + 1, std::memory_order_relaxed);
  }

  /// Oldest first.
  template <typename Visit>
  void for_each(Visit&& visit) const {
    const uint32_t count = count_.load(std::memory_order_relaxed);
    for (uint32_t i = count - std::min(count, kCount); i < count; ++i) {
      const Entry& entry = entries_[i % kCount];
      visit(Event{entry.what.load(std::memory_order_relaxed), entry.cycle.load(std::memory_order_relaxed),
                  entry.begin_ns.load(std::memory_order_relaxed),
                  entry.duration_ns.load(std::memory_order_relaxed)});
    }
  }

 private:
  struct Entry {
    std::atomic<const char*> what{nullptr};
    std::atomic<uint32_t> cycle{0};
    std::atomic<int64_t> begin_ns{0};
    std::atomic<int64_t> duration_ns{0};
  };
  std::array<Entry, kCount> entries_;
  std::atomic<uint32_t> count_{0};
};

}  // namespace keel
