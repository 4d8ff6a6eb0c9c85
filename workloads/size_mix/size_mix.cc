// `size_mix`: fragmentation over time.
//
// What it presses on: an allocator that cannot move. A table of objects of log-uniform sizes; an operation
// replaces random ones by others of random sizes, every fourth pointer-bearing, and every few thousand the
// typical size drifts, so that holes of yesterday's sizes do not fit today's. What is live stays about the
// same: what the heap takes beyond it is fragmentation; heap_by_layout and the samples show it. Live bytes:
// the sum of all slots, kept exactly.
#include <cmath>

#include "allocator/base/rng.h"
#include "workloads/common/dispatch.h"

namespace {

using namespace keel;

constexpr uint64_t kDrift = uint64_t{1} << 18;  // replacements until the sizes are where they were

struct MixSettings {
  uint64_t slots = 100'000;
  uint64_t least_bytes = 16;
  uint64_t most_bytes = 65536;
  uint64_t batch = 16;
};

template <typename B>
struct MixSlot {
  typename B::template Field<uint64_t> object;
  uint64_t bytes;
};
template <typename B>
struct MixPointer {
  typename B::template Field<uint64_t> to;
};

template <typename B>
class SizeMix {
 public:
  using Backend = B;
  using Settings = MixSettings;
  static constexpr const char* kNoMalloc = nullptr;

  /// By the mean size of what set-up fills the slots with.
  static Footprint footprint(const CommonOptions& options, const Settings& s) {
    double bytes = 0;
    constexpr uint64_t kPoints = 64;
    const uint64_t slots = std::min(s.slots, kDrift);
    for (uint64_t i = 0; i < kPoints; ++i) {
      const double low = exponents(s, slots * i / kPoints, 0);
      const double high = exponents(s, slots * i / kPoints, 1);
      // The mean of 2^x, x uniform from low to high.
      bytes +=
          (high > low ? (std::exp2(high) - std::exp2(low)) / (high - low) / std::log(2.0) : std::exp2(low)) /
          kPoints;
    }
    const uint64_t each = B::array_bytes(static_cast<uint64_t>(bytes)) + sizeof(MixSlot<B>);
    return {whole_bytes(static_cast<double>(options.threads) * static_cast<double>(s.slots) *
                        static_cast<double>(each)),
            "--slots, --most-bytes or --threads (slots are of each thread)"};
  }

  SizeMix(const CommonOptions& options, const Settings& settings)
      : settings_(settings), seed_(options.seed) {}

  class Thread {
   public:
    Thread(SizeMix& work, size_t t, SetUp& set_up) : s_(work.settings_), rng_(work.seed_ * 0x10001 + t) {
      table_.reset(B::template make_array<MixSlot<B>>(s_.slots));
      for (uint64_t i = 0; i < s_.slots && set_up.next(t, i, s_.slots); ++i) replace(i);
    }
    ~Thread() {
      if constexpr (B::kFrees) {
        for (uint64_t i = 0; i < s_.slots; ++i) B::release(table_.get()[i].object.get());
        B::release(table_.get());
      }
    }
    void operation() {
      for (uint64_t i = 0; i < s_.batch; ++i) replace(rng_.below(s_.slots));
    }
    bool intact() {
      for (uint64_t i = 0; i < s_.slots; ++i) {
        const MixSlot<B>& slot = table_.get()[i];
        const uint64_t words = slot.bytes / sizeof(uint64_t);
        const uint64_t* object = slot.object.get();
        if (object == nullptr) return false;
        // A pointer-bearing one refers to itself in its last word; the others hold their number at both ends.
        if (bears_pointers(slot.bytes, i)) {
          if (reinterpret_cast<const MixPointer<B>*>(object)[words - 1].to.get() != object) return false;
        } else if (object[0] != i || object[words - 1] != i) {
          return false;
        }
      }
      return true;
    }
    [[nodiscard]] uint64_t live_bytes() const {
      return live_bytes_ + B::array_bytes(s_.slots * sizeof(MixSlot<B>));
    }
    [[nodiscard]] uint64_t replaced() const { return replaced_; }

