// The list of scenarios: what each is about, and its variants.
#include <cstring>

#include "collector/explore/scenario_parts.h"

namespace keel::explore {
namespace {

constexpr Variant kStw = {"stw", "hybrid"};
constexpr Variant kHandshake = {"handshake", "hybrid"};

// expected_points: measured, `explore --list` shows them beside those of a run without preemption.
constexpr Scenario kScenarios[] = {
    {"marking-stw", "stores while marking begins and ends", kStw, run_marking, 8'000},
    {"marking-handshake", "the same by rounds of handshakes", kHandshake, run_marking, 8'000},
    {"marking-conditional-stw",
     "the same, hybrid-conditional",
     {"stw", "hybrid-conditional"},
     run_marking,
     8'000},
    {"marking-conditional-handshake",
     "the same, hybrid-conditional",
     {"handshake", "hybrid-conditional"},
     run_marking,
     8'000},
    {"marking-dijkstra-stw",
     "the same, dijkstra: stacks are rescanned in the stop",
     {"stw", "dijkstra"},
     run_marking,
     8'000},
    {"marking-dijkstra-handshake",
     "the same, dijkstra: in every round",
     {"handshake", "dijkstra"},
     run_marking,
     8'000},
    {"marking-yuasa-stw",
     "the same, yuasa: all stacks in the first stop",
     {"stw", "yuasa"},
     run_marking,
     8'000},
    {"marking-none-stw",
     "the same, no barrier: marking inside one stop",
     {"stw", "none"},
     run_marking,
     8'000},
    {"tiny-stw", "one mutator, five objects, one cycle: small enough to search", kStw, run_tiny, 900},
    {"tiny-handshake", "one mutator, five objects, one cycle: small enough to search", kHandshake, run_tiny,
     900},
    {"attach-stw", "threads come and go in each phase", kStw, run_attach, 8'000},
    {"attach-handshake", "threads come and go in each phase", kHandshake, run_attach, 8'000},
    {"blocking-stw", "blocking regions, nested, in each phase", kStw, run_blocking, 6'000},
    {"blocking-handshake", "blocking regions, nested, in each phase", kHandshake, run_blocking, 6'000},
    {"fork-stw", "a mutator forks in each phase", kStw, run_fork, 5'000},
    {"fork-handshake", "a mutator forks in each phase", kHandshake, run_fork, 5'000},
    {"assist-stw", "triggers, assists, hand-over of grey work", kStw, run_assist, 10'000},
    {"assist-handshake", "triggers, assists, hand-over of grey work", kHandshake, run_assist, 10'000},
    {"overflow-stw", "a grey pool of one to three chunks", kStw, run_overflow, 8'000},
    {"overflow-handshake", "a grey pool of one to three chunks", kHandshake, run_overflow, 8'000},
    {"overflow-small-stw", "the same, one collection of a heap that stands still", kStw, run_small_overflow,
     6'000},
    {"overflow-small-handshake", "the same, one collection of a heap that stands still", kHandshake,
     run_small_overflow, 6'000},
    {"overflow-late-stw",
     "a grey pool of two to four chunks, a tree in many spans: work left for the last stop", kStw,
     run_late_overflow, 6'000},
    {"overflow-late-handshake",
     "a grey pool of two to four chunks, a tree in many spans: work left for the last stop", kHandshake,
     run_late_overflow, 6'000},
    {"finalizers-stw", "finalizers that resurrect, and cleanups", kStw, run_finalizers, 8'000},
    {"finalizers-handshake", "finalizers that resurrect, and cleanups", kHandshake, run_finalizers, 8'000},
    {"weak-stw", "weak pointers locked while they are cleared", kStw, run_weak, 8'000},
    {"weak-handshake", "weak pointers locked while they are cleared", kHandshake, run_weak, 8'000},
    {"sweep-stw", "sweeping against refills and the next cycle", kStw, run_sweep, 10'000},
    {"sweep-handshake", "sweeping against refills and the next cycle", kHandshake, run_sweep, 10'000},
    {"limit-stw", "a memory limit that moves, and pages given back", kStw, run_limit, 10'000},
    {"limit-handshake", "a memory limit that moves, and pages given back", kHandshake, run_limit, 10'000},
};

}  // namespace

std::span<const Scenario> scenarios() { return kScenarios; }

const Scenario* find_scenario(const char* name) {
  for (const Scenario& scenario : kScenarios) {
    if (std::strcmp(scenario.name, name) == 0) return &scenario;
  }
  return nullptr;
}

}  // namespace keel::explore
