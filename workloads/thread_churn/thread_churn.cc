// `thread_churn`: threads come and go.
//
// What it presses on: attaching and leaving while cycles run, caches and barrier buffers handed in, roots
// handed over. An operation starts a thread that attaches, allocates a chain, hands it to the one who started
// it, and leaves; the starter puts it in the place of a random entry of its table. Live bytes: entries x
// chain.
#include <exception>
#include <thread>

#include "allocator/base/rng.h"
#include "workloads/common/chain.h"
#include "workloads/common/dispatch.h"

namespace {

using namespace keel;

struct ThreadSettings {
  uint64_t entries = 1000;
  uint64_t objects = 100;
  uint64_t object_bytes = 64;
};

template <typename B>
class ThreadChurn {
 public:
  using Backend = B;
  using Settings = ThreadSettings;
  static constexpr const char* kNoMalloc = nullptr;

  ThreadChurn(typename B::Runtime& runtime, const CommonOptions& options, const Settings& settings)
      : settings_(settings), seed_(options.seed), runtime_(runtime) {}

  static Footprint footprint(const CommonOptions& options, const Settings& s) {
    return {whole_bytes(static_cast<double>(options.threads) * static_cast<double>(s.entries) *
                        static_cast<double>(s.objects * B::slot_bytes(s.object_bytes))),
            "--entries, --objects or --threads (entries are of each thread)"};
  }

  class Thread {
   public:
    Thread(ThreadChurn& work, size_t t, SetUp& set_up)
        : work_(work), s_(work.settings_), rng_(work.seed_ * 0x10001 + t) {
      table_.reset(B::template make_array<ChainSlot<B>>(s_.entries));
      for (uint64_t i = 0; i < s_.entries && set_up.next(t, i, s_.entries); ++i) {
        typename B::template Local<Link<B>> chain = make_chain<B>(s_.objects, s_.object_bytes, i);
        table_.get()[i].head = static_cast<Link<B>*>(chain);
      }
    }
    ~Thread() {
      if constexpr (B::kFrees) {
        for (uint64_t i = 0; i < s_.entries; ++i) release_chain(table_.get()[i].head.get());
        B::release(table_.get());
      }
    }
    void operation() {
      const uint64_t at = rng_.below(s_.entries);
      // The hand-over: a root that the new thread fills and this one empties.
      typename B::template Root<Link<B>> given;
      std::exception_ptr failed;
      B::blocking([&] {
        std::thread([&] {
          try {
            typename B::Thread scope(work_.runtime_, "passer-by");
            typename B::template Local<Link<B>> chain = make_chain<B>(s_.objects, s_.object_bytes, at);
            given.reset(static_cast<Link<B>*>(chain));
          } catch (...) {
            failed = std::current_exception();
          }
        }).join();
      });
      if (failed) std::rethrow_exception(failed);
      release_chain(table_.get()[at].head.get());
      table_.get()[at].head = given.get();
      given.reset();
      ++started_;
    }
    [[nodiscard]] bool intact() const {
      for (uint64_t i = 0; i < s_.entries; ++i) {
        if (!chain_is_whole(table_.get()[i].head.get(), s_.objects, i)) return false;
      }
      return true;
    }
    [[nodiscard]] uint64_t started() const { return started_; }

   private:
    ThreadChurn& work_;
    const Settings s_;
    Rng rng_;
    typename B::template Root<ChainSlot<B>> table_;
    uint64_t started_ = 0;
  };

  void check(const std::vector<Thread*>& threads, Verdict& verdict) {
    for (const Thread* thread : threads)
      verdict.expect(thread->intact(), "a chain that a thread left behind is damaged");
    if (verdict.passed) verdict.detail = "every chain that a thread left behind is whole";
  }
  nlohmann::json results(const std::vector<Thread*>& threads) const {
    uint64_t started = 0;
    for (const Thread* thread : threads) started += thread->started();
    return {{"threads_started", started},
            {"live_bytes",
             threads.size() * (settings_.entries * settings_.objects * B::slot_bytes(settings_.object_bytes) +
                               B::array_bytes(settings_.entries * sizeof(void*)))}};
  }

 private:
  const Settings settings_;
  const uint64_t seed_;
  typename B::Runtime& runtime_;
};

}  // namespace

int main(int argc, char** argv) {
  ThreadSettings settings;
  OptionParser parser("thread_churn", "Threads that attach, allocate, hand over and leave.");
  parser.count("--entries", settings.entries, 1, 1'000'000'000, "live chains of each thread");
  parser.count("--objects", settings.objects, 1, 1'000'000, "objects that each passing thread makes");
  parser.count("--object-bytes", settings.object_bytes, 24, 32768, "bytes of each, 24 to 32768");
  const CommonOptions options = parser.parse(argc, argv);
  return dispatch<ThreadChurn>("thread_churn", argv, options, settings);
}
