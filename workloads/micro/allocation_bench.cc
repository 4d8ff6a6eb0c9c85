// What an allocation costs by size, layout and number of threads, garbage at once: Keel with a 64 MiB heap,
// sweeping and refills included, against calloc and free. And single steps of it: a handshake, a span's
// sweep, a finalizer's registration.
#include <benchmark/benchmark.h>

#include <atomic>
#include <cstdlib>
#include <optional>
#include <thread>

#include "collector/api/heap.h"

namespace keel {
namespace {

std::optional<Heap> g_heap;

HeapConfig config() {
  HeapConfig c;
  c.roots = Roots::kPrecise;
  c.goal = GoalRule::kFixed;
  c.fixed_goal_bytes = uint64_t{64} << 20;
  return c;
}
void open_heap(const benchmark::State&) { g_heap.emplace(config()); }
void close_heap(const benchmark::State&) { g_heap.reset(); }

template <size_t kBytes>
struct Plain {
  std::array<uint64_t, kBytes / 8> words;
};
template <size_t kBytes>
struct Linked {
  Ptr<Linked> next;
  std::array<uint64_t, kBytes / 8 - 1> words;
};
template <>
struct Linked<8> {
  Ptr<Linked> next;
};

// An iteration is a batch, and the thread is attached for the batch only: the harness makes threads wait for
// each other before and after its loop, and an attached thread that waits outside a blocking region would
// hold up every stop.
constexpr int64_t kBatch = 1'000'000;

void count(benchmark::State& state) {
  const auto objects = static_cast<double>(state.iterations() * kBatch);
  state.counters["time/object"] =
      benchmark::Counter(objects, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

template <typename T>
void keel_allocates(benchmark::State& state) {
  for (auto _ : state) {
    MutatorScope scope(*g_heap);
    for (int64_t i = 0; i < kBatch; ++i) benchmark::DoNotOptimize(make<T>());
  }
  count(state);
}
template <size_t kBytes>
void calloc_and_free(benchmark::State& state) {
  for (auto _ : state) {
    for (int64_t i = 0; i < kBatch; ++i) {
      void* p = std::calloc(1, kBytes);
      benchmark::DoNotOptimize(p);
      std::free(p);
    }
  }
  count(state);
}

template <size_t kBytes>
void register_size() {
  const std::string size = std::to_string(kBytes);
  for (const int threads : {1, 2}) {
    benchmark::RegisterBenchmark(("allocate/pointer-bearing/" + size).c_str(), keel_allocates<Linked<kBytes>>)
        ->Setup(open_heap)
        ->Teardown(close_heap)
        ->Threads(threads)
        ->UseRealTime();
    benchmark::RegisterBenchmark(("allocate/pointer-free/" + size).c_str(), keel_allocates<Plain<kBytes>>)
        ->Setup(open_heap)
        ->Teardown(close_heap)
        ->Threads(threads)
        ->UseRealTime();
    benchmark::RegisterBenchmark(("allocate/calloc+free/" + size).c_str(), calloc_and_free<kBytes>)
        ->Threads(threads)
        ->UseRealTime();
  }
}
const bool g_registered = [] {
  register_size<16>();
  register_size<64>();
  register_size<256>();
  register_size<1024>();
  register_size<8192>();
  return true;
}();

// A whole cycle over next to nothing while one mutator allocates: what changing phase costs, by kind of
// transition.
void empty_cycle(benchmark::State& state, const char* transitions) {
  HeapConfig c = config();
  c.transitions = transitions;
  Heap heap(c);
  std::atomic<bool> stop{false};  // relaxed: looked at between allocations
  std::atomic<bool> attached{false};
  std::thread mutator([&] {
    MutatorScope scope(heap);
    attached.store(true);
    while (!stop.load(std::memory_order_relaxed)) benchmark::DoNotOptimize(make<Plain<64>>());
  });
  while (!attached.load()) std::this_thread::yield();
  for (auto _ : state) heap.collect();
  stop.store(true, std::memory_order_relaxed);
  mutator.join();
}
BENCHMARK_CAPTURE(empty_cycle, stw, "stw")
    ->Name("cycle/empty/stw")
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(empty_cycle, handshake, "handshake")
    ->Name("cycle/empty/handshake")
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

class SweepTime final : public NullListener {
 public:
  void on_cycle(const CycleRecord& cycle) override { ns += cycle.sweep_cpu_ns; }
  int64_t ns = 0;  // read after collect() has returned; a cycle's record has the sweep of the one before
};

// Spans in which every second object has died. The sweeper's own clock (one span of 16 is timed): a
// collection's wall time would hide it.
void sweep(benchmark::State& state) {
  SweepTime swept;
  HeapConfig c = config();
  c.gogc_percent = HeapConfig::kGogcOff;
  c.goal = GoalRule::kGogc;
  c.listener = &swept;
  Heap heap(c);
  MutatorScope scope(heap);
  constexpr uint64_t kObjects = 200'000;
  Root<Ptr<Plain<64>>> kept(make_array<Ptr<Plain<64>>>(kObjects));
  for (auto _ : state) {
    state.PauseTiming();
    for (uint64_t i = 0; i < kObjects; ++i) {
      Plain<64>* fresh = make<Plain<64>>();
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
  Heap heap(config());
  MutatorScope scope(heap);
  constexpr int kRegistrations = 1000;
  while (state.KeepRunningBatch(kRegistrations)) {
    for (int i = 0; i < kRegistrations; ++i) set_finalizer(make<Plain<16>>(), [](Plain<16>*) {});
    state.PauseTiming();
    heap.collect();
    heap.run_finalizers(10'000'000'000);
    state.ResumeTiming();
  }
}
BENCHMARK(finalizer)->Name("finalizer/register");

}  // namespace
}  // namespace keel
