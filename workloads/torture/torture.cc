// `torture`: everything at once, under an oracle.
//
// What it presses on: the promise that no live object is freed, under whatever configuration the seed draws.
// Random typed graphs, maps, channels, finalizers, cleanups, weak pointers, blocking regions, Roots that move
// and die, threads that come, go, throw, run out, fork and are cancelled, collections forced and natural,
// GOGC and limits changed on the fly, ballast taken and dropped; an oracle outside the heap (shadow.h) knows
// what must be there, and a judge looks at all of it between rounds (judge.h). Live bytes: in closed form, to
// the byte under precise roots.
#include <unistd.h>

#include <cstdio>

#include "allocator/base/check.h"
#include "allocator/base/explore/session.h"
#include "workloads/backends/keel_backend.h"
#include "workloads/common/dispatch.h"
#include "workloads/torture/judge.h"

namespace {

using namespace keel;
using namespace keel::torture;

// measured: 400 to 1,200.
constexpr uint64_t kPointsAnAction = 800;
constexpr uint64_t kMostPoints = 2'000'000'000;  // a run with more is a livelock
constexpr uint64_t kExploredOperations = 100;

// The command line as a shell takes it, the seed named.
std::string command_line(int argc, char** argv, uint64_t seed) {
  std::string line;
  bool seeded = false;
  for (int i = 0; i < argc; ++i) {
    std::string word = argv[i];
    seeded = seeded || word.rfind("--seed", 0) == 0;
    if (word.find_first_of(" \t'\"\\$&|;<>()*?") != std::string::npos) word = "'" + word + "'";
    line += (i == 0 ? "" : " ") + word;
  }
  return seeded ? line : line + " --seed " + std::to_string(seed);
}

// Collections for those who ask for none: with GOGC off, or beside a ballast, garbage may become resident
// without end.
class ResidentGuard {
 public:
  ResidentGuard(Heap& heap, uint64_t live_bytes) : heap_(heap), most_bytes_((256 << 20) + 8 * live_bytes) {}
  void look() {
    if (resident_bytes() > most_bytes_ && now_ns() > next_ns_) {
      heap_.free_os_memory();
      next_ns_ = now_ns() + kSecond / 5;
    }
  }

 private:
  static uint64_t resident_bytes() {
    unsigned long long total = 0;
    unsigned long long resident = 0;
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr) return 0;
    if (std::fscanf(file, "%llu %llu", &total, &resident) != 2) resident = 0;
    std::fclose(file);
    return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  }
  Heap& heap_;
  const uint64_t most_bytes_;
  int64_t next_ns_ = 0;
};

template <bool kPrecise>
class Run {
 public:
  Run(Session& session, const Settings& settings, std::string drawn, const std::string& command)
      : session_(session),
        options_(session.options()),
        settings_(settings),
        drawn_(std::move(drawn)),
        command_(command),
        trouble_(session, command),
        ends_(trouble_) {}

  int run() { return settings_.explore ? run_explored() : run_freely(); }

 private:
  // One schedule, which follows from the seed alone, on this thread and all that come out of it. The
  // session's own (signals) is not of it, and the recorder, whose threads sleep in the system, rests.
  int run_explored() {
    explore::SessionOptions schedule =
        explore::options_of_seed(settings_.explore_seed, kPointsAnAction * options_.operations);
    schedule.most_points = kMostPoints;
    schedule.replay = command_;
    set_crash_hook(nullptr);  // a failed check is the explorer's to report
    explore::Session explored(schedule);
    {
      Heap heap(options_.heap);
      heap_ = &heap;
      set_up();
      act();
      judge_->close();
      conclude();
      tear_down();
    }
    const explore::SessionResult result = explored.finish();
    if (!options_.quiet) {
      std::printf(
          "explore: %s, seed %llu: %llu points, %llu switches, %u threads, %.6f s of virtual time; trace "
          "%016llx\n",
          explore::to_string(schedule.strategy), static_cast<unsigned long long>(schedule.seed),
          static_cast<unsigned long long>(result.points), static_cast<unsigned long long>(result.switches),
          result.threads, static_cast<double>(result.virtual_ns) / 1e9,
          static_cast<unsigned long long>(result.trace_hash));
    }
    return 0;  // a fault has ended the process
  }

