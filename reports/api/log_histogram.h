// Histogram with logarithmic buckets: 32 per power of two, so a value is known to within 1/64 of itself.
//
// One thread writes, any may read while it does: counts are relaxed atomics [hist.count] (a reader sees each
// count at some moment; totals are exact once the writer has stopped). No allocation after construction; 15
// KiB. Values are nanoseconds, 0 to 2^63 - 1. Recording costs ~2 ns.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

namespace keel {

class LogHistogram {
 public:
  static constexpr int kSubBits = 5;
  static constexpr double kRelativeError = 1.0 / (2 << kSubBits);

  void record(int64_t value_ns) {
    const uint64_t value = value_ns < 0 ? 0 : static_cast<uint64_t>(value_ns);
    bump(counts_[bucket_of(value)], 1);
    bump(count_, 1);
    bump(total_, value);
    if (value > max_.load(std::memory_order_relaxed)) max_.store(value, std::memory_order_relaxed);
  }

  void merge(const LogHistogram& other) {
    for (size_t i = 0; i < kBuckets; ++i) bump(counts_[i], other.counts_[i].load(std::memory_order_relaxed));
    bump(count_, other.count());
    bump(total_, other.total());
    max_.store(std::max(max(), other.max()), std::memory_order_relaxed);
  }

  void clear() {
    for (auto& c : counts_) c.store(0, std::memory_order_relaxed);
    count_.store(0, std::memory_order_relaxed);
    total_.store(0, std::memory_order_relaxed);
    max_.store(0, std::memory_order_relaxed);
  }

  [[nodiscard]] uint64_t count() const { return count_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t total() const { return total_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t max() const { return max_.load(std::memory_order_relaxed); }

  /// The value at or below which a share `q` of all values lies (nearest rank; the middle of its bucket, at
  /// most the maximum). 0 when empty.
  [[nodiscard]] uint64_t quantile(double q) const {
    const uint64_t n = count();
    if (n == 0) return 0;
    const uint64_t rank = std::max<uint64_t>(1, static_cast<uint64_t>(q * static_cast<double>(n) + 0.999999));
    uint64_t seen = 0;
    for (size_t i = 0; i < kBuckets; ++i) {
      seen += counts_[i].load(std::memory_order_relaxed);
      if (seen >= rank) return std::min(max(), (lower_bound(i) + lower_bound(i + 1)) / 2);
    }
    return max();
  }

  /// Calls visit(lower, upper, count) for each bucket that is not empty; values lie in [lower, upper).
  template <typename Visit>
  void for_each_bucket(Visit&& visit) const {
    for (size_t i = 0; i < kBuckets; ++i) {
      if (const uint64_t c = counts_[i].load(std::memory_order_relaxed))
        visit(lower_bound(i), lower_bound(i + 1), c);
    }
  }

 private:
  static constexpr uint64_t kSub = uint64_t{1} << kSubBits;
  static constexpr size_t kBuckets = (64 - kSubBits) * kSub;

  static size_t bucket_of(uint64_t value) {
    if (value < 2 * kSub) return value;
    const int shift = std::bit_width(value) - 1 - kSubBits;
    return (static_cast<size_t>(shift) << kSubBits) + (value >> shift);
  }
  static uint64_t lower_bound(size_t bucket) {
    if (bucket < 2 * kSub) return bucket;
    const size_t shift = (bucket >> kSubBits) - 1;
    return (kSub + (bucket & (kSub - 1))) << shift;
  }
  static void bump(std::atomic<uint64_t>& counter, uint64_t by) {
    counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }

  std::array<std::atomic<uint64_t>, kBuckets> counts_{};
  std::atomic<uint64_t> count_{0};
  std::atomic<uint64_t> total_{0};
  std::atomic<uint64_t> max_{0};
};

}  // namespace keel
