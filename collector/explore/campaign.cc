// Children, budgets, and the second run of what was found; see campaign.h.
#include "collector/explore/campaign.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <sstream>

#include "allocator/base/check.h"
#include "allocator/base/clock.h"
#include "allocator/base/defects.h"
#include "allocator/base/explore/search.h"

namespace keel::explore {
namespace {

// A child's life: long enough to pay for itself, short enough that nothing piles up.
constexpr uint64_t kSchedulesAChild = 500;
// A child that passes no schedule for so long waits for something outside the scheduler.
constexpr int64_t kStuckNs = 120'000'000'000;
constexpr int64_t kLookNs = 20'000'000;

// Shared with the children. Written by one of them at a time; relaxed: read for progress, and after its end.
struct Shared {
  std::atomic<uint64_t> schedules;
  std::atomic<uint64_t> switches;
  std::atomic<uint64_t> points;
  std::atomic<uint64_t> longest_points;
  std::atomic<uint64_t> seed;  // of the schedule that runs
  std::atomic<int> completed;
  std::atomic<bool> search_over;
  std::atomic<bool> warming_up;
  std::atomic<bool> found;
  std::atomic<uint64_t> hash;
  char what[256];
  char deviations[256];
};
Shared* g_shared = nullptr;

// In the child that failed, or in one that it forked: the first counts.
void on_found(const char* what, uint64_t hash) {
  if (g_shared->found.exchange(true)) return;
  std::snprintf(g_shared->what, sizeof g_shared->what, "%s", what);
  g_shared->hash.store(hash, std::memory_order_relaxed);
}

SessionOptions options_for(const Campaign& campaign, uint64_t seed) {
  SessionOptions options = options_of_seed(seed, campaign.scenario->expected_points);
  if (campaign.strategy) {
    options.strategy = *campaign.strategy;
    options.depth = campaign.depth;
  }
  if (options.strategy == StrategyKind::kBounded) options.switch_at = SwitchAt::kSync;
  if (campaign.switch_at) options.switch_at = *campaign.switch_at;
  options.on_found = on_found;
  return options;
}

std::string replay_line(const Campaign& campaign, const SessionOptions& options) {
  std::string line = "explore --scenario " + std::string(campaign.scenario->name) + " --strategy " +
                     to_string(options.strategy);
  if (options.strategy == StrategyKind::kBounded) {
    if (!options.deviations.empty()) line += " --deviations " + to_string(options.deviations);
  } else {
    line += " --seed " + std::to_string(options.seed);
  }
  if (options.strategy == StrategyKind::kPct || options.strategy == StrategyKind::kWindows)
    line += " --depth " + std::to_string(options.depth);
  line += " --points " + std::string(to_string(options.switch_at));
  line += " --schedules 1";
  if (const Defect on = detail::g_defect; on != Defect::kNone)
    line = "KEEL_DEFECT=" + keel::to_string(on) + " " + line;
  return line;
}

struct Outcome {
  SessionResult result;
  std::vector<Alternative> alternatives;
};

Outcome run_one(const Campaign& campaign, SessionOptions options) {
  options.replay = replay_line(campaign, options);
  g_shared->seed.store(options.seed, std::memory_order_relaxed);
  std::snprintf(g_shared->deviations, sizeof g_shared->deviations, "%s",
                to_string(options.deviations).c_str());
  Session session(options);
  name_thread("scenario");
  campaign.scenario->run(campaign.scenario->variant, options.seed);
  Outcome outcome{session.finish(), {}};
  outcome.alternatives = session.take_alternatives();
  return outcome;
}

void count(const SessionResult& result) {
  g_shared->schedules.fetch_add(1, std::memory_order_relaxed);
  g_shared->switches.fetch_add(result.switches, std::memory_order_relaxed);
  g_shared->points.fetch_add(result.points, std::memory_order_relaxed);
  g_shared->longest_points.store(
      std::max(result.points, g_shared->longest_points.load(std::memory_order_relaxed)),
      std::memory_order_relaxed);
  g_shared->hash.store(result.trace_hash, std::memory_order_relaxed);
}

class Budget {
 public:
  explicit Budget(const Campaign& campaign) : campaign_(campaign) {}
  [[nodiscard]] bool left() const {
    const auto within = [](uint64_t used, uint64_t most) { return most == 0 || used < most; };
    return within(g_shared->schedules.load(std::memory_order_relaxed), campaign_.most_schedules) &&
           within(g_shared->switches.load(std::memory_order_relaxed), campaign_.most_switches) &&
           (campaign_.most_ns == 0 || now_ns() - begin_ns_ < campaign_.most_ns);
  }
  [[nodiscard]] int64_t used_ns() const { return now_ns() - begin_ns_; }

