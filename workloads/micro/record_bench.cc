// What recording an event costs the thread it happens on: a pause into the thread's own log, and a safepoint
// poll.
#include <benchmark/benchmark.h>

#include "collector/api/heap.h"
#include "reports/recorder/pause_log.h"

namespace keel {
namespace {

void record(benchmark::State& state) {
  PauseLog log(1, "bench");
  PauseRecord pause;
  pause.kind = PauseKind::kAssist;
  int64_t drained = 0;
  for (auto _ : state) {
    pause.duration_ns = 1000 + (drained & 0xffff);
    log.add(pause);
    if ((++drained & 511) == 0)
      log.drain([](const PauseRecord& p) { benchmark::DoNotOptimize(p.duration_ns); });
  }
}
BENCHMARK(record)->Name("record/pause");

void poll(benchmark::State& state) {
  Heap heap;
  MutatorScope scope(heap);
  for (auto _ : state) {
    safepoint();
    benchmark::ClobberMemory();
  }
}
BENCHMARK(poll)->Name("safepoint/poll");

}  // namespace
}  // namespace keel
