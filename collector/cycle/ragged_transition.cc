// Phase changes by handshakes (`--transitions handshake`): no world stop. Each round is complete before the
// next begins, and what it has established is recorded under the registry lock (HeapCore::Phase), so that a
// thread that attaches takes that state. [rule 1]
//
// Start: (A) barrier on; (B) allocation black, holes published; (C) stacks scanned, tracing allowed. A and B
// stay apart, as the model shows (MergingTheFirstTwoRoundsLosesAnObject): while A goes on, a mutator whose
// barrier is on may have read the old value of a slot, then one whose barrier is still off writes to the
// slot, then the first one overwrites that, shaded by neither. B waits for every store that began before all
// barriers were on.
//
// End: the last round of marking found nothing, so nothing is grey anywhere; (D) barrier off; (E) each
// mutator gives back its cache and goes on in the next cycle's view of the bits. D and E stay apart: a
// barrier that is still on would shade an object that a mutator in the next view has just allocated, in bits
// that now say "allocated". Between the first and the last acknowledgement of E both views allocate side by
// side; only the later one sweeps (HeapMemory). Everything else sweeps after E.
#include <algorithm>

#include "allocator/base/clock.h"
#include "allocator/base/defects.h"
#include "allocator/base/race_points.h"
#include "collector/cycle/cycle.h"
#include "collector/cycle/heap_core.h"

namespace keel {

void Cycle::start_ragged(CycleRecord& record) {
  record.begin_ns = now_ns();
  KEEL_CHECK(core_.memory.unswept_spans() == 0, "cycle %u: unswept spans when marking begins", record.number);
  core_.world.handshake(
      [this](Mutator& m) {
        core_.raise_barrier(m);
        if (defect(Defect::kFirstRoundsMerged)) core_.begin_black(m);
      },
      [this] { core_.set_phase(HeapCore::Phase::kBarrier); });
  race_point(RacePoint::kAfterMarkingFlagsRaised);
  core_.world.handshake(
      [this](Mutator& m) {
        if (!defect(Defect::kFirstRoundsMerged)) core_.begin_black(m);
      },
      [&] {
        core_.set_phase(HeapCore::Phase::kBlack);
        begin_pacing(record);
      });
  record.mark_begin_ns = now_ns();
  tell_sweeping();
  core_.keeper.record_marking(true);
  core_.workers->begin();
  race_point(RacePoint::kBeforeStacks);
  core_.world.handshake([this](Mutator& m) { core_.scan_roots(m); },
                        [this] { core_.set_phase(HeapCore::Phase::kMark); });
  scan_root_table();
}

// A round that found nothing is the proof that nothing is grey, unless an object did not fit the pool. A stop
// is the fallback for what rounds cannot do: rescan spans whose grey objects did not fit, or end the
// rescanning of stacks that stay grey.
bool Cycle::terminate_ragged(CycleRecord& record, bool quiet_round) {
  race_point(RacePoint::kAfterRaggedFlush);
  if (quiet_round && !core_.pool.overflowed()) {
    // A weak pointer may have been locked since the round, and no span flagged without that: then there is
    // work again.
    if (!core_.specials.gate().try_close()) return false;
    record.mark_termination_ns = now_ns();
    return true;
  }
  Stop stop;
  stop_world(record, stop);
  ++record.fallback_stops;
  core_.world.for_each_stopped([this](Mutator& m) { core_.hand_in_grey(m, rescans_in_rounds()); });
  drain_stopped(record);
  core_.specials.gate().close_stopped();
  record.mark_termination_ns = now_ns();
  int64_t end = 0;
  core_.world.resume([](Mutator&) {},
                     [&] {
                       before_restart(record);
                       end = now_ns();
                     });
  report_stop(record, PauseKind::kMarkTermination, stop, end);
  return true;
}

void Cycle::end_ragged(CycleRecord& record) {
  const uint32_t next = core_.memory.cycle() + 1;
  core_.world.handshake(
      [this, next](Mutator& m) {
        core_.lower_barrier(m);
        if (defect(Defect::kLastRoundsMerged)) core_.retire_cache(m, next);
      },
      [this] { core_.set_phase(HeapCore::Phase::kEnding); });
  core_.workers->end();  // they are idle: the pool is quiet
  if (core_.config.debug.checkmark) {
    // A debugging aid's own stop, in no statistics.
    core_.world.stop();
    core_.world.for_each_stopped([this](Mutator& m) { core_.take_counts(m); });
    check_marks(record);
    core_.world.resume([](Mutator&) {}, [] {});
  }
  core_.world.handshake([this, next](Mutator& m) { core_.retire_cache(m, next); },
                        [&] {
                          record.heap_mark_end_bytes = core_.pacer.live_bytes();
                          check_nothing_is_grey();
                          measure(record);
                          core_.memory.finish_mark();
                          core_.set_phase(HeapCore::Phase::kOff);
                          core_.assists.close();
                          note_end(record);
                        });
  core_.assists.dismiss();
  tell_sweeping();
  core_.keeper.record_marking(false);
}

}  // namespace keel
