// Hooks behind the race points; see race_points.h.
#include "allocator/base/race_points.h"

#include <sched.h>

#include <atomic>

#include "allocator/base/rng.h"

namespace keel {
namespace {
// [race.hook]: the context is stored first and the hook released after it; the acquire in race_point_slow()
// makes the context visible with the hook.
std::atomic<RaceHook> g_hook{nullptr};
std::atomic<void*> g_context{nullptr};
// relaxed [race.yield]: a late or early yield changes nothing but timing.
std::atomic<uint32_t> g_one_in{0};
}  // namespace

void set_race_hook_for_testing(RaceHook hook, void* context) {
  g_context.store(context, std::memory_order_relaxed);
  g_hook.store(hook, std::memory_order_release);
}

void set_race_yields(uint32_t one_in) { g_one_in.store(one_in, std::memory_order_relaxed); }

void race_point_slow(RacePoint point) {
  if (RaceHook hook = g_hook.load(std::memory_order_acquire))
    hook(point, g_context.load(std::memory_order_relaxed));
  if (const uint32_t one_in = g_one_in.load(std::memory_order_relaxed); one_in != 0) {
    // relaxed [race.yield]: any number that differs between threads will do.
    static std::atomic<uint64_t> next_seed{1};
    static thread_local Rng rng(next_seed.fetch_add(1, std::memory_order_relaxed));
    if (rng.below(one_in) == 0) sched_yield();
  }
}

}  // namespace keel
