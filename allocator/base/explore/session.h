// A session of the explorer: from its beginning to its end the scheduler owns every interleaving of the
// calling thread and of all threads that come out of it (allocator/base/thread.h).
//
// One thread runs at a time. At each point (point.h) the strategy may switch; the choice follows from the
// seed alone, so the same seed gives the same run: `trace_hash` says so. Clocks are virtual: they advance
// with the points, and jump to the next deadline when everybody waits. A deadlock, a livelock, a failed
// check, a signal or a failed require() ends the process with a report: what failed, each thread's place,
// what it waits for and its last points, and the line that repeats it (exit status kFoundStatus).
//
// What a session cannot see: weak memory orders (one thread runs at a time); races of plain fields (that is
// ThreadSanitizer's); threads that std::thread started and what waits in the system itself.
//
// Sources: random walk; PCT: Burckhardt et al., "A randomized scheduler with probabilistic guarantees of
// finding bugs", ASPLOS 2010; bounded search: Musuvathi and Qadeer, "Iterative context bounding for
// systematic testing of multithreaded programs", PLDI 2007; deviations from one deterministic run: Emmi,
// Qadeer and Rakamaric, "Delay-bounded scheduling", POPL 2011.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "allocator/base/build.h"

namespace keel::explore {

enum class StrategyKind : uint8_t {
  kRandom,   // switch at random points to a random thread
  kPct,      // run the thread of the highest priority; `depth` - 1 changes of priority at random points
  kWindows,  // priorities that fall at race points of a few kinds, about `depth` of them
  kBounded,  // a deterministic run but for the given deviations
};
const char* to_string(StrategyKind kind);

/// At decision number `decision`, thread `thread` runs instead of the one that would have.
struct Deviation {
  uint64_t decision = 0;
  uint32_t thread = 0;
};

/// Where the strategy may switch. The fewer places, the likelier a seed hits the few that matter; without
/// races of atomics, which the others look for, every bug shows at synchronisation alone.
enum class SwitchAt : uint8_t {
  kEveryPoint,
  kOrdered,  // not at relaxed atomic accesses
  kSync,     // at no atomic access: locks, conditions, futexes, race points, threads
};
const char* to_string(SwitchAt where);

/// Told what was found, before the report is printed; the process ends after it.
using FoundHook = void (*)(const char* what, uint64_t trace_hash);

struct SessionOptions {
  uint64_t seed = 1;
  StrategyKind strategy = StrategyKind::kRandom;
  uint32_t depth = 3;                          // of kPct and kWindows, at least 1
  uint64_t expected_points = 20'000;           // of kPct: of every kind; changes of priority fall within them
  std::vector<Deviation> deviations;           // of kBounded, ascending
  SwitchAt switch_at = SwitchAt::kEveryPoint;  // relaxed atomic accesses are points too
  uint64_t most_points = 20'000'000;           // a run with more is a livelock
  uint64_t most_idle_jumps = 20'000;           // so is one in which everybody waits for time so often
  int cores = 2;                               // of the machine that the session sees
  std::string replay;                          // the line that repeats this run, shown when it fails
  FoundHook on_found = nullptr;
};

/// What a seed alone stands for: half of them walk at random, a quarter are PCT, a quarter hold windows open,
/// both of depth 2 to 5; a third each switches at every point, at ordered ones, at synchronisation alone.
SessionOptions options_of_seed(uint64_t seed, uint64_t expected_points);

struct SessionResult {
  uint64_t points = 0;
  uint64_t steps = 0;     // points at which it might have switched
  uint64_t switches = 0;  // from one thread to another
  uint64_t decisions = 0;
  uint64_t trace_hash = 0;  // over all points and choices, in order
  int64_t virtual_ns = 0;
  uint32_t threads = 0;
};

/// Exit status of a process in which a session found something.
inline constexpr int kFoundStatus = 9;

/// A choice that was open in a kBounded run: who could have run at this decision instead.
struct Alternative {
  uint64_t decision = 0;
  std::vector<uint32_t> threads;
};

class Session {
 public:
  /// The calling thread is thread 0. Precondition: an explore build (kExploreBuild), and no session runs.
  explicit Session(const SessionOptions& options);
  /// Precondition: every thread of the session has been joined.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  /// Ends the session; once.
  SessionResult finish();
  /// Of a kBounded session, after finish(): decisions after the last deviation at which another thread could
  /// have run.
  [[nodiscard]] std::vector<Alternative> take_alternatives() { return std::move(alternatives_); }

 private:
  std::vector<Alternative> alternatives_;
};

/// The calling thread is in a session.
bool in_session();

/// Ends the process with the report if `condition` is false. Threads: of the session.
void require(bool condition, const char* format, ...) __attribute__((format(printf, 2, 3)));

/// fork(), in which the child is explored on: only the calling thread exists there, and a child in which it
/// waits for ever is found as a deadlock. Returns the child's exit status to the parent; `child` runs in the
/// child, which exits with its result.
int fork_in_session(int (*child)(void*), void* argument);

}  // namespace keel::explore
