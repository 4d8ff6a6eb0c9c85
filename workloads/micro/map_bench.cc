// A lookup in a map of a million entries, in random order: Keel's two maps against std::unordered_map on
// malloc.
#include <benchmark/benchmark.h>

#include <unordered_map>
#include <vector>

#include "allocator/base/rng.h"
#include "workloads/backends/keel_backend.h"
#include "workloads/maps/go_map.h"
#include "workloads/maps/swiss_map.h"

namespace keel {
namespace {

using B = KeelBackend<true>;

std::vector<uint64_t> shuffled_keys(uint64_t count) {
  std::vector<uint64_t> keys(count);
  for (uint64_t i = 0; i < count; ++i) keys[i] = i * map_hash::kOdd1;
  Rng rng(1);
  for (uint64_t i = count; i > 1; --i) std::swap(keys[i - 1], keys[rng.below(i)]);
  return keys;
}

template <typename Map>
void lookup(benchmark::State& state) {
  HeapConfig config;
  config.roots = Roots::kPrecise;
  Heap heap(config);
  MutatorScope scope(heap);
  const std::vector<uint64_t> keys = shuffled_keys(static_cast<uint64_t>(state.range(0)));
  Root<typename Map::Header> map(Map::make(0, 1));
  for (const uint64_t key : keys) Map::assign(map.get(), key) = key;
  size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(Map::find(map.get(), keys[at]));
    if (++at == keys.size()) at = 0;
  }
  map.reset();
}
void lookup_unordered(benchmark::State& state) {
  const std::vector<uint64_t> keys = shuffled_keys(static_cast<uint64_t>(state.range(0)));
  std::unordered_map<uint64_t, uint64_t> map;
  for (const uint64_t key : keys) map[key] = key;
  size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(map.find(keys[at]));
    if (++at == keys.size()) at = 0;
  }
}
BENCHMARK(lookup<GoMap<B, uint64_t, uint64_t>>)->Name("map/lookup/go")->Arg(1000)->Arg(1'000'000);
BENCHMARK(lookup<SwissMap<B, uint64_t, uint64_t>>)->Name("map/lookup/swiss")->Arg(1000)->Arg(1'000'000);
BENCHMARK(lookup_unordered)->Name("map/lookup/std::unordered_map")->Arg(1000)->Arg(1'000'000);

}  // namespace
}  // namespace keel
