// explore: runs scenarios of the real collector under schedules of its own choosing; docs/explore.md.
#include <sched.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "allocator/base/clock.h"
#include "allocator/base/defects.h"
#include "collector/explore/campaign.h"
#include "collector/explore/defect_hunt.h"

namespace {

using namespace keel::explore;

struct Options {
  bool list = false;
  bool help = false;
  std::string scenario = "all";
  std::string strategy = "mixed";
  std::string points = "mixed";
  std::string deviations;
  uint64_t seed = 1;
  uint32_t depth = 3;
  uint32_t bound = 1;
  uint64_t schedules = 0;
  uint64_t switches = 0;
  double minutes = 0;
  bool keep_going = false;
  double defect_seconds = 0;
};

void list_scenarios() {
  for (const Scenario& s : scenarios()) {
    std::printf("%-32s %s\n", s.name, s.what);
  }
}

std::vector<const Scenario*> chosen(const std::string& name) {
  std::vector<const Scenario*> result;
  for (const Scenario& s : scenarios()) {
    const bool family = std::string(s.name).rfind(name + "-", 0) == 0;
    if (name == "all" || name == s.name || family) result.push_back(&s);
  }
  return result;
}

// One thread of a session runs at a time: on one core handing over is cheapest.
void stay_on_one_core() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int core = sched_getcpu();
  if (core < 0) return;
  CPU_SET(core, &set);
  sched_setaffinity(0, sizeof set, &set);
}

int fail(const std::string& text) {
  std::fprintf(stderr, "explore: %s\n", text.c_str());
  return 2;
}

Campaign campaign_of(const Options& o, const Scenario& scenario, size_t count) {
  Campaign campaign;
  campaign.scenario = &scenario;
  if (o.strategy == "random") campaign.strategy = StrategyKind::kRandom;
  if (o.strategy == "pct") campaign.strategy = StrategyKind::kPct;
  if (o.strategy == "windows") campaign.strategy = StrategyKind::kWindows;
  if (o.strategy == "exhaustive") campaign.strategy = StrategyKind::kBounded;
  campaign.seed = o.seed;
  campaign.depth = o.depth;
  campaign.most_deviations = o.bound;
  if (o.points == "all") campaign.switch_at = SwitchAt::kEveryPoint;
  if (o.points == "ordered") campaign.switch_at = SwitchAt::kOrdered;
  if (o.points == "sync") campaign.switch_at = SwitchAt::kSync;
  campaign.most_schedules = o.schedules;
  campaign.most_switches = o.switches == 0 ? 0 : std::max<uint64_t>(1, o.switches / count);
  campaign.most_ns = static_cast<int64_t>(o.minutes * 60e9 / static_cast<double>(count));
  const bool bounded = campaign.most_schedules != 0 || campaign.most_switches != 0 || campaign.most_ns != 0;
  if (!bounded && campaign.strategy != StrategyKind::kBounded) campaign.most_schedules = 1000;
  campaign.progress = isatty(2) != 0;
  return campaign;
}

std::string said_of_search(const Tally& t, uint32_t bound) {
  const std::string done = t.completed_deviations < 0 ? "" : std::to_string(t.completed_deviations);
  if (done == std::to_string(bound))
    return "- complete: " + std::to_string(t.schedules) + " schedules, all with up to " + done +
           " deviations";
  return done.empty() ? "- not complete" : "- not complete; all with up to " + done + " deviations were made";
}

void print_row(const Campaign& campaign, const Tally& t) {
  std::string found = "-";
  if (t.found) found = t.what + (t.replayed ? " (replayed)" : "");
  if (!t.found && campaign.strategy == StrategyKind::kBounded)
    found = said_of_search(t, campaign.most_deviations);
  std::printf("%-30s %10llu %13llu %14llu %9llu %8.1f  %s\n", campaign.scenario->name,
              static_cast<unsigned long long>(t.schedules), static_cast<unsigned long long>(t.switches),
              static_cast<unsigned long long>(t.points), static_cast<unsigned long long>(t.longest_points),
              static_cast<double>(t.wall_ns) / 1e9, found.c_str());
  std::fflush(stdout);
}