  int run_freely() {
    KeelRuntime runtime(options_, session_.recorder());
    const Result<bool> started = session_.recorder().start([&] { return runtime.sample(); });
    if (!started) exit_bad_input("torture", started.error());
    heap_ = &runtime.heap();
    set_up();
    session_.recorder().note_rss_start();
    session_.recorder().begin_measured();
    if (!session_.stop_requested()) act();
    session_.recorder().end_measured();
    judge_->close();
    conclude();
    const nlohmann::json results = this->results();
    tear_down();
    return session_.finish([&](nlohmann::json& out) {
      runtime.sections(out);
      out["results"] = results;
      out["run"]["operations"] = tally_.actions_done.load(std::memory_order_relaxed);
    });
  }

  void set_up() {
    Thread([this] {
      MutatorScope scope(*heap_, "set-up");
      commons_.emplace(tally_);
      if (options_.ballast_bytes == 0) return;
      try {
        commons_->take_ballast({Kind::kBytes, options_.ballast_bytes, 1});
      } catch (const OutOfMemory& error) {
        session_.fail_out_of_memory(error.what());
      }
    }).join();
    scenes_.emplace(*heap_, tally_, trouble_);
    rendezvous_.emplace(static_cast<size_t>(options_.threads));
    stage_.reset(new Stage<kPrecise>{*heap_,
                                     session_,
                                     options_,
                                     settings_,
                                     tally_,
                                     trouble_,
                                     ends_,
                                     *commons_,
                                     *scenes_,
                                     *rendezvous_,
                                     {},
                                     {}});
    for (int t = 0; t < options_.threads; ++t)
      actors_.push_back(std::make_unique<Actor<kPrecise>>(*stage_, static_cast<uint32_t>(t)));
    judge_.emplace(*stage_, actors_);
  }

  // A Root goes on an attached thread, before its heap.
  void tear_down() {
    Thread([this] {
      MutatorScope scope(*heap_, "close");
      judge_.reset();
      actors_.clear();
      stage_.reset();
      commons_.reset();
    }).join();
  }

  void act() {
    begin_ns_ = now_ns();
    const int64_t end = begin_ns_ + options_.duration_ns;
    std::vector<Thread> threads;
    const std::vector<int> cores = affinity_cores();
    for (size_t t = 0; t < actors_.size(); ++t) {
      threads.emplace_back([this, t, end, &cores] {
        if (options_.pin) pin_to_core(cores[t % cores.size()]);
        actors_[t]->run(end);
      });
    }
    ResidentGuard guard(*heap_, settings_.live_bytes);
    for (;;) {
      auto standing = [&] {
        guard.look();
        return rendezvous_->ready();
      };
      if (!settings_.explore)
        session_.wait(
            standing, [this] { return share(); }, drawn_);
      if (!rendezvous_->wait_for_all()) break;
      judge_->look();
      rendezvous_->release();
    }
    for (Thread& thread : threads) thread.join();
  }
  [[nodiscard]] double share() const {
    if (options_.operations != 0)
      return static_cast<double>(tally_.actions_done.load(std::memory_order_relaxed)) /
             static_cast<double>(options_.operations);
    return static_cast<double>(now_ns() - begin_ns_) / static_cast<double>(options_.duration_ns);
  }

  void conclude() {
    const uint64_t done = tally_.actions_done.load(std::memory_order_relaxed);
    const uint64_t checked = tally_.checked.load(std::memory_order_relaxed);
    const std::string fault = trouble_.first();
    session_.set_self_check(fault.empty(), fault.empty()
                                               ? std::to_string(done) + " actions, " +
                                                     std::to_string(checked) + " objects compared, " +
                                                     std::to_string(judge_->looks()) + " looks at everything"
                                               : fault);
    if (options_.quiet || options_.report_path == "-") return;
    std::printf("torture: %llu actions, %llu objects compared with the oracle, %llu looks at everything\n",
                static_cast<unsigned long long>(done), static_cast<unsigned long long>(checked),
                static_cast<unsigned long long>(judge_->looks()));
  }

