// `phase_shift`: live set and allocation rate jump.
//
// What it presses on: the pacer, which knows the last phase only. The run goes through phases, again and
// again, each with its duration, its allocation rate, the share of new objects that survive, and the chance
// that an old one dies for each that is made: survive above die and the live set grows, below and it shrinks.
// The pacer's estimates are wrong right after every jump; goals missed, assists and stalls there are what
// this shows. Live bytes: objects kept x slot and their table.
#include <algorithm>
#include <charconv>

#include "allocator/base/rng.h"
#include "workloads/common/chain.h"
#include "workloads/common/dispatch.h"

namespace {

using namespace keel;

struct Phase {
  int64_t duration_ns = 0;
  uint64_t bytes_per_second = 0;  // of all threads; 0: as fast as it goes
  double survive_percent = 0;
  double die_percent = 0;
};

struct PhaseSettings {
  std::vector<Phase> phases;
  uint64_t object_bytes = 96;
  uint64_t batch = 200;  // objects an operation
};

template <typename B>
class PhaseShift {
 public:
  using Backend = B;
  using Settings = PhaseSettings;
  static constexpr const char* kNoMalloc = nullptr;

  PhaseShift(const CommonOptions& options, const Settings& settings)
      : settings_(settings), threads_(static_cast<uint64_t>(options.threads)), seed_(options.seed) {}

  class Thread {
   public:
    Thread(PhaseShift& work, size_t t, SetUp&)
        : work_(work), s_(work.settings_), rng_(work.seed_ * 0x10001 + t) {
      kept_.reset(B::template make_array<ChainSlot<B>>(capacity_));
    }
    ~Thread() {
      if constexpr (B::kFrees) {
        for (uint64_t i = 0; i < count_; ++i) B::release(kept_.get()[i].head.get());
        B::release(kept_.get());
      }
    }
    int64_t due_ns() {
      const int64_t now = now_ns();
      if (begin_ns_ == 0) begin_ns_ = due_ns_ = now;
      const Phase& phase = s_.phases[phase_at(now - begin_ns_)];
      if (&phase != phase_) due_ns_ = now;  // a new rate counts from here
      phase_ = &phase;
      if (phase.bytes_per_second == 0) return due_ns_ = now;
      const double bytes = static_cast<double>(s_.batch * B::slot_bytes(s_.object_bytes) * work_.threads_);
      due_ns_ += static_cast<int64_t>(1e9 * bytes / static_cast<double>(phase.bytes_per_second));
      return due_ns_;
    }
    void operation() {
      for (uint64_t i = 0; i < s_.batch; ++i) {
        typename B::template Local<Link<B>> link =
            B::template make_with_tail<Link<B>>(s_.object_bytes - sizeof(Link<B>));
        link->number = ~made_;
        link->stamp = made_++;
        if (rng_.percent(phase_->survive_percent)) {
          keep(link);
        } else {
          B::release(static_cast<Link<B>*>(link));
        }
        if (count_ != 0 && rng_.percent(phase_->die_percent)) drop(rng_.below(count_));
      }
      most_ = std::max(most_, count_);
    }
    [[nodiscard]] bool intact() const {
      for (uint64_t i = 0; i < count_; ++i) {
        const Link<B>* link = kept_.get()[i].head.get();
        if (link == nullptr || link->number != ~link->stamp) return false;
      }
      return true;
    }
    [[nodiscard]] uint64_t live_bytes() const {
      return count_ * B::slot_bytes(s_.object_bytes) + B::array_bytes(capacity_ * sizeof(ChainSlot<B>));
    }
    [[nodiscard]] uint64_t most_bytes() const { return most_ * B::slot_bytes(s_.object_bytes); }

