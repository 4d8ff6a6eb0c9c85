// What a cycle measured, what the pacer and the sweeper are told, and what is left to do when the world runs
// again; see cycle.h, step 8.
#include <algorithm>

#include "allocator/base/clock.h"
#include "allocator/base/defects.h"
#include "collector/cycle/cycle.h"
#include "collector/cycle/heap_core.h"
#include "collector/verify/verifier.h"
#include "collector/world/probes.h"

namespace keel {

// The instant that is LastGC.
void Cycle::note_end(CycleRecord& record) {
  record.end_ns = now_ns();
  record.end_unix_ns = to_unix_ns(record.end_ns);
  record.total_alloc_bytes = core_.allocated.bytes.load(std::memory_order_relaxed);
  last_gc_unix_ns_.store(record.end_unix_ns, std::memory_order_relaxed);
  KEEL_PROBE3(cycle_end, record.number, record.heap_live_bytes, record.next_goal_bytes);
}

// `--debug checkmark`: mark again and compare; on the way, what stack words alone keep.
void Cycle::check_marks(CycleRecord& record) {
  Verifier verifier(core_);
  verifier.check_marks();
  if (core_.config.roots != Roots::kConservative) return;
  record.retained_bytes = static_cast<int64_t>(verifier.stack_only_bytes());
  record.unmarked_stack_targets = static_cast<int64_t>(verifier.unmarked_stack_targets());
}

void Cycle::remember_pause(const CycleRecord& record) {
  MutexLock lock(recent_mu_);
  recent_[recent_count_++ % kRecent] = {record.world_stop_ns, record.end_unix_ns};
  recent_total_ns_ += record.world_stop_ns;
}

GcStats Cycle::recent_pauses() const {
  MutexLock lock(recent_mu_);
  GcStats stats;
  stats.num_gc = recent_count_;
  stats.pause_total_ns = recent_total_ns_;
  for (uint32_t i = recent_count_; i > 0 && recent_count_ - i < kRecent; --i) {
    const RecentPause& pause = recent_[(i - 1) % kRecent];
    stats.pause_ns.push_back(pause.pause_ns);
    stats.pause_end_unix_ns.push_back(pause.end_unix_ns);
  }
  if (recent_count_ != 0) stats.last_gc_unix_ns = stats.pause_end_unix_ns.front();
  return stats;
}

// Step 8: sweeping starts, the cycle is accounted for and told.
void Cycle::settle(CycleRecord& record) {
  core_.keeper.add_idle_marking(record.idle_cpu_ns);
  account_between_cycles(record);
  if (record.trigger == CycleTrigger::kForced) forced_.fetch_add(1, std::memory_order_relaxed);
  pause_total_ns_.fetch_add(static_cast<uint64_t>(record.world_stop_ns), std::memory_order_relaxed);
  record.pause_cpu_ns = record.world_stop_ns * core_.workers->cores();
  gc_cpu_ns_ += record.pause_cpu_ns + record.assist_ns + record.dedicated_cpu_ns + record.fractional_cpu_ns;
  total_cpu_ns_.fetch_add(record.pause_cpu_ns + record.assist_ns + record.dedicated_cpu_ns +
                              record.fractional_cpu_ns + record.idle_cpu_ns,
                          std::memory_order_relaxed);
  const double available = static_cast<double>(record.end_ns - born_ns_) * core_.workers->cores();
  record.gc_cpu_fraction = available > 0 ? static_cast<double>(gc_cpu_ns_) / available : 0;
  gc_cpu_fraction_.store(record.gc_cpu_fraction, std::memory_order_relaxed);

  // Sweep so that it is over before the next trigger; keep what the next cycle will need, return the rest.
  const uint64_t trigger = core_.pacer.trigger_bytes();
  const uint64_t live = core_.pacer.live_bytes();
  const uint64_t room = trigger > live ? trigger - live : 1;
  core_.pacer.set_sweep_ratio(static_cast<double>(core_.memory.unswept_spans()) / static_cast<double>(room) *
                              1.25);
  core_.sweeper->start(retained_bytes(record));
  core_.pool.release_idle();
  completed_.fetch_add(1, std::memory_order_relaxed);
  remember_pause(record);
  if (core_.config.listener != nullptr) {
    core_.config.listener->on_cycle(record);
    core_.workers->take_stretches(
        [&](const WorkerRecord& stretch) { core_.config.listener->on_worker(record.number, stretch); });
  }
  if (core_.config.debug.walk) {
    core_.sweeper->finish();
    core_.world.stop();
    core_.world.for_each_stopped([this](Mutator& m) { core_.take_counts(m); });
    const std::string fault = Verifier(core_).check_structure();
    KEEL_CHECK(fault.empty(), "walk after cycle %u: %s", record.number, fault.c_str());
    core_.world.resume([](Mutator&) {}, [] {});
  }
}

// Sweeping and scavenging go on between cycles: a cycle's record has what was done since the last one's.
void Cycle::account_between_cycles(CycleRecord& record) {
  Totals now;
  now.sweep_ns = core_.sweeper->sweep_ns();
  now.scavenge_ns = core_.sweeper->release_ns() + core_.keeper.scavenge_ns();
  now.background_released_bytes = core_.sweeper->released_bytes();
  now.eager_released_bytes = core_.keeper.eager_released_bytes();
  record.sweep_cpu_ns = now.sweep_ns - totals_.sweep_ns;
  record.scavenge_cpu_ns = now.scavenge_ns - totals_.scavenge_ns;
  record.background_released_bytes = now.background_released_bytes - totals_.background_released_bytes;
  record.eager_released_bytes = now.eager_released_bytes - totals_.eager_released_bytes;
  const PageHeapStats pages = core_.memory.pages().stats();
  record.heap_released_bytes = pages.released_bytes;
  record.heap_retained_bytes = pages.in_use_bytes + pages.dirty_bytes;
  record.heap_in_use_bytes = pages.in_use_bytes;
  totals_ = now;
}

// What may stay resident for the next cycle: spans in use at the end of this mark, which is this heap's peak
// with its fragmentation, scaled by how the goal moves, and --retain percent more (Go mgcscavenge.go,
// gcPercentGoal).
uint64_t Cycle::retained_bytes(const CycleRecord& record) const {
  if (record.next_goal_bytes >= kNoGoal || record.heap_goal_bytes >= kNoGoal) return retained_below_limit();
  const auto in_use = static_cast<double>(core_.memory.pages().stats().in_use_bytes);
  const double scaled = in_use * static_cast<double>(record.next_goal_bytes) /
                        static_cast<double>(std::max<uint64_t>(1, record.heap_goal_bytes));
  const double retained = scaled * (1 + core_.config.retain_percent / 100.0);
  const uint64_t rule = retained >= static_cast<double>(kNoGoal) ? kNoGoal : static_cast<uint64_t>(retained);
  return std::min(rule, retained_below_limit());
}

// Under a memory limit the background scavenger aims at 95 % of it, so that allocation seldom has to scavenge
// (Go mgcscavenge.go, reduceExtraPercent).
uint64_t Cycle::retained_below_limit() const {
  if (!core_.pacer.has_memory_limit()) return kNoGoal;
  const uint64_t heap = core_.pacer.memory_limit_bytes() / 100 * 95;
  return heap - std::min(heap, core_.memory.metadata_bytes());
}

void Cycle::measure(CycleRecord& record) {
  KEEL_PROBE1(mark_end, record.number);
  const MarkCounts own = marker_.take_counts();
  const WorkerTimes times = core_.workers->times();
  HeapCore::Gathered all;
  {
    MutexLock lock(core_.gathered_mu);
    all = core_.gathered;
  }
  all.marks.add(own);
  all.marks.add(core_.workers->counts());
  record.heap_live_bytes =
      all.marks.marked_bytes + (defect(Defect::kBlackBytesForgotten) ? 0 : all.black_bytes);
  record.marked_objects = all.marks.marked_objects + all.black_objects;
  record.black_bytes = all.black_bytes;
  record.scanned_heap_bytes = all.marks.scanned_bytes;
  record.scanned_stack_bytes = (all.stack_words - all.rescanned_words) * kWordBytes;
  record.scanned_root_bytes = root_bytes_;
  record.root_words = all.stack_words;
  record.rescanned_words = all.rescanned_words;
  record.root_hits = all.stack_hits;
  record.barrier_shaded = all.shaded;
  record.barrier_flushes = all.flushes;
  record.dedicated_cpu_ns = times.dedicated_ns;
  record.fractional_cpu_ns = times.fractional_ns;
  record.idle_cpu_ns = times.idle_ns;
  record.assist_ns = static_cast<int64_t>(core_.gathered_assist_ns.load(std::memory_order_relaxed));
  record.dedicated_workers = core_.workers->dedicated();
  record.fractional_workers = core_.workers->fractional();
  record.idle_workers = core_.workers->used_idle();
  record.usable_cores = static_cast<uint32_t>(core_.workers->cores());

  const int64_t marking = record.stopped_mark_ns + record.mark_termination_ns - record.mark_begin_ns;
  const double window = static_cast<double>(marking) * record.usable_cores;
  CycleMeasurements measured;
  measured.live_bytes = record.heap_live_bytes;
  measured.scanned_heap_bytes = record.scanned_heap_bytes;
  measured.stack_bytes = record.scanned_stack_bytes;
  measured.global_bytes = root_bytes_;
  if (window > 0) {
    // On the clock, as Go's: on a machine with other load a share of the cores is worth less to the
    // collector.
    measured.utilization = static_cast<double>(times.share_wall_ns + record.assist_ns) / window;
    measured.idle_utilization = static_cast<double>(times.idle_wall_ns) / window;
  }
  measured.allocated_bytes = core_.allocated.bytes.load(std::memory_order_relaxed) - last_total_alloc_bytes_;
  measured.elapsed_seconds = static_cast<double>(record.mark_termination_ns - last_measured_ns_) / 1e9;
  measured.mark_cpu_seconds = static_cast<double>(record.dedicated_cpu_ns + record.fractional_cpu_ns +
                                                  record.idle_cpu_ns + record.assist_ns) /
                              1e9;
  last_total_alloc_bytes_ += measured.allocated_bytes;
  last_measured_ns_ = record.mark_termination_ns;
  last_stack_bytes_ = record.scanned_stack_bytes;
  record.utilization = measured.utilization;
  measured.new_bytes = core_.next_cycle_bytes.load(std::memory_order_relaxed);
  core_.pacer.end_cycle(measured);
  core_.keeper.update_goal();
  record.next_goal_bytes = core_.pacer.goal_bytes();
}

}  // namespace keel
