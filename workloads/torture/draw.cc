// The option space, one rule a flag; see draw.h.
#include "workloads/torture/draw.h"

#include <cstdlib>
#include <tuple>
#include <utility>
#include <vector>

#include "allocator/base/rng.h"
#include "allocator/base/units.h"
#include "barriers/api/barrier_list.h"
#include "workloads/torture/kinds.h"

namespace keel::torture {
namespace {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool kSlow = true;
#else
constexpr bool kSlow = KEEL_DEBUG_CHECKS;
#endif

class Configuration {
 public:
  Configuration(CommonOptions& options, Settings& settings)
      : o_(options), s_(settings), rng_(options.seed ^ 0x746f7274757265) {}

  std::string draw() {
    barrier();
    sizes();
    pace();
    limits();
    debug();
    rest();
    if (s_.explore) leave_out_what_waits_in_the_system();
    return flags_;
  }

 private:
  bool given(const char* flag, const char* environment = nullptr) const {
    if (o_.arguments.contains(flag)) return true;
    const char* value = environment == nullptr ? nullptr : std::getenv(environment);
    return value != nullptr && *value != 0;
  }
  void say(const char* flag, const std::string& value) { flags_ += std::string(" --") + flag + " " + value; }
  // True once in `n` times.
  bool one_in(uint64_t n) { return rng_.below(n) == 0; }

  // Any sound pair that agrees with what is given.
  void barrier() {
    std::vector<std::pair<std::string, std::string>> sound;
    auto try_kind = [&](std::string_view name) {
      for (const char* transitions : {"stw", "handshake"}) {
        HeapConfig config;
        config.barrier = name;
        config.transitions = transitions;
        if (given("barrier") && config.barrier != o_.heap.barrier) continue;
        if (given("transitions") && config.transitions != o_.heap.transitions) continue;
        if (config.check().ok()) sound.emplace_back(config.barrier, config.transitions);
      }
    };
    [&]<typename... Kind>(std::type_identity<std::tuple<Kind...>>) {
      (try_kind(Kind::kTraits.name), ...);
    }(std::type_identity<BarrierKinds>());
    std::tie(o_.heap.barrier, o_.heap.transitions) = sound[rng_.below(sound.size())];
    say("barrier", o_.heap.barrier);
    say("transitions", o_.heap.transitions);
    const bool precise = one_in(2);
    if (s_.explore) {
      o_.heap.roots = Roots::kPrecise;
    } else if (!given("roots"))
      o_.heap.roots = precise ? Roots::kPrecise : Roots::kConservative;
    say("roots", o_.heap.roots == Roots::kPrecise ? "precise" : "conservative");
  }

  void sizes() {
    const uint64_t few = 1 + rng_.below(6);
    const uint64_t many = draw_size(rng_, 1, kSlow ? 24 : 96);
    const bool crowded = one_in(6);
    if (!given("threads")) o_.threads = static_cast<int>(s_.explore ? 1 + few % 3 : crowded ? many : few);
    say("threads", std::to_string(o_.threads));
    const uint64_t live = draw_size(rng_, 512 * 1024, (kSlow ? 8 : 48) << 20);
    if (s_.live_bytes == 0) s_.live_bytes = s_.explore ? live / 16 : live;
    say("live", format_size(s_.live_bytes));
    s_.round_actions = draw_size(rng_, 200, kSlow ? 2000 : 20000) / (s_.explore ? 20 : 1);
    s_.drop_at_end = !one_in(3) || s_.always_drop;
    if (kSlow && !given("giant")) s_.giant_bytes = uint64_t{64} << 20;
    if (s_.explore && !given("giant")) s_.giant_bytes = 256 << 10;
    say("giant", format_size(s_.giant_bytes));
  }

  void pace() {
    const int64_t gogc = one_in(12)   ? HeapConfig::kGogcOff
                         : one_in(20) ? 0
                                      : static_cast<int64_t>(draw_size(rng_, 1, 1000));
    if (!given("gogc", "GOGC")) o_.heap.gogc_percent = gogc;
    s_.change_gogc = !given("gogc", "GOGC");
    const uint64_t rule = rng_.below(8);
    const uint64_t fixed = draw_size(rng_, 1 << 20, 2 * s_.live_bytes + (4 << 20));
    const double price = 0.001 * static_cast<double>(draw_size(rng_, 1, 10000));
    if (!given("goal") && !given("gogc") && rule < 2) {
      o_.heap.goal = rule == 0 ? GoalRule::kFixed : GoalRule::kMembalancer;
      o_.heap.fixed_goal_bytes = fixed;
      o_.heap.membalancer_per_mib = price;
    }
    if (o_.heap.goal == GoalRule::kFixed) {
      say("goal", "fixed=" + format_size(o_.heap.fixed_goal_bytes));
    } else if (o_.heap.goal == GoalRule::kMembalancer) {
      say("goal", "membalancer=" + std::to_string(o_.heap.membalancer_per_mib));
    } else {
      say("gogc", o_.heap.gogc_percent < 0 ? "off" : std::to_string(o_.heap.gogc_percent));
    }
    const bool assists = !one_in(5);
    if (!given("assists")) o_.heap.assists = assists;
    say("assists", o_.heap.assists ? "on" : "off");
    const uint64_t period_ms = draw_size(rng_, 1, 500);
    const bool periodic = one_in(4);
    if (!given("periodic") && periodic) o_.heap.periodic_ns = static_cast<int64_t>(period_ms * 1'000'000);
    if (periodic) say("periodic", std::to_string(o_.heap.periodic_ns) + "ns");
    const auto workers = static_cast<uint32_t>(one_in(2) ? 0 : 1 + rng_.below(8));
    if (!given("mark-workers")) o_.heap.mark_workers = workers;
    say("mark-workers", o_.heap.mark_workers == 0 ? "auto" : std::to_string(o_.heap.mark_workers));
  }