  nlohmann::json results() {
    auto value = [](const Tally::Count& count) { return count.load(std::memory_order_relaxed); };
    nlohmann::json actions = nlohmann::json::object();
    for (size_t i = 0; i < kActionCount; ++i)
      actions[to_string(static_cast<Action>(i))] = value(tally_.actions[i]);
    nlohmann::json made = nlohmann::json::object();
    for (size_t i = 0; i < kKindCount; ++i) made[to_string(static_cast<Kind>(i))] = value(tally_.made[i]);
    nlohmann::json digests = nlohmann::json::array();
    for (const auto& actor : actors_) digests.push_back(actor->trail().digest());
    const Ends::Counts ends = ends_.counts();
    return {
        {"drawn", drawn_},
        {"actions", actions},
        {"objects_made", made},
        {"objects_checked", value(tally_.checked)},
        {"looks_at_everything", judge_->looks()},
        {"action_digests", digests},
        {"finalizers",
         {{"due", ends.finalizers_due}, {"run", ends.finalizers_run}, {"revived", ends.revived}}},
        {"cleanups",
         {{"added", ends.cleanups_added}, {"run", ends.cleanups_run}, {"stopped", ends.cleanups_stopped}}},
        {"weak",
         {{"alive", value(tally_.weak_alive)},
          {"cleared", value(tally_.weak_cleared)},
          {"revived", value(tally_.weak_revived)}}},
        {"out_of_memory", value(tally_.out_of_memory)},
        {"threads_started", value(tally_.threads)},
        {"forks", value(tally_.forks)},
        {"most_retained_bytes", judge_->most_retained_bytes()},
        {"left_bytes", judge_->left_bytes()}};
  }

  Session& session_;
  const CommonOptions& options_;
  const Settings settings_;
  const std::string drawn_;
  const std::string command_;
  Tally tally_;
  Trouble trouble_;
  Ends ends_;
  Heap* heap_ = nullptr;
  std::optional<Commons<kPrecise>> commons_;
  std::optional<Scenes<kPrecise>> scenes_;
  std::optional<Rendezvous> rendezvous_;
  std::unique_ptr<Stage<kPrecise>> stage_;
  std::vector<std::unique_ptr<Actor<kPrecise>>> actors_;
  std::optional<Judge<kPrecise>> judge_;
  int64_t begin_ns_ = 0;
};

// --explore: one small run, all of whose choices follow from its seed.
void prepare_exploration(CommonOptions& options, Settings& settings) {
  if (!options.arguments.contains("explore")) return;
  if constexpr (!kExploreBuild)
    exit_bad_input("torture", "option --explore: this is not an explore build (cmake --preset explore)");
  for (const char* flag : {"report", "events", "trace", "duration", "roots", "finalize-at-exit"}) {
    if (options.arguments.contains(flag))
      exit_bad_input("torture", std::string("option --") + flag + " does not apply with --explore");
  }
  settings.explore = true;
  if (!options.arguments.contains("seed")) options.seed = settings.explore_seed;
  if (options.operations == 0) options.operations = kExploredOperations;
}

void refuse_what_does_not_apply(const CommonOptions& options) {
  if (options.collector != Collector::kKeel) {
    exit_bad_input("torture", std::string("option --collector: ") + to_string(options.collector) +
                                  " has no oracle here; keel only");
  }
  if (options.arguments.contains("warmup"))
    exit_bad_input("torture", "option --warmup does not apply to torture");
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  OptionParser parser(
      "torture",
      "Everything at once against an oracle outside the heap; what is not given is drawn from "
      "the seed: barrier, transitions, roots, threads, GOGC, goal, limits, debug list and the rest.");
  parser.size("--live", settings.live_bytes, "most that the graphs of all threads hold; 0: drawn");
  parser.size("--giant", settings.giant_bytes, "largest array that is made, up to 1GiB");
  parser.count(
      "--explore", settings.explore_seed, 0, INT64_MAX,
      "one run under the schedule of this seed (explore builds): small, precise roots, virtual time, "
      "100 --operations unless given, no report; no fork and no cancellation, which only the system can "
      "do; --seed is the same unless given; a fault ends it with each thread's place and status 9");
  std::string without;
  parser.text("--without", without, "actions that are left out, by their names in the report's results");
  CommonOptions options = parser.parse(argc, argv);
  if (!without.empty()) {
    const Result<bool> known = leave_out(without, settings);
    if (!known) exit_bad_input("torture", "option --without: " + known.error());
  }
  if (settings.giant_bytes > uint64_t{1} << 30 || settings.giant_bytes < 65536)
    exit_bad_input("torture",
                   "option --giant: " + format_size(settings.giant_bytes) + " is outside [64KiB, 1GiB]");
  refuse_what_does_not_apply(options);
  prepare_exploration(options, settings);
  const std::string command = command_line(argc, argv, options.seed);
  const std::string drawn = draw_configuration(options, settings);
  if (!options.quiet)
    std::fprintf(stderr, "torture: seed %llu:%s\n", static_cast<unsigned long long>(options.seed),
                 drawn.c_str());
  Session session("torture", options);
  if (options.heap.roots == Roots::kPrecise) return Run<true>(session, settings, drawn, command).run();
  return Run<false>(session, settings, drawn, command).run();
}
