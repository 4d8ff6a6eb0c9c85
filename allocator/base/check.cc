// Prints a failed check and aborts; see check.h.
#include "allocator/base/check.h"

#include <algorithm>
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

void check_failed(const char* file, int line, const char* expression, uintptr_t about, const char* format,
                  ...) {
  char text[1024];
  const int prefix = std::snprintf(text, sizeof text, "check failed: %s: ", expression);
  const size_t used = std::min(static_cast<size_t>(std::max(prefix, 0)), sizeof text - 1);
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text + used, sizeof text - used, format, arguments);
  va_end(arguments);
  give_up({file, line, text, about});
}

void give_up(const CheckFailure& failure) {
  std::fprintf(stderr, "%s:%d: %s\n", failure.file, failure.line, failure.text);
  // relaxed [crash.hook]: only the first failing thread dumps; a second one goes straight to abort().
  if (!g_dying.exchange(true, std::memory_order_relaxed)) {
    if (CrashHook hook = g_hook.load(std::memory_order_relaxed)) hook(failure);
  }
  std::fflush(stderr);
  std::abort();
}

}  // namespace keel
