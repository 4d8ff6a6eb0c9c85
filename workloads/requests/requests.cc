// `requests`: the latency workload.
//
// What it presses on: everything that can interrupt a mutator. Every request allocates a chain of small
// objects, walks it, and puts its first few in the place of a random entry of a live table; the rest is
// garbage at once. Closed loop, or open with --rate, where a pause delays all requests behind it. Origin: the
// latency tests of collector papers (a store under steady replacement), in the sizes of GOALS: 208 objects of
// 96 B, 8 of them stay. Live bytes: entries x kept x slot, and the table.
#include <algorithm>

#include "allocator/base/rng.h"
#include "workloads/common/chain.h"
#include "workloads/common/dispatch.h"

namespace {

using namespace keel;

struct RequestSettings {
  uint64_t live_bytes = 256 * kMiB;
  uint64_t objects = 208;
  uint64_t kept = 8;
  uint64_t object_bytes = 96;
  double replace_percent = 100;
};

template <typename B>
class Requests {
 public:
  using Backend = B;
  using Settings = RequestSettings;
  static constexpr const char* kNoMalloc = nullptr;

  Requests(const CommonOptions& options, const Settings& settings)
      : settings_(settings),
        seed_(options.seed),
        entries_(std::max<uint64_t>(
            1, settings.live_bytes / static_cast<uint64_t>(options.threads) /
                   (settings.kept * B::slot_bytes(settings.object_bytes) + sizeof(void*)))) {}

  static Footprint footprint(const CommonOptions&, const Settings& s) { return {s.live_bytes, "--live"}; }

  class Thread {
   public:
    Thread(Requests& work, size_t t, SetUp& set_up) : work_(work), rng_(work.seed_ * 0x10001 + t) {
      table_.reset(B::template make_array<ChainSlot<B>>(work.entries_));
      for (uint64_t i = 0; i < work.entries_ && set_up.next(t, i, work.entries_); ++i) put(i);
    }
    ~Thread() {
      if constexpr (B::kFrees) {
        for (uint64_t i = 0; i < work_.entries_; ++i) release_chain(table_.get()[i].head.get());
        B::release(table_.get());
      }
    }
    void operation() {
      const Settings& s = work_.settings_;
      if (rng_.percent(s.replace_percent)) {
        const uint64_t at = rng_.below(work_.entries_);
        damaged_ |= !chain_is_whole(table_.get()[at].head.get(), s.kept, at);
        release_chain(table_.get()[at].head.get());
        put(at);
        ++replaced_;
      }
      const uint64_t dropped = s.objects - s.kept;
      typename B::template Local<Link<B>> rest = make_chain<B>(dropped, s.object_bytes, replaced_);
      damaged_ |= !chain_is_whole(static_cast<Link<B>*>(rest), dropped, replaced_);
      release_chain(static_cast<Link<B>*>(rest));
    }
    [[nodiscard]] bool intact() const {
      for (uint64_t i = 0; i < work_.entries_; ++i) {
        if (!chain_is_whole(table_.get()[i].head.get(), work_.settings_.kept, i)) return false;
      }
      return !damaged_;
    }
    [[nodiscard]] uint64_t replaced() const { return replaced_; }

   private:
    void put(uint64_t at) {
      typename B::template Local<Link<B>> entry =
          make_chain<B>(work_.settings_.kept, work_.settings_.object_bytes, at);
      table_.get()[at].head = static_cast<Link<B>*>(entry);
    }
    Requests& work_;
    Rng rng_;
    typename B::template Root<ChainSlot<B>> table_;
    uint64_t replaced_ = 0;
    bool damaged_ = false;
  };

  void check(const std::vector<Thread*>& threads, Verdict& verdict) {
    for (const Thread* thread : threads)
      verdict.expect(thread->intact(), "an entry or a response is damaged");
    if (verdict.passed) verdict.detail = std::to_string(threads.size() * entries_) + " entries intact";
  }
  nlohmann::json results(const std::vector<Thread*>& threads) const {
    uint64_t replaced = 0;
    for (const Thread* thread : threads) replaced += thread->replaced();
    const uint64_t slot = B::slot_bytes(settings_.object_bytes);
    return {{"entries", threads.size() * entries_},
            {"replaced", replaced},
            {"response_bytes", settings_.objects * slot},
            {"live_bytes",
             threads.size() * (entries_ * settings_.kept * slot + B::array_bytes(entries_ * sizeof(void*)))}};
  }

 private:
  const Settings settings_;
  const uint64_t seed_;
  const uint64_t entries_;  // of each thread
};

}  // namespace

int main(int argc, char** argv) {
  RequestSettings settings;
  ServiceSettings service;
  OptionParser parser("requests", "Requests that allocate, walk and replace: how long each takes.");
  parser.size("--live", settings.live_bytes, "live data of the table");
  parser.count("--objects", settings.objects, 1, 1000000, "objects per request");
  parser.count("--kept", settings.kept, 0, 1000000, "of them stay, as an entry of the table");
  parser.count("--object-bytes", settings.object_bytes, 24, 32768, "bytes of each, 24 to 32768");
  parser.real("--replace", settings.replace_percent, 0, 100, "percent of requests that replace an entry");
  parser.count("--rate", service.rate, 0, 1000000000,
               "open loop: requests per second of all threads; 0: closed");
  const CommonOptions options = parser.parse(argc, argv);
  if (settings.kept > settings.objects) {
    exit_bad_input("requests", "option --kept: " + std::to_string(settings.kept) + " is above --objects " +
                                   std::to_string(settings.objects));
  }
  if (settings.live_bytes == 0) exit_bad_input("requests", "option --live: '0B' is outside [1B, 8388607TiB]");
  return dispatch<Requests>("requests", argv, options, settings, service);
}
