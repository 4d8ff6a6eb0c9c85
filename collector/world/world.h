// The world: which mutators exist, how the collector makes all of them do something (handshake), and how it
// stops them all at once (stop).
//
// Each mutator has a state word and a pending word.
//   state × who may change it
//     kRunning -> kBlocked   the mutator (park at a safepoint, enter a blocking region)
//     kBlocked -> kRunning   the mutator, by compare-and-swap; first it waits while kStop is pending
//     kBlocked -> kHeld      the collector, by compare-and-swap: it may now act for the thread
//     kHeld    -> kBlocked   the collector, when done
//   pending: kHandshake, kStop are set by the collector; kHandshake is cleared by whoever ran it, kStop by
//   resume().
//
// Orders. [world.state]: transitions are acq_rel or seq_cst; what a thread did before it blocked is visible
// to the collector that holds it, and the other way round when it runs again. [world.dekker]: the collector
// sets pending and then reads state; a mutator sets kBlocked and then reads pending: both seq_cst, so at
// least one sees the other, and either the collector claims the thread or the thread wakes the collector.
//
// Threads: handshake() and stop() by one collector thread at a time, which is not attached. They hold the
// registry lock (kRegistry), so threads attach and leave before or after, never during.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "allocator/base/atomic.h"
#include "allocator/base/function_ref.h"
#include "allocator/base/mutex.h"
#include "collector/api/mutator.h"

namespace keel {

class World {
 public:
  enum State : uint32_t { kRunning, kBlocked, kHeld };
  enum Pending : uint32_t { kHandshake = 1, kStop = 2 };
  using Action = FunctionRef<void(Mutator&)>;  // takes no memory: there may be none in a stop

  struct StopTimes {
    int64_t requested_ns = 0;
    int64_t stopped_ns = 0;       // the last mutator stood
    uint32_t slowest_thread = 0;  // who that was; 0 if nobody had to be waited for
  };

  World();
  ~World();

  /// Adds a mutator in state kRunning; `prepare` runs under the registry lock, so no round is half done.
  /// Throws std::bad_alloc before that, and has changed nothing then.
  void attach(std::unique_ptr<Mutator> mutator, Action prepare);
  /// Removes it; `leave` runs under the registry lock while the thread is held.
  void detach(Mutator& self, Action leave);

  /// Runs `action` once for every mutator: on its own thread at its next safepoint, or here if it is blocked.
  /// Returns when all have run. Does not stop anybody. `then` runs at the end, before a thread can attach or
  /// leave: what the round has established is recorded there.
  void handshake(const Action& action, FunctionRef<void()> then = {});

  /// Returns when every mutator is held. Until resume() no mutator runs and none attaches or leaves.
  StopTimes stop() KEEL_NO_THREAD_SAFETY_ANALYSIS;
  /// For each mutator, with the world stopped.
  void for_each_stopped(const Action& action) KEEL_NO_THREAD_SAFETY_ANALYSIS;
  /// For each mutator, as far as the list can be read while it may change: for a dying thread only.
  template <typename Visit>
  void for_each_without_lock(Visit&& visit) const KEEL_NO_THREAD_SAFETY_ANALYSIS {
    for (const auto& m : mutators_) visit(*m);
  }
  /// Leaves `action` pending as a handshake that each mutator runs before anything else, lets the world run,
  /// and returns when all have run it. `on_restart` is called right before the mutators are woken, all by one
  /// call: from then on the scheduler alone decides, and it may well give one of them the collector's own
  /// core. `meanwhile` runs when they have been woken, before anybody is waited for.
  void resume(const Action& action, FunctionRef<void()> on_restart,
              FunctionRef<void()> meanwhile = {}) KEEL_NO_THREAD_SAFETY_ANALYSIS;

  /// Mutator's side. `self` is the caller.
  /// Does what the collector has asked for; returns the ns it stood in stops.
  int64_t poll(Mutator& self);
  void enter_blocked(Mutator& self);
  /// Returns how long the thread had to wait for a stop or for a collector that held it, in ns.
  int64_t leave_blocked(Mutator& self);

  /// In a child after fork(), whose only thread `self` is: nobody will do what is pending for it, or let go
  /// of it.
  static void abandon(Mutator& self, bool in_region);

  /// For how long the collector has been waiting for a mutator that is away: that runs, or sleeps, and does
  /// not reach a safepoint. One that waits for a core itself is not away. 0: it waits for nobody. Exact to 10
  /// ms. relaxed [world.away]: a hint for those who wait for the collector meanwhile. Threads: any.
  [[nodiscard]] int64_t away_ns() const { return away_ns_.load(std::memory_order_relaxed); }

  /// relaxed [world.running]: a hint for idle workers.
  [[nodiscard]] int running() const { return running_.load(std::memory_order_relaxed); }
  [[nodiscard]] size_t mutators();
  /// For each mutator, under the registry lock. Threads: any, blocked or not attached.
  template <typename Visit>
  void for_each_mutator(Visit&& visit) {
    MutexLock lock(registry_mu_);
    for (const auto& m : mutators_) visit(*m);
  }
  /// A mutator's State, and what the collector has asked of it and not had yet (Pending; kStop stays until
  /// the world runs again). For tests and dying threads. Threads: any. seq_cst [world.dekker]: as the
  /// mutator's own look.
  static uint32_t state(const Mutator& mutator) { return mutator.state_.load(std::memory_order_seq_cst); }
  static uint32_t pending(const Mutator& mutator) { return mutator.pending_.load(std::memory_order_seq_cst); }

 private:
  void run_everywhere() KEEL_REQUIRES(registry_mu_);
  void run_action(Mutator& mutator);
  bool try_hold(Mutator& mutator);
  void unhold(Mutator& mutator);
  void wake_collector();
  struct Wait;
  void wait_for_progress(uint32_t seen, const Mutator& missing, Wait& wait);

  Mutex registry_mu_{LockRank::kRegistry};
  std::vector<std::unique_ptr<Mutator>> mutators_ KEEL_GUARDED_BY(registry_mu_);
  // Whom a stop still waits for; empty between stops. attach() makes the room.
  std::vector<Mutator*> missing_ KEEL_GUARDED_BY(registry_mu_);
  const Action* action_ = nullptr;  // of the handshake in flight; published by pending_ [world.pending]
  Atomic<uint32_t> progress_{0};    // futex word: bumped when a mutator acknowledges or blocks
  Atomic<uint32_t> stops_{0};       // futex word: stops ended; mutators sleep on it [world.state]
  Atomic<int> running_{0};
  Atomic<int64_t> away_ns_{0};
};

}  // namespace keel
