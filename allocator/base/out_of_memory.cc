// The sentence and the end; see out_of_memory.h.
#include "allocator/base/out_of_memory.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace keel {
namespace {
// relaxed [crash.hook]: set before threads exist and read only when dying; no data hangs on it.
std::atomic<ExhaustionHook> g_hook{nullptr};
// relaxed [crash.hook]: only the exchange's one winner matters.
std::atomic<bool> g_ending{false};
}  // namespace

void set_exhaustion_hook(ExhaustionHook hook) noexcept { g_hook.store(hook, std::memory_order_relaxed); }

void give_up_without_memory(const char* what) noexcept {
  char thread[32] = "";
  pthread_getname_np(pthread_self(), thread, sizeof thread);
  char sentence[256];
  std::snprintf(sentence, sizeof sentence,
                "out of memory: the collector cannot get memory for its own tables (thread %s: %s)", thread,
                what);
  end_out_of_memory(sentence);
}

void end_out_of_memory(const char* sentence) noexcept {
  if (g_ending.exchange(true, std::memory_order_relaxed)) {
    for (;;) pause();  // the thread that was first takes the process
  }
  std::fprintf(stderr, "keel: %s\n", sentence);
  if (const ExhaustionHook hook = g_hook.load(std::memory_order_relaxed)) hook(sentence);
  std::_Exit(3);
}

}  // namespace keel
