// The cycle thread, and what both kinds of transition share; see cycle.h for the steps.
#include "collector/cycle/cycle.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "allocator/base/clock.h"
#include "allocator/base/defects.h"
#include "allocator/base/futex.h"
#include "allocator/base/machine.h"
#include "allocator/base/out_of_memory.h"
#include "allocator/base/race_points.h"
#include "collector/cycle/heap_core.h"
#include "collector/world/probes.h"

namespace keel {
namespace {
// The cycle thread looks at the pace of marking this often.
constexpr int64_t kReviseNs = 1'000'000;
// The shortest time slice that the system gives.
constexpr int64_t kShortSliceNs = 100'000;
// A stop, or the time to it, in which reading two more clocks does not show.
constexpr int64_t kShortStopNs = 1'000'000;
// With stacks that stay grey and no stops: so many rounds of rescanning, then one stop after all.
constexpr uint32_t kMostRescanRounds = 8;
}  // namespace

Cycle::Cycle(HeapCore& core)
    : core_(core),
      marker_(core.memory, core.pool),
      born_ns_(now_ns()),
      last_measured_ns_(born_ns_),
      thread_([this] { or_give_up([this] { run(); }); }) {}

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
  if (!defect(Defect::kCycleNotWoken)) wake_.notify_one();
}

void Cycle::collect() {
  MutexLock lock(mu_);
  const uint64_t wanted = begun_ + 1;
  requested_ = true;
  trigger_ = CycleTrigger::kForced;
  ++waiters_;
  if (!defect(Defect::kCycleNotWoken)) wake_.notify_one();
  while (swept_ < wanted) done_.wait(mu_);
  --waiters_;
}

uint64_t Cycle::begun() {
  MutexLock lock(mu_);
  return begun_;
}

uint64_t Cycle::swept() {
  MutexLock lock(mu_);
  return swept_;
}

void Cycle::wait_until_marking(int64_t limit_ns) {
  const uint32_t seen = news_.load(std::memory_order_acquire);
  if (!requested() || core_.marking.load(std::memory_order_relaxed)) return;
  futex_wait(news_, seen, limit_ns);
}

// [cycle.news] release, with the acquire above: who saw the word as it was sees what has changed since, or
// wakes.
void Cycle::tell_news() {
  news_.fetch_add(1, std::memory_order_release);
  futex_wake_all(news_);
}

void Cycle::run_between(FunctionRef<void()> work) {
  Task task{work, nullptr};
  {
    MutexLock lock(mu_);
    while (task_ != nullptr) done_.wait(mu_);
    task_ = &task;
    wake_.notify_one();
    while (task_ == &task) done_.wait(mu_);
  }
  if (task.error != nullptr) std::rethrow_exception(task.error);
}

void Cycle::run_stopped(FunctionRef<void()> work) {
  run_between([&] {
    core_.sweeper->finish();
    core_.world.stop();
    std::exception_ptr error;
    try {
      core_.world.for_each_stopped([this](Mutator& m) { core_.take_counts(m); });
      work();
    } catch (...) {
      error = std::current_exception();  // the world goes on first
    }
    core_.world.resume([](Mutator&) {}, [] {});
    if (error != nullptr) std::rethrow_exception(error);
  });
}

bool Cycle::put_off() const {
  return core_.keeper.puts_off() && core_.pacer.live_bytes() < core_.pacer.put_off_until_bytes();
}

// Only a cycle that the heap's size asks for: somebody waits for a forced one, and the clock's come seldom.
bool Cycle::must_wait() const {
  return put_off() && trigger_ != CycleTrigger::kPeriodic && !stopping_ && task_ == nullptr && waiters_ == 0;
}

// The program goes on, and the heap grows, until the last stop was no more than half of the CPU; but no
// longer than to the clock's next cycle, for a program that is idle pays for nothing. True if it waited.
bool Cycle::wait_while_put_off(int64_t last_end_ns) {
  bool waited = false;
  while (must_wait()) {
    waited = true;
    wake_.wait_for(mu_, CpuLimiter::kPeriodNs);
    tell_sweeping();
    core_.keeper.update_limiter();
    const int64_t periodic = core_.config.periodic_ns;
    if (periodic > 0 && now_ns() - last_end_ns >= periodic) trigger_ = CycleTrigger::kPeriodic;
  }
  return waited;
}

void Cycle::run() {
  pthread_setname_np(pthread_self(), "keel-cycle");
  // It needs little, and mutators wait for it.
  set_time_slice(kShortSliceNs);
  int64_t last_end_ns = now_ns();
  for (;;) {
    CycleTrigger trigger = CycleTrigger::kHeap;
    Task* task = nullptr;
    bool was_put_off = false;
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
      was_put_off = wait_while_put_off(last_end_ns);
      if (stopping_) return;
      task = task_;
      if (task == nullptr) {
        trigger = trigger_;
        requested_ = false;
        ++begun_;
      }
    }
    if (task != nullptr) {
      try {
        task->work();
      } catch (...) {
        task->error = std::current_exception();  // its caller's
      }
      MutexLock lock(mu_);
      task_ = nullptr;
      done_.notify_all();
      continue;
    }
    run_cycle(trigger, was_put_off);
    last_end_ns = now_ns();
    bool sweep_now = false;
    {
      MutexLock lock(mu_);
      sweep_now = waiters_ > 0;
    }
    if (sweep_now) {
      core_.sweeper->finish();
      // Whoever asked may need the room.
      core_.sweeper->wait_for_pages();
    }
    MutexLock lock(mu_);
    if (sweep_now) swept_ = begun_;
    request_pending_.store(false, std::memory_order_relaxed);
    tell_news();
    done_.notify_all();
  }
}