 private:
  const Campaign& campaign_;
  const int64_t begin_ns_ = now_ns();
};

// The run that does not count: the same for every child.
void warm_up(const Campaign& campaign) {
  SessionOptions options;
  options.strategy = StrategyKind::kBounded;
  options.on_found = on_found;
  g_shared->warming_up.store(true);
  run_one(campaign, options);
  g_shared->warming_up.store(false);
}

void run_seeds(const Campaign& campaign, const Budget& budget, uint64_t first) {
  for (uint64_t i = 0; i < kSchedulesAChild && budget.left(); ++i)
    count(run_one(campaign, options_for(campaign, first + i)).result);
}

void run_search(const Campaign& campaign, const Budget& budget) {
  BoundedSearch search(campaign.most_deviations);
  SessionOptions options = options_for(campaign, campaign.seed);
  while (budget.left()) {
    if (!search.next(options.deviations)) {
      g_shared->search_over.store(true, std::memory_order_relaxed);
      break;
    }
    const Outcome outcome = run_one(campaign, options);
    count(outcome.result);
    search.add(outcome.alternatives);
    g_shared->completed.store(search.completed(), std::memory_order_relaxed);
  }
  g_shared->completed.store(search.completed(), std::memory_order_relaxed);
}

void show_progress(const Campaign& campaign, const Budget& budget) {
  std::fprintf(stderr, "\r%-32s %9llu schedules %12llu switches %6.1f s ", campaign.scenario->name,
               static_cast<unsigned long long>(g_shared->schedules.load(std::memory_order_relaxed)),
               static_cast<unsigned long long>(g_shared->switches.load(std::memory_order_relaxed)),
               static_cast<double>(budget.used_ns()) / 1e9);
}

// Runs `work` in a child; true if it ended well. What it found is in g_shared.
template <typename F>
bool in_child(const Campaign& campaign, const Budget& budget, F&& work) {
  std::fflush(nullptr);
  const pid_t pid = fork();
  KEEL_CHECK(pid >= 0, "explore: fork: %s", std::strerror(errno));
  if (pid == 0) {
    warm_up(campaign);
    work();
    std::fflush(nullptr);
    _exit(0);
  }
  uint64_t last = 0;
  int64_t since = now_ns();
  for (;;) {
    int status = 0;
    const pid_t ended = waitpid(pid, &status, WNOHANG);
    if (ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0 && !g_shared->found.load()) return true;
    if (ended == pid) {
      // Killed, or it ended without a report of its own.
      char text[64];
      std::snprintf(text, sizeof text, "the process ended with status %#x", static_cast<unsigned>(status));
      on_found(text, 0);
      return false;
    }
    const uint64_t now =
        g_shared->points.load(std::memory_order_relaxed) + g_shared->seed.load(std::memory_order_relaxed);
    if (now != last) {
      last = now;
      since = now_ns();
    }
    if (now_ns() - since > kStuckNs) {
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      on_found("stuck: a thread waits outside the scheduler", 0);
      return false;
    }
    if (campaign.progress) show_progress(campaign, budget);
    usleep(static_cast<useconds_t>(kLookNs / 1000));
  }
}

// The options of the schedule that failed.
SessionOptions found_options(const Campaign& campaign) {
  SessionOptions options = options_for(campaign, g_shared->seed.load(std::memory_order_relaxed));
  if (g_shared->warming_up.load()) {
    options.strategy = StrategyKind::kBounded;
    options.switch_at = SwitchAt::kEveryPoint;
  }
  if (options.strategy == StrategyKind::kBounded)
    options.deviations = parse_deviations(g_shared->deviations).value_or(std::vector<Deviation>{});
  return options;
}

// What was found, once more in a fresh child: the same sentence and the same trace?
void replay(const Campaign& campaign, const Budget& budget, Tally& tally) {
  const SessionOptions options = found_options(campaign);
  tally.replay = replay_line(campaign, options);
  tally.what = g_shared->what;
  tally.found_seed = options.seed;
  tally.trace_hash = g_shared->hash.load(std::memory_order_relaxed);
  if (campaign.most_schedules == 1 && tally.schedules == 0) return;  // this is the second run
  g_shared->found.store(false);
  std::fprintf(stderr, "explore: the same schedule again:\n");
  in_child(campaign, budget, [&] { run_one(campaign, options); });
  tally.replayed = g_shared->found.load() && tally.what == g_shared->what &&
                   tally.trace_hash == g_shared->hash.load(std::memory_order_relaxed);
}

}  // namespace

Tally run_campaign(const Campaign& campaign) {
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  KEEL_CHECK(memory != MAP_FAILED, "explore: mmap: %s", std::strerror(errno));
  g_shared = new (memory) Shared{};
  g_shared->completed.store(-1, std::memory_order_relaxed);
  const Budget budget(campaign);
  Tally tally;
  bool ok = true;
  if (!campaign.deviations.empty()) {
    SessionOptions options = options_for(campaign, campaign.seed);
    options.deviations = campaign.deviations;
    ok = in_child(campaign, budget, [&] { count(run_one(campaign, options).result); });
  } else if (campaign.strategy == StrategyKind::kBounded) {
    ok = in_child(campaign, budget, [&] { run_search(campaign, budget); });
  } else {
    for (uint64_t seed = campaign.seed; ok && budget.left(); seed += kSchedulesAChild)
      ok = in_child(campaign, budget, [&] { run_seeds(campaign, budget, seed); });
  }
  tally.schedules = g_shared->schedules.load(std::memory_order_relaxed);
  tally.switches = g_shared->switches.load(std::memory_order_relaxed);
  tally.points = g_shared->points.load(std::memory_order_relaxed);
  tally.longest_points = g_shared->longest_points.load(std::memory_order_relaxed);
  tally.completed_deviations = g_shared->completed.load(std::memory_order_relaxed);
  tally.trace_hash = g_shared->hash.load(std::memory_order_relaxed);
  tally.found = !ok;
  tally.wall_ns = budget.used_ns();
  if (campaign.progress) std::fprintf(stderr, "\r\033[K");
  if (tally.found) replay(campaign, budget, tally);
  munmap(memory, sizeof(Shared));
  g_shared = nullptr;
  return tally;
}

std::string to_string(const std::vector<Deviation>& deviations) {
  std::string text;
  for (const Deviation& d : deviations) {
    text += (text.empty() ? "" : ",") + std::to_string(d.decision) + ":" + std::to_string(d.thread);
  }
  return text;
}

std::optional<std::vector<Deviation>> parse_deviations(const std::string& text) {
  std::vector<Deviation> deviations;
  if (text.empty() || text == "none") return deviations;
  std::istringstream words(text);
  std::string word;
  while (std::getline(words, word, ',')) {
    Deviation d;
    char rest = 0;
    unsigned long long decision = 0;
    if (std::sscanf(word.c_str(), "%llu:%u%c", &decision, &d.thread, &rest) != 2) return std::nullopt;
    d.decision = decision;
    if (!deviations.empty() && deviations.back().decision >= d.decision) return std::nullopt;
    deviations.push_back(d);
  }
  return deviations;
}

}  // namespace keel::explore
