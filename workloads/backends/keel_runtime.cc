// KeelRuntime: what is the same with either kind of roots.
#include "workloads/backends/keel_backend.h"

#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace keel {
namespace {

[[noreturn]] void exit_without_heap(const std::string& why) {
  std::fprintf(stderr, "keel: the heap cannot be made: %s\n", why.c_str());
  std::_Exit(3);
}

HeapConfig with_listener(HeapConfig config, RunRecorder& recorder) {
  config.listener = &recorder;
  return config;
}

}  // namespace

// Without a heap there is nothing to run and nothing to report.
KeelRuntime::KeelRuntime(const CommonOptions& options, RunRecorder& recorder) try
    : recorder_(recorder),
      finalize_at_exit_ns_(options.finalize_at_exit_ns),
      heap_(with_listener(options.heap, recorder)) {
  recorder.set_reserved_bytes([this] { return unused_addresses(); });
} catch (const std::system_error& e) {
  exit_without_heap("no thread for the collector: " + e.code().message());
} catch (const std::bad_alloc& e) {
  exit_without_heap(e.what());
}

HeapSample KeelRuntime::sample() const {
  const HeapStats s = heap_.stats();
  return {s.heap_live_bytes, s.next_gc_bytes, s.last_gc_unix_ns, s.num_gc};
}

void KeelRuntime::sections(nlohmann::json& out) {
  if (finalize_at_exit_ns_ != 0) heap_.run_finalizers(finalize_at_exit_ns_);
  // A cycle that has begun belongs to the run, whatever began it; the next one does not. So the cycles of the
  // report, their number, their pauses and LastGC are of one moment.
  heap_.between_cycles([&] {
    recorder_.end_run();
    const HeapStats stats = heap_.stats();
    out["memstats"] = memstats_json(stats);
    out["finalization"] = finalizers_json(stats.finalizers);
    out["gc_stats"] = gc_stats_json(heap_.gc_stats());
  });
  if (out.value("interrupted", false)) return;
  nlohmann::json layouts = nlohmann::json::array();
  for (const LayoutStats& l : heap_.layouts()) {
    layouts.push_back({{"layout", l.layout},
                       {"spans", l.spans},
                       {"objects", l.objects},
                       {"used_bytes", l.used_bytes},
                       {"pointer_words", l.pointer_words},
                       {"waste_bytes", l.waste_bytes}});
  }
  out["heap_by_layout"] = std::move(layouts);
}

// Addresses that are reserved, for the heap and for tables that describe it, and were never made memory.
uint64_t KeelRuntime::unused_addresses() const {
  const HeapStats s = heap_.stats();
  const uint64_t tables = PageTable::metadata_bytes(s.reserved_bytes >> kPageShift);
  return s.reserved_unused_bytes + tables - std::min(tables, s.gc_sys_bytes);
}

}  // namespace keel