void Cycle::run_cycle(CycleTrigger trigger, bool was_put_off) {
  CycleRecord record;
  record.number = core_.memory.cycle() + 1;
  record.trigger = trigger;
  KEEL_PROBE2(cycle_begin, record.number, static_cast<int>(trigger));
  events_.add("cycle begins", record.number, now_ns());
  prepare(record, was_put_off);
  if (!core_.barrier.traits.concurrent) {
    mark_in_one_stop(record);
  } else if (ragged()) {
    start_ragged(record);
    while (!terminate_ragged(record, mark_until_quiet(record))) {
    }
    end_ragged(record);
  } else {
    start_stopped(record);
    do {
      mark_until_quiet(record);
    } while (!terminate_stopped(record));
    end_stopped(record);
  }
  events_.add("cycle ends", record.number, record.end_ns);
  settle(record);
}

bool Cycle::ragged() const { return core_.config.transitions == "handshake"; }

bool Cycle::rescans_in_rounds() const { return ragged() && core_.barrier.traits.needs_final_stack_rescan; }

// Step 1, and what every start needs.
void Cycle::prepare(CycleRecord& record, bool was_put_off) {
  record.limiter_active = was_put_off || core_.keeper.limiting();
  if (!defect(Defect::kMarkBeforeSweepEnds)) core_.sweeper->finish();
  record.heap_trigger_bytes = core_.pacer.trigger_bytes();
  record.heap_goal_bytes = core_.pacer.goal_bytes();
  {
    MutexLock lock(core_.gathered_mu);
    core_.gathered = {};
    core_.hits.clear();
  }
  core_.gathered_assist_ns.store(0, std::memory_order_relaxed);
  core_.assist_scan_bytes.store(0, std::memory_order_relaxed);
  core_.next_cycle_bytes.store(0, std::memory_order_relaxed);
  core_.pool.take_found();
  core_.specials.gate().open();
  marker_.begin_cycle();
}

// Allocation is black and no trigger counts any more: what the pacer has to know. Threads: nobody allocates,
// or what is allocated meanwhile is counted to one side or the other.
void Cycle::begin_pacing(CycleRecord& record) {
  record.heap_begin_bytes = core_.pacer.live_bytes();
  events_.add("marking begins", record.number, now_ns());
  core_.keeper.update_goal();
  core_.pacer.begin_cycle({last_stack_bytes_, root_bytes_});
  record.assist_ratio = core_.pacer.ratio();
  record.expected_scan_bytes = core_.pacer.expected_scan_bytes();
  record.cons_mark = core_.pacer.cons_mark();
  KEEL_PROBE3(mark_begin, record.number, record.heap_begin_bytes, record.heap_goal_bytes);
  core_.assists.open();
  tell_news();
}

void Cycle::scan_root_table() {
  race_point(RacePoint::kBeforeRootScan);
  core_.pool.become_busy();
  root_bytes_ = core_.roots.scan([this](uintptr_t pointer) { marker_.visit(pointer); });
  core_.specials.shade_roots(marker_);
  marker_.flush();
  core_.pool.become_idle();
}

// Steps 4 and 5. What was found is cleared first and the pool looked at again after that: from then on, until
// the round's last acknowledgement, every grey object that comes into being is counted as found. [rule 2]
// True after a round that found nothing, false if stacks that stay grey have been rescanned often enough.
bool Cycle::mark_until_quiet(CycleRecord& record) {
  for (;;) {
    while (!core_.pool.wait_until_quiet(kReviseNs)) revise(record);
    core_.specials.gate().begin_closing();
    if (!core_.pool.take_found().quiet) continue;
    ++record.termination_rounds;
    if (defect(Defect::kSweptBeforeAcknowledged)) core_.memory.sweep_one(core_.memory.cycle() + 1);
    core_.world.handshake([this](Mutator& m) { core_.hand_in_grey(m, rescans_in_rounds()); });
    if (core_.pool.take_found().nothing()) return true;
    if (defect(Defect::kEndsAfterOneRound)) return true;
    if (rescans_in_rounds() && record.termination_rounds >= kMostRescanRounds) return false;
  }
}

void Cycle::revise(CycleRecord& record) {
  core_.keeper.update_goal();
  tell_sweeping();
  core_.keeper.update_limiter();
  record.limiter_active = record.limiter_active || core_.keeper.limiting();
  core_.revise_ratio();
}

void Cycle::tell_sweeping() {
  const int64_t all = core_.sweeper->sweep_ns();
  core_.keeper.add_sweeping(all - std::exchange(told_sweep_ns_, all));
}

