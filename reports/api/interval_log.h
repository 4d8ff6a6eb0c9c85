// Interval log: begin, length and a small kind of everything of one sort that happened, for figures that need
// them all: requests for metered latency, interruptions for utilisation.
//
// Preallocated address space, touched as it fills: eight bytes an entry, no lock, no allocation, ~1 ns. A
// length of 0.54 s or more, a gap of 4.29 s or more, or a step back in time goes to a short list of
// exceptions. When the log is full it counts what it dropped, and the figure is not reported. Threads: one
// writes; read when it has stopped, or under the writer's lock.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace keel {

class IntervalLog {
 public:
  struct Interval {
    int64_t begin_ns = 0;
    int64_t end_ns = 0;
    uint32_t kind = 0;
  };
  static constexpr uint32_t kKinds = 8;

  explicit IntervalLog(size_t capacity);
  ~IntervalLog();
  IntervalLog(const IntervalLog&) = delete;
  IntervalLog& operator=(const IntervalLog&) = delete;

  /// Precondition: kind < kKinds.
  void add(int64_t begin_ns, int64_t end_ns, uint32_t kind = 0) {
    if (count_ == capacity_) [[unlikely]] {
      ++dropped_;
      return;
    }
    const auto gap = static_cast<uint64_t>(begin_ns - last_begin_ns_);
    const auto length = static_cast<uint64_t>(end_ns - begin_ns);
    if (gap >= kException || length >= kLengthLimit) [[unlikely]] {
      exceptions_.push_back({begin_ns, end_ns, kind});
      entries_[count_++] = {kException, 0};
    } else {
      entries_[count_++] = {static_cast<uint32_t>(gap), static_cast<uint32_t>(length) | kind << kKindShift};
    }
    last_begin_ns_ = begin_ns;
  }

  [[nodiscard]] size_t size() const { return count_; }
  [[nodiscard]] uint64_t dropped() const { return dropped_; }
  /// Memory that the entries have made resident, and addresses reserved for all.
  [[nodiscard]] uint64_t bytes() const {
    return count_ * sizeof(Entry) + exceptions_.size() * sizeof(Interval);
  }
  [[nodiscard]] uint64_t address_bytes() const { return capacity_ * sizeof(Entry); }

  /// Calls visit(Interval) in the order of recording.
  template <typename Visit>
  void for_each(Visit&& visit) const {
    int64_t begin = 0;
    size_t exception = 0;
    for (size_t i = 0; i < count_; ++i) {
      const Entry& e = entries_[i];
      if (e.gap == kException) {
        const Interval& interval = exceptions_[exception++];
        begin = interval.begin_ns;
        visit(interval);
      } else {
        begin += e.gap;
        visit(Interval{begin, begin + (e.length_and_kind & (kLengthLimit - 1)),
                       e.length_and_kind >> kKindShift});
      }
    }
  }

 private:
  static constexpr uint32_t kException = 0xffffffff;
  static constexpr uint32_t kKindShift = 29;
  static constexpr uint32_t kLengthLimit = uint32_t{1} << kKindShift;
  struct Entry {
    uint32_t gap;  // ns from the begin of the entry before
    uint32_t length_and_kind;
  };
  const size_t capacity_;
  Entry* entries_ = nullptr;
  size_t count_ = 0;
  uint64_t dropped_ = 0;
  int64_t last_begin_ns_ = 0;
  std::vector<Interval> exceptions_;  // the first entry is one
};

}  // namespace keel