   private:
    static bool bears_pointers(uint64_t bytes, uint64_t i) { return (bytes / 8 + i) % 4 == 0; }
    uint64_t random_bytes() {
      return static_cast<uint64_t>(std::exp2(exponents(s_, replaced_, rng_.uniform()))) / 8 * 8;
    }
    void replace(uint64_t i) {
      const uint64_t bytes = std::max<uint64_t>(16, random_bytes());
      const uint64_t words = bytes / sizeof(uint64_t);
      MixSlot<B>& slot = table_.get()[i];
      uint64_t* old = slot.object.get();
      if (bears_pointers(bytes, i)) {
        typename B::template Local<MixPointer<B>> fresh = B::template make_array<MixPointer<B>>(words);
        auto* object = reinterpret_cast<uint64_t*>(static_cast<MixPointer<B>*>(fresh));
        fresh[words - 1].to = object;
        slot.object = object;
      } else {
        typename B::template Local<uint64_t> fresh = B::template make_array<uint64_t>(words);
        fresh[0] = fresh[words - 1] = i;
        slot.object = static_cast<uint64_t*>(fresh);
      }
      live_bytes_ += B::array_bytes(bytes);
      if (old != nullptr) live_bytes_ -= B::array_bytes(slot.bytes);
      slot.bytes = bytes;
      B::release(old);
      ++replaced_;
    }
    const Settings s_;
    Rng rng_;
    typename B::template Root<MixSlot<B>> table_;
    uint64_t live_bytes_ = 0;
    uint64_t replaced_ = 0;
  };

  void check(const std::vector<Thread*>& threads, Verdict& verdict) {
    for (Thread* thread : threads) verdict.expect(thread->intact(), "an object is damaged");
    if (verdict.passed) verdict.detail = std::to_string(threads.size() * settings_.slots) + " objects intact";
  }
  nlohmann::json results(const std::vector<Thread*>& threads) const {
    uint64_t live = 0;
    uint64_t replaced = 0;
    for (const Thread* thread : threads) {
      live += thread->live_bytes();
      replaced += thread->replaced();
    }
    return {{"live_bytes", live}, {"replaced", replaced}};
  }

 private:
  // The logarithm of a size after so many replacements, at `share` of the range that is used then: its middle
  // drifts through the whole and back every kDrift.
  static double exponents(const Settings& s, uint64_t replaced, double share) {
    const double low = std::log2(static_cast<double>(s.least_bytes));
    const double high = std::log2(static_cast<double>(s.most_bytes));
    const double phase = static_cast<double>(replaced % kDrift) / static_cast<double>(kDrift);
    const double middle = low + (high - low) * (0.25 + 0.5 * std::fabs(2 * phase - 1));
    const double spread = (high - low) / 2;
    return std::min(high, std::max(low, middle + spread * (share - 0.5)));
  }

  const Settings settings_;
  const uint64_t seed_;
};

}  // namespace

int main(int argc, char** argv) {
  MixSettings settings;
  OptionParser parser("size_mix", "Objects of drifting sizes replace each other: fragmentation over time.");
  parser.count("--slots", settings.slots, 1, 1'000'000'000,
               "live objects of each thread (100000: about 0.5 GB)");
  parser.count("--least-bytes", settings.least_bytes, 16, 1 << 30, "smallest object");
  parser.count("--most-bytes", settings.most_bytes, 16, 1 << 30, "largest object");
  parser.count("--batch", settings.batch, 1, 1'000'000, "replacements an operation");
  const CommonOptions options = parser.parse(argc, argv);
  if (settings.least_bytes > settings.most_bytes) {
    exit_bad_input("size_mix", "option --least-bytes: " + std::to_string(settings.least_bytes) +
                                   " is above --most-bytes " + std::to_string(settings.most_bytes));
  }
  return dispatch<SizeMix>("size_mix", argv, options, settings);
}
