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
// Threads that may be inside the hook. seq_cst [race.hook]: a thread counts itself and then reads the hook,
// who removes the hook clears it and then reads the count, so at least one of them sees the other.
std::atomic<uint32_t> g_inside{0};
// relaxed [race.yield]: a late or early yield changes nothing but timing.
std::atomic<uint32_t> g_one_in{0};
}  // namespace

void set_race_hook_for_testing(RaceHook hook, void* context) {
  if (hook == nullptr) {
    g_hook.store(nullptr, std::memory_order_seq_cst);
    // The context is the caller's to destroy when this returns.
    while (g_inside.load(std::memory_order_seq_cst) != 0) sched_yield();
    return;
  }
  g_context.store(context, std::memory_order_relaxed);
  g_hook.store(hook, std::memory_order_release);
}

void set_race_yields(uint32_t one_in) { g_one_in.store(one_in, std::memory_order_relaxed); }

void race_point_slow(RacePoint point) {
  if (g_hook.load(std::memory_order_relaxed) != nullptr) {
    g_inside.fetch_add(1, std::memory_order_seq_cst);
    if (RaceHook hook = g_hook.load(std::memory_order_seq_cst))
      hook(point, g_context.load(std::memory_order_relaxed));
    // release [race.hook]: what the hook did to its context comes before the context goes.
    g_inside.fetch_sub(1, std::memory_order_release);
  }
  if (const uint32_t one_in = g_one_in.load(std::memory_order_relaxed); one_in != 0) {
    // relaxed [race.yield]: any number that differs between threads will do.
    static std::atomic<uint64_t> next_seed{1};
    static thread_local Rng rng(next_seed.fetch_add(1, std::memory_order_relaxed));
    if (rng.below(one_in) == 0) sched_yield();
  }
}

}  // namespace keel
