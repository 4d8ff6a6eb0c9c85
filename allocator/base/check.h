// Checks in two strengths, and the one way the collector gives up.
//
// KEEL_CHECK    always on: if it is wrong, memory is corrupt; dump and abort.
// KEEL_DCHECK   debug builds: preconditions of functions.
// Walks over whole structures are not here: `--debug walk` and `--debug checkmark` (collector/verify).
//
// A failed check never throws: an exception must not travel through the collector. It prints the text, calls
// the crash hook (the heap prints phase, cycle and span there), and aborts. Threads: any.
#pragma once

#include <cstdint>

namespace keel {

/// What a failing check says. `about`: the address it is about, 0 if none.
struct CheckFailure {
  const char* file;
  int line;
  const char* text;  // "check failed: expression: message"
  uintptr_t about;
};

/// Called once by a failing check, after its message, before abort(). Must not allocate on the heap.
using CrashHook = void (*)(const CheckFailure& failure);

/// Installs the hook; null removes it. Threads: while no check can fail concurrently (heap set-up,
/// tear-down).
void set_crash_hook(CrashHook hook) noexcept;

/// Prints `file:line: check failed: expression: message`, runs the crash hook, aborts. Does not return.
[[noreturn]] void check_failed(const char* file, int line, const char* expression, uintptr_t about,
                               const char* format, ...) __attribute__((format(printf, 5, 6), cold, noinline));
/// The same with a text of the caller's: prints `file:line: text`.
[[noreturn]] void give_up(const CheckFailure& failure) __attribute__((cold, noinline));

}  // namespace keel

/// KEEL_CHECK that names the address it is about: the crash report shows the span and object there.
#define KEEL_CHECK_ABOUT(address, condition, ...)                                   \
  do {                                                                              \
    if (!(condition)) [[unlikely]]                                                  \
      ::keel::check_failed(__FILE__, __LINE__, #condition, (address), __VA_ARGS__); \
  } while (false)
#define KEEL_CHECK(condition, ...) KEEL_CHECK_ABOUT(0, condition, __VA_ARGS__)

#ifdef NDEBUG
#define KEEL_DEBUG_CHECKS false
#else
#define KEEL_DEBUG_CHECKS true
#endif

#define KEEL_DCHECK(condition, ...)                                      \
  do {                                                                   \
    if constexpr (KEEL_DEBUG_CHECKS) KEEL_CHECK(condition, __VA_ARGS__); \
  } while (false)