  void limits() {
    const uint64_t limit = (8 << 20) + draw_size(rng_, s_.live_bytes / 2, 6 * s_.live_bytes);
    const bool limited = one_in(3);
    if (!given("memory-limit", "GOMEMLIMIT") && limited) o_.heap.memory_limit_bytes = limit;
    s_.change_limit = !given("memory-limit", "GOMEMLIMIT");
    if (o_.heap.memory_limit_bytes < HeapConfig::kNoLimit)
      say("memory-limit", format_size(o_.heap.memory_limit_bytes));
    // Near the edge: from hardly enough to twice what is recorded.
    const uint64_t hard = (2 << 20) + draw_size(rng_, s_.live_bytes / 2, 3 * s_.live_bytes);
    const bool bounded = one_in(4);
    if (!given("max-heap") && bounded) o_.heap.max_heap_bytes = hard;
    if (o_.heap.max_heap_bytes != 0) say("max-heap", format_size(o_.heap.max_heap_bytes));
    s_.change_ballast = !given("ballast");
  }

  void debug() {
    DebugOptions debug;
    debug.checkmark = one_in(4);
    debug.walk = one_in(4);
    debug.poison = one_in(2);
    debug.leakcheck = one_in(8);
    const auto every = static_cast<uint32_t>(draw_size(rng_, 20, 5000));
    if (one_in(4)) debug.stress = every;
    if (!given("debug", "KEEL_DEBUG")) o_.heap.debug = debug;
    const DebugOptions& set = o_.heap.debug;
    std::string list;
    for (const auto& [on, name] : {std::pair{set.checkmark, "checkmark"}, std::pair{set.walk, "walk"},
                                   std::pair{set.poison, "poison"}, std::pair{set.leakcheck, "leakcheck"}}) {
      if (on) list += std::string(list.empty() ? "" : ",") + name;
    }
    if (set.stress != 0) list += (list.empty() ? "stress=" : ",stress=") + std::to_string(set.stress);
    if (!list.empty()) say("debug", list);
  }

  void rest() {
    const bool huge = one_in(4);
    if (!given("huge-pages")) o_.heap.huge_pages = huge;
    say("huge-pages", o_.heap.huge_pages ? "on" : "off");
    const auto retain = static_cast<uint32_t>(one_in(3) ? rng_.below(300) : 10);
    if (!given("retain")) o_.heap.retain_percent = retain;
    say("retain", std::to_string(o_.heap.retain_percent));
    // Checkmark's own bits lie beside a ballast's pages (docs/ballast.md): small ones there.
    s_.ballast_bytes = uint64_t{1} << (o_.heap.debug.checkmark || s_.explore ? 28 : 36);
    // A grey pool that overflows: no flag, for nobody wants one.
    const auto chunks = static_cast<uint32_t>(one_in(4) ? 1 + rng_.below(16) : 65536);
    o_.heap.grey_chunks = chunks;
  }

  void leave_out_what_waits_in_the_system() {
    for (const Action action : {Action::k_fork, Action::k_cancelled_child})
      s_.left_out[static_cast<size_t>(action)] = true;
  }

  CommonOptions& o_;
  Settings& s_;
  Rng rng_;
  std::string flags_;
};

}  // namespace

Result<bool> leave_out(const std::string& list, Settings& settings) {
  for (size_t begin = 0; begin <= list.size();) {
    const size_t comma = std::min(list.find(',', begin), list.size());
    const std::string name = list.substr(begin, comma - begin);
    begin = comma + 1;
    size_t i = 0;
    while (i < kActionCount && name != to_string(static_cast<Action>(i))) ++i;
    if (name == "as_it_stands") {
      settings.always_drop = true;
    } else if (i < kActionCount) {
      settings.left_out[i] = true;
    } else {
      std::string names;
      for (size_t k = 0; k < kActionCount; ++k)
        names += std::string(to_string(static_cast<Action>(k))) + ", ";
      return Error{"'" + name + "' is not one of " + names + "as_it_stands"};
    }
  }
  return true;
}

std::string draw_configuration(CommonOptions& options, Settings& settings) {
  return Configuration(options, settings).draw();
}

}  // namespace keel::torture
