// What a pointer store costs: idle, while marking through the function chosen once per heap, and while
// marking with the kind inlined, beside a raw store. Flushed buffers go to a sink that drops them: marking is
// not the store's cost.
#include <benchmark/benchmark.h>

#include <array>

#include "barriers/api/barrier_list.h"

namespace keel {
namespace {

class DroppingSink final : public GreySink {
 public:
  void shade(const uintptr_t* pointers, size_t count) override { benchmark::DoNotOptimize(pointers + count); }
};

// Slots as a program writes them: one after another, in the first-level cache.
constexpr size_t kSlots = 512;

class Stores {
 public:
  explicit Stores(const char* kind) {
    t_barrier = BarrierState{};
    t_barrier.use(buffer_);
    t_barrier.sink = &sink_;
    t_barrier.slow = find_barrier(kind)->slow_path;
    for (Slot& slot : slots_) slot.initialize(8);
  }
  ~Stores() { t_barrier = BarrierState{}; }
  Slot& next() { return slots_[at_++ % kSlots]; }

 private:
  DroppingSink sink_;
  BarrierState::Buffer buffer_;
  std::array<Slot, kSlots> slots_;
  size_t at_ = 0;
};

void raw_store(benchmark::State& state) {
  Stores stores("hybrid");
  for (auto _ : state) {
    stores.next().store_release(16);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(raw_store)->Name("store/raw");

void store(benchmark::State& state, const char* kind, bool marking) {
  Stores stores(kind);
  t_barrier.marking = marking;
  for (auto _ : state) {
    write_slot(stores.next(), 16);
    benchmark::ClobberMemory();
  }
}
BENCHMARK_CAPTURE(store, idle, "hybrid", false)->Name("store/idle");
BENCHMARK_CAPTURE(store, hybrid, "hybrid", true)->Name("store/marking/hybrid");
BENCHMARK_CAPTURE(store, hybrid_conditional, "hybrid-conditional", true)
    ->Name("store/marking/hybrid-conditional");
BENCHMARK_CAPTURE(store, dijkstra, "dijkstra", true)->Name("store/marking/dijkstra");
BENCHMARK_CAPTURE(store, yuasa, "yuasa", true)->Name("store/marking/yuasa");

template <typename Kind>
void inlined_store(benchmark::State& state) {
  Stores stores("hybrid");
  t_barrier.marking = true;
  for (auto _ : state) {
    Slot& slot = stores.next();
    BarrierState& barrier = t_barrier;
    if (barrier.marking) [[unlikely]]
      barrier_slow_path<Kind>(barrier, slot, 16);
    slot.store_release(16);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(inlined_store<HybridBarrier>)->Name("store/inlined/hybrid");
BENCHMARK(inlined_store<HybridConditionalBarrier>)->Name("store/inlined/hybrid-conditional");
BENCHMARK(inlined_store<DijkstraBarrier>)->Name("store/inlined/dijkstra");
BENCHMARK(inlined_store<YuasaBarrier>)->Name("store/inlined/yuasa");

}  // namespace
}  // namespace keel
