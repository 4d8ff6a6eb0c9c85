// Prints a failed check and aborts; see check.h.
#include "allocator/base/check.h"

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace keel {
namespace {
// relaxed [crash.hook]: set before threads exist and read only when dying; no data hangs on it.
std::atomic<CrashHook> g_hook{nullptr};
std::atomic<bool> g_dying{false};
}  // namespace

void set_crash_hook(CrashHook hook) noexcept { g_hook.store(hook, std::memory_order_relaxed); }

void check_failed(const char* file, int line, const char* expression, const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  std::fprintf(stderr, "%s:%d: check failed: %s: %s\n", file, line, expression, text);
  // relaxed [crash.hook]: only the first failing thread dumps; a second one goes straight to abort().
  if (!g_dying.exchange(true, std::memory_order_relaxed)) {
    if (CrashHook hook = g_hook.load(std::memory_order_relaxed)) hook();
  }
  std::fflush(stderr);
  std::abort();
}

}  // namespace keel
