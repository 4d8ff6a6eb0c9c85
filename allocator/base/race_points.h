// Named windows that a test can hold open, to make a race happen every time instead of once a month.
//
// Code says `race_point(RacePoint::kAfterOldRead)`. In release builds that is nothing (but is compiled);
// elsewhere it calls the hook a test has installed, or yields at random under `--debug stress`. Threads: any.
#pragma once

#include <cstdint>

#include "allocator/base/explore/point.h"

namespace keel {

enum class RacePoint : uint8_t {
  kBarrierBetweenTestAndStore,  // a mutator has tested the marking flag and not yet stored
  kAfterMarkingFlagsRaised,     // collector: all flags are up, no stack scanned yet
  kAfterRaggedFlush,            // collector: all buffers flushed, world not yet stopped
  kBeforeStacks,                // handshakes: all allocate black, nobody has been asked for its stack
  kBeforeStackScan,             // a stack is about to be scanned
  kBeforeRootScan,              // cycle thread: stacks are scanned, the Root table is not
  kHoleTaken,                   // a mutator has taken a hole, not yet allocated from it
  kSpanPublished,               // a span is in the page table, nothing allocated in it
  kMutatorAttaching,            // a thread is in the registry, not yet running
  kBackgroundSweep,             // the sweeper's thread is about to take a span
  kLeavingBlocking,             // a thread wants to leave a blocking region
  kGreyChunkTaken,              // a marker has taken a chunk with work out of the pool
  kOverflowRescanBegins,        // cycle thread, world stopped: about to rescan flagged spans
  kChunkPopped,                 // a thread has read what is below the top chunk, not yet taken the top
  kBecameIdle,                  // a participant is not busy any more and has not looked who waits for that
  kAboutToWaitForWork,          // a worker has seen no work and is about to sleep
  kAboutToWaitForQuiet,         // the cycle thread has seen somebody busy and is about to sleep
  kWorkerAboutToRest,           // a worker has seen no reason to go all out and is about to sleep
  kDebtorJoined,                // a mutator waits for credit and has not looked whether there is some
  kDebtorAboutToSleep,          // it has looked, and is about to sleep
  kBeforeQuietInStop,           // cycle thread, world stopped: about to wait until nothing is grey
  kWorkerBecomesBusy,           // a mark worker has seen work in the pool, and does not count as busy yet
  kWorkerIsBusy,                // it does, if there still was some, and has taken nothing yet
  kMarkingIsOver,               // cycle thread: nothing is grey, the marks are about to be finished
  kAfterOverflowInStop,         // cycle thread, world stopped: has seen to flagged spans
  kWeakGateSeen,                // a weak pointer is being locked: the gate has been read, nothing shaded yet
  kBeforeWeakGateCloses,        // collector: a quiet round is over, the gate not yet closed
  kBeforeSpecialsSwept,         // a sweeper is about to decide the specials of a span
  kClearingLarge,               // the pages of a large object are about to be cleared, no span leads to them
  kReleasingPages,              // free pages are about to go to the system, the page heap not locked
  kCount,
};

#if defined(NDEBUG) && !defined(KEEL_RACE_POINTS)
inline constexpr bool kRacePointsEnabled = false;
#else
inline constexpr bool kRacePointsEnabled = true;
#endif

using RaceHook = void (*)(RacePoint point, void* context);

/// Installs a hook for tests; null removes it and returns when no thread is inside. Threads: any; the hook
/// runs on whatever thread reaches a point.
void set_race_hook_for_testing(RaceHook hook, void* context);

/// Yields at one race point in `one_in` (0: never); `--debug stress` sets it.
void set_race_yields(uint32_t one_in);

void race_point_slow(RacePoint point);

inline void race_point(RacePoint point) {
  if constexpr (kRacePointsEnabled) {
    explore::point(explore::Point::kRace, explore::race_object(static_cast<uint32_t>(point)));
    race_point_slow(point);
  }
}

}  // namespace keel