int run(const Options& o) {
  const std::vector<const Scenario*> list = chosen(o.scenario);
  if (list.empty())
    return fail("option --scenario: '" + o.scenario + "' is not one of those of --list, nor all");
  const auto deviations = parse_deviations(o.deviations);
  if (!deviations)
    return fail("option --deviations: '" + o.deviations + "' is not decision:thread,... ascending");
  if (!o.deviations.empty() && (o.strategy != "exhaustive" || list.size() != 1))
    return fail("option --deviations: needs --strategy exhaustive and one scenario");
  stay_on_one_core();
  if (o.defect_seconds > 0) {
    hunt_defects(list, static_cast<int64_t>(o.defect_seconds * 1e9), o.seed);
    return 0;
  }
  std::printf("%-30s %10s %13s %14s %9s %8s  %s\n", "scenario", "schedules", "switches", "points", "longest",
              "seconds", "found");
  Tally sum;
  int found = 0;
  for (const Scenario* scenario : list) {
    Campaign campaign = campaign_of(o, *scenario, list.size());
    campaign.deviations = *deviations;
    const Tally tally = run_campaign(campaign);
    print_row(campaign, tally);
    sum.schedules += tally.schedules;
    sum.switches += tally.switches;
    sum.points += tally.points;
    sum.longest_points = std::max(sum.longest_points, tally.longest_points);
    sum.wall_ns += tally.wall_ns;
    if (!tally.found) {
      if (list.size() == 1 && tally.schedules == 1)
        std::printf("trace %016llx\n", static_cast<unsigned long long>(tally.trace_hash));
      continue;
    }
    ++found;
    std::printf("repeat it with: %s\n", tally.replay.c_str());
    if (!o.keep_going) break;
  }
  std::printf(
      "%-30s %10llu %13llu %14llu %9llu %8.1f  %d\n", "all", static_cast<unsigned long long>(sum.schedules),
      static_cast<unsigned long long>(sum.switches), static_cast<unsigned long long>(sum.points),
      static_cast<unsigned long long>(sum.longest_points), static_cast<double>(sum.wall_ns) / 1e9, found);
  return found == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app{
      "Runs scenarios of the collector under schedules that a seed chooses: the real code, one thread at a "
      "time.\n"
      "Without a bound: 1000 schedules of each scenario; exhaustive goes on until it is complete. Exit "
      "status: 0 nothing found, 1 found, 2 bad "
      "input."};
  app.add_flag("--list", o.list, "Lists the scenarios");
  app.add_option("--scenario", o.scenario, "A name of --list, the beginning of some (marking), or all")
      ->capture_default_str();
  app.add_option(
         "--strategy", o.strategy,
         "mixed: odd seeds random, even ones pct and windows in turn, of depth 2 to 5; random: a random "
         "walk;\n"
         "pct: priorities with depth - 1 changes; windows: threads held for long at race points of about\n"
         "depth kinds; exhaustive: every deviation from one deterministic run, --bound of them")
      ->check(CLI::IsMember({"mixed", "random", "pct", "windows", "exhaustive"}))
      ->capture_default_str();
  app.add_option("--seed", o.seed, "Of the first schedule; the next ones follow")->capture_default_str();
  app.add_option("--depth", o.depth, "Of pct and windows")->check(CLI::Range(1, 100))->capture_default_str();
  app.add_option("--bound", o.bound, "Of exhaustive: the most deviations in one run")
      ->check(CLI::Range(0, 10))
      ->capture_default_str();
  app.add_option(
         "--points", o.points,
         "Where it may switch: all; ordered: not at relaxed atomic accesses; sync: at no atomic access;\n"
         "mixed: by the seed (exhaustive: sync)")
      ->check(CLI::IsMember({"mixed", "all", "ordered", "sync"}))
      ->capture_default_str();
  app.add_option("--deviations", o.deviations, "Of exhaustive: this one run, decision:thread,...");
  app.add_option("--schedules", o.schedules, "Most schedules of each scenario; 0: no bound")
      ->capture_default_str();
  app.add_option("--switches", o.switches, "Most switches, all scenarios together; 0: no bound")
      ->capture_default_str();
  app.add_option("--minutes", o.minutes, "Most minutes, all scenarios together; 0: no bound")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  app.add_flag("--keep-going", o.keep_going, "Goes on with the next scenario when something was found");
  app.add_option(
         "--defects", o.defect_seconds,
         "Instead: puts each seeded defect back (docs/defects.md) and says which schedule found it, within "
         "so many\nseconds each; exit status 0")
      ->check(CLI::Range(0.1, 1e5));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (o.list) {
    list_scenarios();
    return 0;
  }
  return run(o);
}
