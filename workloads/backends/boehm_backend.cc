// Boehm's events as cycles and world stops; see boehm_backend.h.
#include "workloads/backends/boehm_backend.h"

namespace keel {
namespace {

// Boehm calls back with its lock held, so these need no lock of their own: one collection at a time.
struct Events {
  RunRecorder* recorder = nullptr;
  ForeignCycle cycle;
  int64_t mark_begin_ns = 0;
  int64_t stop_begin_ns = 0;
  int64_t stopped_ns = 0;
  uint64_t bytes_at_begin = 0;
};
Events g_events;

void on_event(GC_EventType event) {
  Events& e = g_events;
  if (e.recorder == nullptr) return;
  const int64_t now = now_ns();
  switch (event) {
    case GC_EVENT_START:
      e.cycle = {};
      e.cycle.begin_ns = now;
      break;
    case GC_EVENT_PRE_STOP_WORLD:
      e.stop_begin_ns = now;
      break;
    case GC_EVENT_POST_STOP_WORLD:
      e.stopped_ns = now;
      break;
    case GC_EVENT_MARK_START:
      e.mark_begin_ns = now;
      break;
    case GC_EVENT_MARK_END:
      e.cycle.mark_ns = now - e.mark_begin_ns;
      break;
    case GC_EVENT_POST_START_WORLD: {
      PauseRecord pause;
      pause.cycle = static_cast<uint32_t>(GC_get_gc_no());
      pause.kind = PauseKind::kMarkTermination;
      pause.begin_ns = e.stop_begin_ns;
      pause.duration_ns = now - e.stop_begin_ns;
      pause.time_to_stop_ns = e.stopped_ns - e.stop_begin_ns;
      e.recorder->on_world_stop(pause);
      break;
    }
    case GC_EVENT_END:
      e.cycle.number = static_cast<uint32_t>(GC_get_gc_no());
      e.cycle.end_ns = now;
      e.cycle.end_unix_ns = to_unix_ns(now);
      e.cycle.forced = BoehmBackend::Runtime::forced().exchange(false, std::memory_order_relaxed);
      // The lock is held: the counters are read without it.
      struct GC_prof_stats_s stats;
      GC_get_prof_stats_unsafe(&stats, sizeof stats);
      e.cycle.total_alloc_bytes = stats.allocd_bytes_before_gc + stats.bytes_allocd_since_gc;
      BoehmBackend::Runtime::last_gc().store(e.cycle.end_unix_ns, std::memory_order_relaxed);
      e.recorder->add_foreign_cycle(e.cycle);
      break;
    default:
      break;
  }
}

// relaxed: only uniqueness matters.
std::atomic<uint32_t> g_next_id{1};

}  // namespace

std::atomic<bool>& BoehmBackend::Runtime::forced() {
  static std::atomic<bool> value{false};
  return value;
}

std::atomic<int64_t>& BoehmBackend::Runtime::last_gc() {
  static std::atomic<int64_t> value{0};
  return value;
}

BoehmBackend::Runtime::Runtime(const CommonOptions& options, RunRecorder& recorder) {
  if (options.heap.max_heap_bytes != 0) GC_set_max_heap_size(options.heap.max_heap_bytes);
  GC_INIT();
  GC_allow_register_threads();
  if (options.collector == Collector::kBoehmIncremental) GC_enable_incremental();
  GC_start_mark_threads();
  g_events.recorder = &recorder;
  GC_set_on_collection_event(on_event);
}

BoehmBackend::Runtime::~Runtime() {
  GC_set_on_collection_event(nullptr);
  g_events.recorder = nullptr;
}

void BoehmBackend::Runtime::sections(nlohmann::json& out) {
  struct GC_prof_stats_s stats;
  GC_get_prof_stats(&stats, sizeof stats);
  out["memstats"] = {{"HeapSys", stats.heapsize_full},
                     {"HeapReleased", stats.unmapped_bytes},
                     {"HeapIdle", stats.free_bytes_full},
                     {"TotalAlloc", stats.allocd_bytes_before_gc + stats.bytes_allocd_since_gc},
                     {"NumGC", stats.gc_no}};
  if (const int64_t last = last_gc().load(std::memory_order_relaxed)) out["memstats"]["LastGC"] = last;
}

BoehmBackend::Thread::Thread(Runtime&, const std::string&)
    : id_(g_next_id.fetch_add(1, std::memory_order_relaxed)) {
  if (GC_thread_is_registered() != 0) return;
  GC_stack_base base;
  GC_get_stack_base(&base);
  registered_ = GC_register_my_thread(&base) == GC_SUCCESS;
}

BoehmBackend::Thread::~Thread() {
  if (registered_) GC_unregister_my_thread();
}

}  // namespace keel
