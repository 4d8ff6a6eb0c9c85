// Single steps of a cycle: changing phase beside busy mutators, a span's sweep, a finalizer's registration.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "collector/api/heap.h"
#include "workloads/micro/other_collectors.h"
#ifdef KEEL_MICRO_BOEHM
#include "workloads/backends/boehm_backend.h"
#include "workloads/micro/bench_heap.h"
#endif

namespace keel {
namespace {

struct Small {
  std::array<uint64_t, 2> words;
};
struct Medium {
  std::array<uint64_t, 8> words;
};

// What changing phase took, from the collector's own records.
class TransitionTimes final : public NullListener {
 public:
  void on_cycle(const CycleRecord& c) override {
    if (c.trigger != CycleTrigger::kForced) return;
    ++cycles;
    start_ns += c.mark_begin_ns - c.begin_ns;
    end_ns += c.end_ns - c.mark_termination_ns;
    ends.push_back(c.end_ns - c.mark_termination_ns);
  }
  void on_pause(void*, const PauseRecord& pause) override {
    if (pause.kind != PauseKind::kHandshake) return;
    // relaxed [stats]: sums, read when all threads are joined.
    handshakes.fetch_add(1, std::memory_order_relaxed);
    handshake_ns.fetch_add(pause.duration_ns, std::memory_order_relaxed);
  }
  int64_t cycles = 0;  // of the cycle thread; read when the mutators are gone and no cycle runs
  int64_t start_ns = 0;
  int64_t end_ns = 0;
  std::vector<int64_t> ends;  // of each
  std::atomic<int64_t> handshakes{0};
  std::atomic<int64_t> handshake_ns{0};
};

// A whole cycle over next to nothing while mutators allocate: what changing phase costs, by kind of
// transition. The time is the cycle's; the counters are its two transitions and, with handshakes, how long
// one holds up one mutator.
void empty_cycle(benchmark::State& state, const char* transitions) {
  TransitionTimes times;
  HeapConfig c = bench_heap();
  c.transitions = transitions;
  c.listener = &times;
  Heap heap(c);
  std::atomic<bool> stop{false};  // relaxed: looked at between allocations
  std::atomic<int64_t> attached{0};
  std::vector<std::thread> mutators;
  for (int64_t t = 0; t < state.range(0); ++t) {
    mutators.emplace_back([&] {
      MutatorScope scope(heap);
      attached.fetch_add(1);
      while (!stop.load(std::memory_order_relaxed)) benchmark::DoNotOptimize(make<Medium>());
    });
  }
  while (attached.load() != state.range(0)) std::this_thread::yield();
  for (auto _ : state) heap.collect();
  stop.store(true, std::memory_order_relaxed);
  for (std::thread& mutator : mutators) mutator.join();
  heap.collect();  // the last record has been handed over when this one's cycle begins
  const auto cycles = static_cast<double>(std::max<int64_t>(1, times.cycles));
  state.counters["start_ns"] = static_cast<double>(times.start_ns) / cycles;
  state.counters["end_ns"] = static_cast<double>(times.end_ns) / cycles;
  if (const int64_t n = times.handshakes.load(std::memory_order_relaxed)) {
    state.counters["handshake_ns"] =
        static_cast<double>(times.handshake_ns.load(std::memory_order_relaxed)) / static_cast<double>(n);
  }
}
void mutators(benchmark::internal::Benchmark* bench) {
  bench->ArgName("mutators")->Arg(1)->Arg(2)->Arg(8)->UseRealTime()->Unit(benchmark::kMicrosecond);
}
BENCHMARK_CAPTURE(empty_cycle, stw, "stw")->Name("cycle/empty/stw")->Apply(mutators);
BENCHMARK_CAPTURE(empty_cycle, handshake, "handshake")->Name("cycle/empty/handshake")->Apply(mutators);

// The same beside so many objects that have a finalizer, a cleanup and a weak pointer each, all alive: what
// of these grows with them. One mutator allocates, so that a stop or a round has somebody to stop.
void cycle_with_specials(benchmark::State& state, const char* transitions) {
  TransitionTimes times;
  HeapConfig c = bench_heap();
  c.goal = GoalRule::kGogc;
  c.gogc_percent = HeapConfig::kGogcOff;
  c.transitions = transitions;
  c.listener = &times;
  Heap heap(c);
  MutatorScope scope(heap);
  const auto objects = static_cast<size_t>(state.range(0));
  Root<Ptr<Small>> kept(make_array<Ptr<Small>>(objects));
  std::vector<Weak<Small>> weak;
  weak.reserve(objects);
  for (size_t i = 0; i < objects; ++i) {
    Small* small = make<Small>();
    kept.get()[i] = small;
    set_finalizer(small, [](Small*) {});
    add_cleanup(
        small, [](int) {}, 0);
    weak.emplace_back(small);
  }
  std::atomic<bool> stop{false};  // relaxed: looked at between allocations
  std::atomic<bool> attached{false};
  std::thread mutator([&] {
    MutatorScope other(heap);
    attached.store(true);
    while (!stop.load(std::memory_order_relaxed)) benchmark::DoNotOptimize(make<Medium>());
  });
  while (!attached.load()) std::this_thread::yield();
  for (auto _ : state) heap.collect();
  stop.store(true, std::memory_order_relaxed);
  blocking([&] { mutator.join(); });
  heap.collect();
  // Medians: on a busy machine the mean is what other processes did.
  std::sort(times.ends.begin(), times.ends.end());
  state.counters["end_ns/median"] = static_cast<double>(times.ends[times.ends.size() / 2]);
  state.counters["end_ns/min"] = static_cast<double>(times.ends.front());
}
void special_counts(benchmark::internal::Benchmark* bench) {
  bench->ArgName("objects")->Arg(0)->Arg(1'000'000)->UseRealTime()->Unit(benchmark::kMicrosecond);
}
BENCHMARK_CAPTURE(cycle_with_specials, stw, "stw")->Name("cycle/specials/stw")->Apply(special_counts);
BENCHMARK_CAPTURE(cycle_with_specials, handshake, "handshake")
    ->Name("cycle/specials/handshake")
    ->Apply(special_counts);

class SweepTime final : public NullListener {
 public:
  void on_cycle(const CycleRecord& cycle) override { ns += cycle.sweep_cpu_ns; }
  int64_t ns = 0;  // read after collect() has returned; a cycle's record has the sweep of the one before
};

// Spans in which every second object has died. The sweeper's own clock (one span of 16 is timed): a
// collection's wall time would hide it.
void sweep(benchmark::State& state) {
  SweepTime swept;
  HeapConfig c = bench_heap();
  c.gogc_percent = HeapConfig::kGogcOff;
  c.goal = GoalRule::kGogc;
  c.listener = &swept;
  Heap heap(c);
  MutatorScope scope(heap);
  constexpr uint64_t kObjects = 200'000;
  Root<Ptr<Medium>> kept(make_array<Ptr<Medium>>(kObjects));
  for (auto _ : state) {
    state.PauseTiming();
    for (uint64_t i = 0; i < kObjects; ++i) {
      Medium* fresh = make<Medium>();
      if (i % 2 == 0) kept.get()[i] = fresh;
    }
    state.ResumeTiming();
    heap.collect();
  }
  state.counters["sweep_ns/object"] =
      static_cast<double>(swept.ns) / static_cast<double>(state.iterations()) / static_cast<double>(kObjects);
  kept.reset();
}
BENCHMARK(sweep)->Name("sweep/half-dead")->Unit(benchmark::kMillisecond);

// Registration alone; the objects die in between, untimed.
void finalizer(benchmark::State& state) {
  Heap heap(bench_heap());
  MutatorScope scope(heap);
  constexpr int kRegistrations = 1000;
  while (state.KeepRunningBatch(kRegistrations)) {
    for (int i = 0; i < kRegistrations; ++i) set_finalizer(make<Small>(), [](Small*) {});
    state.PauseTiming();
    heap.collect();
    heap.run_finalizers(10'000'000'000);
    state.ResumeTiming();
  }
}
BENCHMARK(finalizer)->Name("finalizer/register");

#ifdef KEEL_MICRO_BOEHM
void boehm_finalizer(benchmark::State& state) {
  micro::BoehmThread known;
  constexpr int kRegistrations = 1000;
  while (state.KeepRunningBatch(kRegistrations)) {
    for (int i = 0; i < kRegistrations; ++i) {
      GC_register_finalizer_no_order(
          GC_MALLOC(sizeof(Small)), [](void*, void*) {}, nullptr, nullptr, nullptr);
    }
    state.PauseTiming();
    GC_gcollect();
    micro::boehm_run_finalizers();
    state.ResumeTiming();
  }
}
BENCHMARK(boehm_finalizer)->Name("finalizer/register/boehm");
#endif

}  // namespace
}  // namespace keel