   private:
    size_t phase_at(int64_t since) const {
      int64_t all = 0;
      for (const Phase& phase : s_.phases) all += phase.duration_ns;
      int64_t left = since % all;
      size_t at = 0;
      while (left >= s_.phases[at].duration_ns) left -= s_.phases[at++].duration_ns;
      return at;
    }
    void keep(Link<B>* link) {
      if (count_ == capacity_) {
        typename B::template Local<ChainSlot<B>> more = B::template make_array<ChainSlot<B>>(2 * capacity_);
        ChainSlot<B>* old = kept_.get();
        for (uint64_t i = 0; i < count_; ++i) more[i].head = old[i].head.get();
        kept_.reset(more);
        B::release(old);
        capacity_ *= 2;
      }
      kept_.get()[count_++].head = link;
    }
    void drop(uint64_t i) {
      ChainSlot<B>* kept = kept_.get();
      B::release(kept[i].head.get());
      kept[i].head = kept[--count_].head.get();
      kept[count_].head = nullptr;
    }
    PhaseShift& work_;
    const Settings s_;
    Rng rng_;
    typename B::template Root<ChainSlot<B>> kept_;
    uint64_t capacity_ = 1024;
    uint64_t count_ = 0;
    uint64_t most_ = 0;
    uint64_t made_ = 0;
    const Phase* phase_ = nullptr;
    int64_t begin_ns_ = 0;
    int64_t due_ns_ = 0;
  };

  void check(const std::vector<Thread*>& threads, Verdict& verdict) {
    for (const Thread* thread : threads) verdict.expect(thread->intact(), "a kept object is damaged");
    if (verdict.passed) verdict.detail = "every kept object is intact";
  }
  nlohmann::json results(const std::vector<Thread*>& threads) const {
    uint64_t live = 0;
    uint64_t most = 0;
    for (const Thread* thread : threads) {
      live += thread->live_bytes();
      most += thread->most_bytes();
    }
    nlohmann::json phases = nlohmann::json::array();
    for (const Phase& phase : settings_.phases) {
      phases.push_back({{"duration_ns", phase.duration_ns},
                        {"bytes_per_second", phase.bytes_per_second},
                        {"survive_percent", phase.survive_percent},
                        {"die_percent", phase.die_percent}});
    }
    return {{"live_bytes", live}, {"most_kept_bytes", most}, {"phases", phases}};
  }

 private:
  const Settings settings_;
  const uint64_t threads_;
  const uint64_t seed_;
};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

double percent_of(const std::string& text, const std::string& phase) {
  double percent = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, percent);
  if (error != std::errc() || stop != end || !(percent >= 0 && percent <= 100)) {
    exit_bad_input("phase_shift", "option --phases: '" + phase + "': '" + text + "' is outside [0, 100]");
  }
  return percent;
}

std::vector<Phase> parse_phases(const std::string& text) {
  std::vector<Phase> phases;
  for (const std::string& part : split(text, ';')) {
    const std::vector<std::string> fields = split(part, ',');
    if (fields.size() != 4) {
      exit_bad_input("phase_shift", "option --phases: '" + part +
                                        "' is not DURATION,BYTES_PER_SECOND,SURVIVE_PERCENT,DIE_PERCENT");
    }
    const auto duration = parse_duration(fields[0]);
    const auto rate = parse_size(fields[1]);
    if (!duration) exit_bad_input("phase_shift", "option --phases: '" + part + "': " + duration.error());
    if (duration.value() <= 0)
      exit_bad_input("phase_shift", "option --phases: '" + part + "': a phase needs a duration");
    if (!rate) exit_bad_input("phase_shift", "option --phases: '" + part + "': " + rate.error());
    phases.push_back(
        {duration.value(), rate.value(), percent_of(fields[2], part), percent_of(fields[3], part)});
  }
  return phases;
}

}  // namespace

int main(int argc, char** argv) {
  PhaseSettings settings;
  std::string phases = "2s,100MiB,10,4;1s,400MiB,10,4;2s,50MiB,2,20;1s,0B,1,2";
  OptionParser parser("phase_shift", "Live set and allocation rate jump: the pacer must follow.");
  parser.text(
      "--phases", phases,
      "DURATION,BYTES_PER_SECOND,SURVIVE_PERCENT,DIE_PERCENT;...; 0B: no limit; repeated to the end [" +
          phases + "]");
  parser.count("--object-bytes", settings.object_bytes, 24, 32768, "bytes of each object, 24 to 32768");
  parser.count("--batch", settings.batch, 1, 1'000'000, "objects an operation");
  const CommonOptions options = parser.parse(argc, argv);
  settings.phases = parse_phases(phases);
  return dispatch<PhaseShift>("phase_shift", argv, options, settings);
}
