// The cycle thread; see cycle.h for the steps.
#include "collector/cycle/cycle.h"

#include <pthread.h>

#include <algorithm>

#include "allocator/base/clock.h"
#include "allocator/base/race_points.h"
#include "collector/cycle/heap_core.h"
#include "collector/verify/verifier.h"

namespace keel {
namespace {
// The cycle thread looks at the pace of marking this often.
constexpr int64_t kReviseNs = 1'000'000;
}  // namespace

Cycle::Cycle(HeapCore& core)
    : core_(core), marker_(core.memory, core.pool), born_ns_(now_ns()), thread_([this] { run(); }) {}

Cycle::~Cycle() { stop(); }

void Cycle::stop() {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Cycle::request(CycleTrigger trigger) {
  if (request_pending_.exchange(true, std::memory_order_relaxed)) return;
  MutexLock lock(mu_);
  if (!requested_) {
    requested_ = true;
    trigger_ = trigger;
  }
  wake_.notify_one();
}

void Cycle::collect() {
  MutexLock lock(mu_);
  const uint64_t wanted = begun_ + 1;
  requested_ = true;
  trigger_ = CycleTrigger::kForced;
  ++waiters_;
  wake_.notify_one();
  while (swept_ < wanted) done_.wait(mu_);
  --waiters_;
}

void Cycle::run_between(const std::function<void()>& work) {
  MutexLock lock(mu_);
  while (task_ != nullptr) done_.wait(mu_);
  task_ = &work;
  wake_.notify_one();
  while (task_ == &work) done_.wait(mu_);
}

void Cycle::run_stopped(const std::function<void()>& work) {
  run_between([&] {
    core_.sweeper->finish();
    core_.world.stop();
    core_.world.for_each_stopped([this](Mutator& m) { core_.take_counts(m); });
    work();
    core_.world.resume([](Mutator&) {}, [] {});
  });
}

void Cycle::run() {
  pthread_setname_np(pthread_self(), "keel-cycle");
  int64_t last_end_ns = now_ns();
  for (;;) {
    CycleTrigger trigger = CycleTrigger::kHeap;
    const std::function<void()>* task = nullptr;
    {
      MutexLock lock(mu_);
      while (!requested_ && !stopping_ && task_ == nullptr) {
        if (core_.config.periodic_ns <= 0) {
          wake_.wait(mu_);
          continue;
        }
        const int64_t left = last_end_ns + core_.config.periodic_ns - now_ns();
        if (left > 0) {
          wake_.wait_for(mu_, left);
        } else {
          requested_ = true;
          trigger_ = CycleTrigger::kPeriodic;
        }
      }
      if (stopping_) return;
      task = task_;
      if (task == nullptr) {
        trigger = trigger_;
        requested_ = false;
        ++begun_;
      }
    }
    if (task != nullptr) {
      (*task)();
      MutexLock lock(mu_);
      task_ = nullptr;
      done_.notify_all();
      continue;
    }
    run_cycle(trigger);
    last_end_ns = now_ns();
    bool sweep_now = false;
    {
      MutexLock lock(mu_);
      sweep_now = waiters_ > 0;
    }
    if (sweep_now) core_.sweeper->finish();
    MutexLock lock(mu_);
    if (sweep_now) swept_ = begun_;
    request_pending_.store(false, std::memory_order_relaxed);
    done_.notify_all();
  }
}

void Cycle::run_cycle(CycleTrigger trigger) {
  CycleRecord record;
  record.number = core_.memory.cycle() + 1;
  record.trigger = trigger;
  start_mark(record);
  do {
    mark_until_quiet(record);
  } while (!try_terminate(record));
  finish(record);
}

// Steps 1 to 3.
void Cycle::start_mark(CycleRecord& record) {
  core_.sweeper->finish();
  record.heap_trigger_bytes = core_.pacer.trigger_bytes();
  record.heap_goal_bytes = core_.pacer.goal_bytes();
  const World::StopTimes stop = core_.world.stop();
  record.begin_ns = stop.requested_ns;
  record.sweep_termination_stop_ns = stop.stopped_ns - stop.requested_ns;
  record.slowest_thread = stop.slowest_thread;
  KEEL_CHECK(core_.memory.unswept_spans() == 0, "cycle %u: %llu spans unswept when marking begins",
             record.number, static_cast<unsigned long long>(core_.memory.unswept_spans()));
  record.heap_begin_bytes = core_.pacer.live_bytes();
  {
    MutexLock lock(core_.gathered_mu);
    core_.gathered = {};
    core_.hits.clear();
  }
  core_.gathered_assist_ns.store(0, std::memory_order_relaxed);
  core_.assist_scan_bytes.store(0, std::memory_order_relaxed);
  core_.pool.take_found_work();
  marker_.begin_cycle();
  core_.world.for_each_stopped([this](Mutator& m) { core_.begin_mark(m); });
  core_.marking.store(true, std::memory_order_relaxed);
  core_.pacer.begin_cycle();
  race_point(RacePoint::kAfterMarkingFlagsRaised);
  core_.world.resume([this](Mutator& m) { core_.scan_roots(m); },
                     [&] {
                       record.mark_begin_ns = now_ns();
                       core_.workers->begin();
                     });
  report_stop(record.number, PauseKind::kSweepTermination, record.begin_ns, record.mark_begin_ns,
              record.sweep_termination_stop_ns);
  core_.pool.become_busy();
  root_bytes_ = core_.roots.scan([this](uintptr_t pointer) { marker_.visit(pointer); });
  marker_.flush();
  core_.pool.become_idle();
}

// Steps 4 and 5.
void Cycle::mark_until_quiet(CycleRecord& record) {
  for (;;) {
    while (!core_.pool.wait_until_quiet(kReviseNs)) {
      core_.pacer.revise(core_.workers->scanned_bytes() +
                         core_.assist_scan_bytes.load(std::memory_order_relaxed));
    }
    core_.pool.take_found_work();
    ++record.termination_rounds;
    core_.world.handshake([this](Mutator& m) { core_.hand_in_grey(m); });
    if (core_.pool.take_found_work() == 0 && core_.pool.quiet()) return;
  }
}

// Step 6. False if somebody still held work: marking goes on.
bool Cycle::try_terminate(CycleRecord& record) {
  race_point(RacePoint::kAfterRaggedFlush);
  const World::StopTimes stop = core_.world.stop();
  core_.world.for_each_stopped([this](Mutator& m) { core_.hand_in_grey(m); });
  if (core_.pool.take_overflow()) {
    ++record.grey_overflows;
    rescan_overflowed();
  }
  if (core_.pool.take_found_work() != 0 || !core_.pool.quiet()) {
    int64_t end = 0;
    core_.world.resume([](Mutator&) {}, [&] { end = now_ns(); });
    report_stop(record.number, PauseKind::kMarkTermination, stop.requested_ns, end,
                stop.stopped_ns - stop.requested_ns);
    return false;
  }
  record.mark_termination_ns = stop.requested_ns;
  record.mark_termination_stop_ns = stop.stopped_ns - stop.requested_ns;
  if (record.mark_termination_stop_ns > record.sweep_termination_stop_ns)
    record.slowest_thread = stop.slowest_thread;
  return true;
}

// The pool was full at some time: scan the marked objects of every flagged span, with the world stopped,
// until no push fails any more. The cycle thread's marker keeps a chunk, so each round makes progress.
void Cycle::rescan_overflowed() {
  core_.pool.become_busy();
  do {
    core_.memory.for_each_span([this](Span& span) {
      if (span.overflowed.exchange(0, std::memory_order_relaxed) == 0) return;
      marker_.rescan_span(span);
      marker_.drain(~uint64_t{0});
    });
  } while (core_.pool.take_overflow());
  core_.pool.become_idle();
  core_.pool.take_found_work();
}

// The rest of step 6, world stopped; then 7 and 8.
void Cycle::finish(CycleRecord& record) {
  core_.world.for_each_stopped([this](Mutator& m) { core_.end_mark(m); });
  core_.marking.store(false, std::memory_order_relaxed);
  core_.workers->end();  // they are idle: the pool is quiet
  record.heap_mark_end_bytes = core_.pacer.live_bytes();
  if (core_.config.debug.checkmark) Verifier(core_).check_marks();
  measure(record);
  core_.memory.finish_mark();
  record.total_alloc_bytes = core_.allocated.bytes.load(std::memory_order_relaxed);
  if (record.trigger == CycleTrigger::kForced) forced_.fetch_add(1, std::memory_order_relaxed);
  core_.world.resume([this](Mutator& m) { core_.retire_cache(m); },
                     [&] {
                       record.end_ns = now_ns();
                       record.end_unix_ns = to_unix_ns(record.end_ns);
                       last_gc_unix_ns_.store(record.end_unix_ns, std::memory_order_relaxed);
                     });
  report_stop(record.number, PauseKind::kMarkTermination, record.mark_termination_ns, record.end_ns,
              record.mark_termination_stop_ns);

  core_.workers->wait_until_left();
  const auto stops = (record.mark_begin_ns - record.begin_ns) + (record.end_ns - record.mark_termination_ns);
  pause_total_ns_.fetch_add(static_cast<uint64_t>(stops), std::memory_order_relaxed);
  record.pause_cpu_ns = stops * core_.workers->cores();
  gc_cpu_ns_ += record.pause_cpu_ns + record.assist_ns + record.dedicated_cpu_ns + record.fractional_cpu_ns;
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
  if (core_.config.listener != nullptr) core_.config.listener->on_cycle(record);
  if (core_.config.debug.walk) {
    core_.sweeper->finish();
    core_.world.stop();
    core_.world.for_each_stopped([this](Mutator& m) { core_.take_counts(m); });
    const std::string fault = Verifier(core_).check_structure();
    KEEL_CHECK(fault.empty(), "walk after cycle %u: %s", record.number, fault.c_str());
    core_.world.resume([](Mutator&) {}, [] {});
  }
}

// What may stay resident for the next cycle: spans in use at the end of this mark, which is this heap's peak
// with its fragmentation, scaled by how the goal moves, and --retain percent more (Go mgcscavenge.go,
// gcPercentGoal).
uint64_t Cycle::retained_bytes(const CycleRecord& record) const {
  if (record.next_goal_bytes >= kNoGoal || record.heap_goal_bytes >= kNoGoal) return kNoGoal;
  const auto in_use = static_cast<double>(core_.memory.pages().stats().in_use_bytes);
  const double scaled = in_use * static_cast<double>(record.next_goal_bytes) /
                        static_cast<double>(std::max<uint64_t>(1, record.heap_goal_bytes));
  const double retained = scaled * (1 + core_.config.retain_percent / 100.0);
  return retained >= static_cast<double>(kNoGoal) ? kNoGoal : static_cast<uint64_t>(retained);
}

void Cycle::measure(CycleRecord& record) {
  const MarkCounts own = marker_.take_counts();
  const WorkerTimes times = core_.workers->times();
  HeapCore::Gathered all;
  {
    MutexLock lock(core_.gathered_mu);
    all = core_.gathered;
  }
  all.marks.add(own);
  all.marks.add(core_.workers->counts());
  record.heap_live_bytes = all.marks.marked_bytes + all.black_bytes;
  record.marked_objects = all.marks.marked_objects + all.black_objects;
  record.black_bytes = all.black_bytes;
  record.scanned_heap_bytes = all.marks.scanned_bytes;
  record.scanned_stack_bytes = all.stack_words * kWordBytes;
  record.scanned_root_bytes = root_bytes_;
  record.root_words = all.stack_words;
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

  const double window =
      static_cast<double>(record.mark_termination_ns - record.mark_begin_ns) * record.usable_cores;
  CycleMeasurements measured;
  measured.live_bytes = record.heap_live_bytes;
  measured.scanned_heap_bytes = record.scanned_heap_bytes;
  measured.stack_bytes = record.scanned_stack_bytes;
  measured.global_bytes = root_bytes_;
  if (window > 0) {
    measured.utilization =
        static_cast<double>(record.dedicated_cpu_ns + record.fractional_cpu_ns + record.assist_ns) / window;
    measured.idle_utilization = static_cast<double>(record.idle_cpu_ns) / window;
  }
  core_.pacer.end_cycle(measured);
  record.next_goal_bytes = core_.pacer.goal_bytes();
}

void Cycle::report_stop(uint32_t cycle, PauseKind kind, int64_t begin_ns, int64_t end_ns,
                        int64_t time_to_stop_ns) {
  if (core_.config.listener == nullptr) return;
  PauseRecord pause;
  pause.cycle = cycle;
  pause.kind = kind;
  pause.begin_ns = begin_ns;
  pause.duration_ns = end_ns - begin_ns;
  pause.time_to_stop_ns = time_to_stop_ns;
  core_.config.listener->on_world_stop(pause);
}

}  // namespace keel
