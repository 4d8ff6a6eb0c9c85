// What the collector tells about itself: one record a cycle, one a pause, and the listener that takes them.
//
// Times are nanoseconds of the monotonic clock; sizes are bytes. What was not measured is not here. Adding a
// field: here, in reports/output/report_json.cc, in the schema, and in reports/schema/CHANGES.md.
#pragma once

#include <cstdint>

namespace keel {

enum class CycleTrigger : uint8_t { kHeap, kForced, kMemoryLimit, kPeriodic };

struct CycleRecord {
  uint32_t number = 0;  // 1-based, as Go's gctrace
  CycleTrigger trigger = CycleTrigger::kHeap;
  int64_t begin_ns = 0;  // the request to stop for sweep termination
  int64_t mark_begin_ns = 0;
  int64_t mark_termination_ns = 0;  // the request to stop for mark termination
  int64_t end_ns = 0;
  int64_t end_unix_ns = 0;  // LastGC
  // World stops, from the request to the restart; 0 with handshakes. Marking within one stop is all
  // last_stop_ns.
  int64_t first_stop_ns = 0;
  int64_t last_stop_ns = 0;
  int64_t world_stop_ns = 0;    // all world stops of this cycle, repeated terminations included: Go's PauseNs
  int64_t stopped_mark_ns = 0;  // marking inside one stop
  int64_t sweep_termination_stop_ns = 0;  // time to stop: from the request until the last mutator stood
  int64_t mark_termination_stop_ns = 0;
  uint32_t slowest_thread = 0;     // who the longer of the two waited for last; 0: nobody
  uint64_t total_alloc_bytes = 0;  // since the heap began, at end_ns
  uint64_t heap_trigger_bytes = 0;
  uint64_t heap_begin_bytes = 0;
  uint64_t heap_mark_end_bytes = 0;
  uint64_t heap_live_bytes = 0;  // marked, ballast and black allocation included
  uint64_t heap_goal_bytes = 0;  // the goal this cycle was to meet
  uint64_t next_goal_bytes = 0;
  uint64_t black_bytes = 0;  // allocated while marking
  uint64_t scanned_heap_bytes = 0;
  uint64_t scanned_stack_bytes = 0;
  uint64_t scanned_root_bytes = 0;
  uint64_t marked_objects = 0;
  int64_t dedicated_cpu_ns = 0;
  int64_t fractional_cpu_ns = 0;
  int64_t idle_cpu_ns = 0;
  int64_t assist_ns = 0;     // wall time of mutators inside assists
  int64_t pause_cpu_ns = 0;  // usable cores times both stops
  // Since the last cycle's record.
  int64_t sweep_cpu_ns = 0;  // estimate: one span of 16 is timed
  int64_t scavenge_cpu_ns = 0;
  uint64_t background_released_bytes = 0;  // given back to the system by the sweeper's thread
  uint64_t eager_released_bytes = 0;       // by mutators above the memory limit
  uint64_t heap_released_bytes = 0;        // now
  uint64_t heap_retained_bytes = 0;        // not released: in spans or free
  uint64_t heap_in_use_bytes = 0;          // in spans
  uint32_t dedicated_workers = 0;
  uint32_t fractional_workers = 0;
  uint32_t idle_workers = 0;
  uint64_t barrier_shaded = 0;
  uint64_t barrier_flushes = 0;
  uint64_t rescanned_words = 0;  // of them again, by a barrier that leaves stacks grey
  uint32_t fallback_stops = 0;   // with handshakes: stops that were needed all the same
  uint64_t specials_in_stops =
      0;  // finalizers, cleanups, weak pointers visited in stops: 0 but for barrier none
  // With checkmark and conservative roots, else -1: bytes that stack words reach and no Root does; targets of
  // a fresh look at the stacks that are not marked (copies of pointers that died meanwhile).
  int64_t retained_bytes = -1;
  int64_t unmarked_stack_targets = -1;
  uint64_t root_words = 0;           // stack words looked at
  uint64_t root_hits = 0;            // that led to an object
  bool limiter_active = false;       // the CPU limiter was on at some time, or has put the cycle off
  double assist_ratio = 0;           // bytes of scan work per byte allocated, when marking began
  uint64_t expected_scan_bytes = 0;  // what marking was expected to scan
  double utilization = 0;            // share of the cores while marking, assists included, idle marking not
  double cons_mark = 0;              // the estimate this cycle began with
  uint32_t termination_rounds = 0;
  uint32_t grey_overflows = 0;  // rescans of spans because the grey pool was full
  uint32_t usable_cores = 0;
  double gc_cpu_fraction = 0;  // since the heap began, idle marking excluded, as Go's GCCPUFraction
};

enum class PauseKind : uint8_t {
  kSweepTermination,
  kMarkTermination,
  kHandshake,
  kAssist,
  kSweep,
  kAllocationStall
};
inline constexpr int kPauseKinds = 6;

struct PauseRecord {
  uint32_t cycle = 0;
  PauseKind kind = PauseKind::kHandshake;
  uint32_t thread = 0;  // mutator id; 0 for world stops
  int64_t begin_ns = 0;
  int64_t duration_ns = 0;       // world stops: from the request to stop until restart
  int64_t time_to_stop_ns = -1;  // world stops only
  // Interruptions of one mutator (handshake): standing in a stop, scanning the own stack; the rest is other
  // work.
  int64_t wait_ns = -1;
  int64_t own_stack_ns = -1;
};

enum class WorkerKind : uint8_t { kDedicated, kFractional, kIdle };

/// A stretch in which one mark worker held work, from taking some until it handed in all it had.
struct WorkerRecord {
  uint32_t worker = 0;  // index; the thread for idle time has the number of its core's worker too
  WorkerKind kind = WorkerKind::kDedicated;  // what most of its CPU time was
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
  int64_t cpu_ns = 0;
};

/// Callbacks. `on_pause` runs on mutators in their slow paths: it must not block, allocate on the GC heap or
/// throw.
class GcListener {
 public:
  virtual ~GcListener() = default;
  /// A mutator exists; the result is handed to every on_pause() of this thread. Threads: the mutator, in
  /// attach.
  virtual void* on_attach(uint32_t thread, const char* name) = 0;
  virtual void on_detach(void* thread_data) = 0;
  virtual void on_pause(void* thread_data, const PauseRecord& pause) = 0;
  /// World stops come here, from the cycle thread.
  virtual void on_world_stop(const PauseRecord& pause) = 0;
  virtual void on_cycle(const CycleRecord& cycle) = 0;
  /// The stretches of the workers in a cycle, right after its on_cycle(). Threads: the cycle thread.
  virtual void on_worker(uint32_t /*cycle*/, const WorkerRecord& /*stretch*/) {}
};

/// Hears everything and does nothing: a base for those who want one kind of event.
class NullListener : public GcListener {
 public:
  void* on_attach(uint32_t, const char*) override { return nullptr; }
  void on_detach(void*) override {}
  void on_pause(void*, const PauseRecord&) override {}
  void on_world_stop(const PauseRecord&) override {}
  void on_cycle(const CycleRecord&) override {}
};

const char* to_string(CycleTrigger trigger);
const char* to_string(PauseKind kind);
const char* to_string(WorkerKind kind);

}  // namespace keel