// What the pool has, on the cycle thread.
void Cycle::help_marking() {
  if (!core_.pool.try_become_busy()) return;
  marker_.drain(~uint64_t{0});
  marker_.flush();
  core_.pool.become_idle();
}

// With the world stopped: marks until nothing is grey, flagged spans included. The cycle thread marks itself
// and workers join in, so that nothing waits for them to get a core. The flags are looked at when the pool is
// quiet and not before: a worker that is busy can still put one up, and has nothing to hand in then. [rule 5]
void Cycle::drain_stopped(CycleRecord& record) {
  core_.workers->set_all_out(true);
  for (;;) {
    help_marking();
    race_point(RacePoint::kBeforeQuietInStop);
    const int64_t asleep = now_ns();
    const bool quiet = core_.pool.wait_until_quiet(kReviseNs);
    stood_.slept_ns += now_ns() - asleep;
    if (!quiet) continue;
    if (!core_.pool.overflowed()) break;
    ++record.grey_overflows;
    rescan_overflowed();
  }
  core_.workers->set_all_out(false);
  core_.pool.take_found();
}

// The pool was full at some time: scan the marked objects of every flagged span, with the world stopped,
// until no push fails any more. The cycle thread's marker keeps a chunk, so each round makes progress.
void Cycle::rescan_overflowed() {
  race_point(RacePoint::kOverflowRescanBegins);
  core_.pool.become_busy();
  do {
    core_.memory.for_each_span([this](Span& span) {
      if (!core_.pool.take_flag(span)) return;
      marker_.rescan_span(span);
      marker_.drain(~uint64_t{0});
    });
  } while (core_.pool.overflowed());
  core_.pool.become_idle();
  core_.pool.take_found();
}

// Before marks become allocation bits: what is grey now would be freed. A pool that is quiet with no span
// flagged, and every buffer handed in, is all there is [rules 2, 5]. Once quiet it stays so: who wants work
// from the pool does not become busy when there is none, however late it comes [grey.state].
void Cycle::check_nothing_is_grey() {
  race_point(RacePoint::kMarkingIsOver);
  KEEL_CHECK(core_.pool.quiet(), "cycle %u: marking ends with grey work in the pool",
             core_.memory.cycle() + 1);
  KEEL_CHECK(!core_.pool.overflowed(), "cycle %u: marking ends with a span flagged",
             core_.memory.cycle() + 1);
}

// The clocks of CPU time are system calls (0.5 us each, the process's 2.5 us with 256 threads): a short stop
// reads none of them while the world stands. Its CPU is taken for its wall time, which is what Go charges.
void Cycle::stop_world(CycleRecord& record, Stop& stop) {
  int64_t process_cpu = process_cpu_ns();
  const int64_t cycle_cpu = thread_cpu_ns();
  const World::StopTimes times = core_.world.stop();
  specials_visited_at_stop_ = core_.specials.visited();
  stop.begin_ns = times.requested_ns;
  stop.time_to_stop_ns = times.stopped_ns - times.requested_ns;
  if (stop.time_to_stop_ns > std::max(record.sweep_termination_stop_ns, record.mark_termination_stop_ns)) {
    record.slowest_thread = times.slowest_thread;
  }
  if (stop.time_to_stop_ns > kShortStopNs) process_cpu = process_cpu_ns();
  stood_ = {.begin_ns = times.stopped_ns, .begin_process_cpu_ns = process_cpu, .cycle_cpu_ns = -cycle_cpu};
}

void Cycle::before_restart(CycleRecord& record) {
  record.specials_in_stops += core_.specials.visited() - specials_visited_at_stop_;
  stood_.end_ns = now_ns();
  const int64_t wall_ns = stood_.end_ns - stood_.begin_ns;
  if (wall_ns < kShortStopNs) {
    stood_.cycle_cpu_ns = wall_ns;
    stood_.end_process_cpu_ns = stood_.begin_process_cpu_ns + wall_ns;
    return;
  }
  stood_.cycle_cpu_ns += thread_cpu_ns();
  stood_.end_process_cpu_ns = process_cpu_ns();
}

// The world ran again at `end_ns`: tells the listener, the limiter and the statistics.
void Cycle::report_stop(CycleRecord& record, PauseKind kind, const Stop& stop, int64_t end_ns) {
  const bool marking = core_.marking.load(std::memory_order_relaxed);
  tell_sweeping();
  core_.keeper.record_stop(stood_, marking);
  record.limiter_active = record.limiter_active || core_.keeper.limiting();
  record.world_stop_ns += end_ns - stop.begin_ns;
  events_.add(to_string(kind), record.number, stop.begin_ns, end_ns - stop.begin_ns);
  if (core_.config.listener == nullptr) return;
  PauseRecord pause;
  pause.cycle = record.number;
  pause.kind = kind;
  pause.begin_ns = stop.begin_ns;
  pause.duration_ns = end_ns - stop.begin_ns;
  pause.time_to_stop_ns = stop.time_to_stop_ns;
  core_.config.listener->on_world_stop(pause);
}

}  // namespace keel
