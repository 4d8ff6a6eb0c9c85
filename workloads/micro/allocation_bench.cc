// What an allocation costs by size, layout and number of threads, garbage at once: Keel with a 64 MiB heap,
// sweeping and refills included, against Boehm's collector, calloc and free, and mimalloc's zalloc and free.
// A span refill by itself.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <optional>
#include <vector>

#include "allocator/cache/thread_cache.h"
#include "collector/api/heap.h"
#include "workloads/micro/other_collectors.h"
#ifdef KEEL_MICRO_BOEHM
#include "workloads/backends/boehm_backend.h"
#include "workloads/micro/bench_heap.h"
#endif

namespace keel {
namespace {

std::optional<Heap> g_heap;

void open_heap(const benchmark::State&) { g_heap.emplace(bench_heap()); }
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
void mimalloc_and_free(benchmark::State& state) {
  const micro::Mimalloc& mi = micro::mimalloc();
  for (auto _ : state) {
    for (int64_t i = 0; i < kBatch; ++i) {
      void* p = mi.zalloc(kBytes);
      benchmark::DoNotOptimize(p);
      mi.free(p);
    }
  }
  count(state);
}
#ifdef KEEL_MICRO_BOEHM
// Boehm sizes its heap by what lives: nothing here, so it collects every few MiB.
template <size_t kBytes, bool kPointers>
void boehm_allocates(benchmark::State& state) {
  for (auto _ : state) {
    micro::BoehmThread known;
    for (int64_t i = 0; i < kBatch; ++i) {
      void* p = kPointers ? GC_MALLOC(kBytes) : std::memset(GC_MALLOC_ATOMIC(kBytes), 0, kBytes);
      benchmark::DoNotOptimize(p);
    }
  }
  count(state);
}
#endif

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
    if (micro::mimalloc().present()) {
      benchmark::RegisterBenchmark(("allocate/mimalloc+free/" + size).c_str(), mimalloc_and_free<kBytes>)
          ->Threads(threads)
          ->UseRealTime();
    }
#ifdef KEEL_MICRO_BOEHM
    benchmark::RegisterBenchmark(("allocate/boehm/pointer-bearing/" + size).c_str(),
                                 boehm_allocates<kBytes, true>)
        ->Threads(threads)
        ->UseRealTime();
    benchmark::RegisterBenchmark(("allocate/boehm/pointer-free/" + size).c_str(),
                                 boehm_allocates<kBytes, false>)
        ->Threads(threads)
        ->UseRealTime();
#endif
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

// Nothing lives: a sweep is clearing bits, and every span's pages go back to be taken again, warm.
class NothingLives final : public SweepHook {
 public:
  explicit NothingLives(HeapMemory& memory) : memory_(memory) {}
  void sweep_span(Span& span, uint32_t cycle) override {
    clear_bits(memory_.mark_bits(memory_.page_of(span), cycle), layout_of(span.layout).slots);
    span.live_slots = 0;
    span.needs_zero = true;
    span.swept_cycle.store(cycle, std::memory_order_relaxed);
  }

 private:
  HeapMemory& memory_;
};

// A cache's used-up hole is exchanged for the next span's, all free: retire, take pages, set the span up,
// zero the hole. No list to sweep on the way; that is sweep/half-dead.
void refill(benchmark::State& state) {
  HeapMemory memory({uint64_t{1} << 36, 0, false, false});
  NothingLives hook(memory);
  memory.set_sweep_hook(&hook);
  const LayoutId layout = register_layout(static_cast<uint64_t>(state.range(0)), PointerMap{});
  const size_t slot_bytes = layout_of(layout).slot_bytes;
  constexpr int64_t kRefills = 1000;
  size_t taken_bytes = 0;
  while (state.KeepRunningBatch(kRefills)) {
    ThreadCache cache(memory);
    cache.set_cycle(memory.cycle());
    for (int64_t i = 0; i < kRefills; ++i) {
      taken_bytes += cache.refill(layout);
      while (cache.try_allocate(layout, slot_bytes) != nullptr) {
      }
    }
    state.PauseTiming();
    cache.flush();
    memory.finish_mark();
    while (memory.sweep_one(memory.cycle())) {
    }
    state.ResumeTiming();
  }
  state.counters["bytes/refill"] = static_cast<double>(taken_bytes) / static_cast<double>(state.iterations());
}
BENCHMARK(refill)->Name("refill/span")->ArgName("slot")->Arg(16)->Arg(256)->Arg(1024)->Arg(8192);

}  // namespace
}  // namespace keel
