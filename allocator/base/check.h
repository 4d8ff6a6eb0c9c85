// Checks in two strengths, and the one way the collector gives up.
//
// KEEL_CHECK    always on: if it is wrong, memory is corrupt; dump and abort.
// KEEL_DCHECK   debug builds: preconditions of functions.
// Walks over whole structures are not here: `--debug walk` and `--debug checkmark` (collector/verify).
//
// A failed check never throws: an exception must not travel through the collector. It prints the text, calls
// the crash hook (the heap prints phase, cycle and span there), and aborts. Threads: any.
#pragma once

namespace keel {

/// Called once by a failing check, after its message, before abort(). Must not allocate on the heap.
using CrashHook = void (*)();

/// Installs the hook; null removes it. Threads: while no check can fail concurrently (heap set-up,
/// tear-down).
void set_crash_hook(CrashHook hook) noexcept;

/// Prints `file:line: check failed: expression: message`, runs the crash hook, aborts. Does not return.
[[noreturn]] void check_failed(const char* file, int line, const char* expression, const char* format, ...)
    __attribute__((format(printf, 4, 5), cold, noinline));

}  // namespace keel

#define KEEL_CHECK(condition, ...)                                       \
  do {                                                                   \
    if (!(condition)) [[unlikely]]                                       \
      ::keel::check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__); \
  } while (false)

#ifdef NDEBUG
#define KEEL_DEBUG_CHECKS false
#else
#define KEEL_DEBUG_CHECKS true
#endif

#define KEEL_DCHECK(condition, ...)                                      \
  do {                                                                   \
    if constexpr (KEEL_DEBUG_CHECKS) KEEL_CHECK(condition, __VA_ARGS__); \
  } while (false)
