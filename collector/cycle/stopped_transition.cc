// Phase changes by world stops (`--transitions stw`), and marking inside one stop; see cycle.h for the steps.
#include <algorithm>

#include "allocator/base/clock.h"
#include "allocator/base/defects.h"
#include "allocator/base/race_points.h"
#include "collector/cycle/cycle.h"
#include "collector/cycle/heap_core.h"

namespace keel {

// Steps 2 and 3.
void Cycle::start_stopped(CycleRecord& record) {
  Stop stop;
  stop_world(record, stop);
  record.begin_ns = stop.begin_ns;
  record.sweep_termination_stop_ns = stop.time_to_stop_ns;
  KEEL_CHECK(core_.memory.unswept_spans() == 0, "cycle %u: unswept spans when marking begins", record.number);
  core_.world.for_each_stopped([this](Mutator& m) {
    core_.raise_barrier(m);
    core_.begin_black(m);
  });
  const bool snapshot = core_.barrier.traits.needs_stack_snapshot;
  if (snapshot) core_.world.for_each_stopped([this](Mutator& m) { core_.scan_roots(m); });
  core_.set_phase(HeapCore::Phase::kMark);
  begin_pacing(record);
  race_point(RacePoint::kAfterMarkingFlagsRaised);
  core_.world.resume(
      [this, snapshot](Mutator& m) {
        if (!snapshot) core_.scan_roots(m);
      },
      [&] {
        before_restart(record);
        record.mark_begin_ns = now_ns();
        core_.workers->begin();
      });
  record.first_stop_ns = record.mark_begin_ns - record.begin_ns;
  report_stop(record, PauseKind::kSweepTermination, stop, record.mark_begin_ns);
  scan_root_table();
}

// Step 6. False if somebody still held work: marking goes on. Grey stacks are rescanned here, and what they
// and flagged spans lead to is marked before the world runs again. [rule 5] The pool is looked at first and
// the flags after that: who is busy can still put one up, who is not cannot.
bool Cycle::terminate_stopped(CycleRecord& record) {
  race_point(RacePoint::kAfterRaggedFlush);
  Stop stop;
  stop_world(record, stop);
  const bool rescan = core_.barrier.traits.needs_final_stack_rescan;
  core_.world.for_each_stopped([this, rescan](Mutator& m) { core_.hand_in_grey(m, rescan); });
  // The defect is what this was once: the flags first, then the pool.
  if (defect(Defect::kFlagsBeforeQuiet)) {
    if (core_.pool.overflowed()) rescan_overflowed();
  } else if (rescan || core_.pool.overflowed()) {
    drain_stopped(record);
  }
  race_point(RacePoint::kAfterOverflowInStop);
  const bool found = !core_.pool.take_found().nothing();
  const bool flagged = core_.pool.overflowed() && !defect(Defect::kFlagsBeforeQuiet);
  if ((found || flagged) && !defect(Defect::kEndsAfterOneRound)) {
    int64_t end = 0;
    core_.world.resume([](Mutator&) {},
                       [&] {
                         before_restart(record);
                         end = now_ns();
                       });
    report_stop(record, PauseKind::kMarkTermination, stop, end);
    return false;
  }
  record.mark_termination_ns = stop.begin_ns;
  record.mark_termination_stop_ns = stop.time_to_stop_ns;
  return true;
}

// The rest of step 6, world stopped; then 7.
void Cycle::end_stopped(CycleRecord& record) {
  core_.specials.gate().close_stopped();
  core_.world.for_each_stopped([this](Mutator& m) { core_.lower_barrier(m); });
  core_.workers->end();  // they are idle: the pool is quiet
  check_nothing_is_grey();
  record.heap_mark_end_bytes = core_.pacer.live_bytes();
  if (core_.config.debug.checkmark) check_marks(record);
  measure(record);
  core_.memory.finish_mark();
  core_.set_phase(HeapCore::Phase::kOff);
  core_.assists.close();
  core_.world.resume([this](Mutator& m) { core_.retire_cache(m, core_.memory.cycle()); },
                     [&] {
                       before_restart(record);
                       note_end(record);
                     },
                     [this] { core_.assists.dismiss(); });
  record.last_stop_ns = record.end_ns - record.mark_termination_ns;
  report_stop(record, PauseKind::kMarkTermination,
              {record.mark_termination_ns, record.mark_termination_stop_ns}, record.end_ns);
}

// No barrier: the whole mark inside one stop, reported as mark termination.
void Cycle::mark_in_one_stop(CycleRecord& record) {
  Stop stop;
  stop_world(record, stop);
  record.begin_ns = record.mark_begin_ns = record.mark_termination_ns = stop.begin_ns;
  record.mark_termination_stop_ns = stop.time_to_stop_ns;
  const int64_t mark_begin = now_ns();
  core_.world.for_each_stopped([this](Mutator& m) {
    core_.raise_barrier(m);
    core_.begin_black(m);
    core_.scan_roots(m);
  });
  core_.set_phase(HeapCore::Phase::kMark);
  begin_pacing(record);
  core_.workers->begin();
  scan_root_table();
  drain_stopped(record);
  record.stopped_mark_ns = now_ns() - mark_begin;
  end_stopped(record);
}

}  // namespace keel
