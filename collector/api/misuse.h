// Mistakes of the program, each named in one sentence with the place that made it.
//
// What a user of the library can get wrong ends in misuse(): "file:line: sentence", the crash report, abort.
// Places are taken by default arguments where a call can have one. An assignment to a Ptr cannot:
// debug builds check it and show the nearest callers, with file and line.
#pragma once

#include <cstdint>

#include "allocator/base/check.h"
#include "allocator/base/source_place.h"

namespace keel {

/// Prints `file:line: message`, runs the crash hook with `about`, aborts.
[[noreturn]] void misuse(SourcePlace where, uintptr_t about, const char* format, ...)
    __attribute__((format(printf, 3, 4), cold, noinline));

namespace detail {
/// Fatal if `target` is on the calling thread's stack, or the thread is not attached or in a blocking region.
void check_pointer_store(const void* target);
/// Fatal if `target` is where the heap has no object: a Root or a Local is to hold it.
void check_kept_pointer(const void* target, SourcePlace where);
/// Fatal if the calling thread is in a blocking region: null is stored.
void check_null_store();
/// "what: thread 'name' is in a blocking region, ..."; without a line in `where` the callers are shown.
[[noreturn]] void misuse_in_region(const char* what, const char* thread, SourcePlace where)
    __attribute__((cold, noinline));
}  // namespace detail

/// For every pointer stored in the heap; nothing in release builds.
inline void check_stored_pointer(const void* target) {
  if constexpr (KEEL_DEBUG_CHECKS)
    target != nullptr ? detail::check_pointer_store(target) : detail::check_null_store();
}

/// A place in debug builds, nothing in release builds: for what is made too often to pay for it.
#ifdef NDEBUG
struct DebugPlace {
  static constexpr DebugPlace here() { return {}; }
  [[nodiscard]] static SourcePlace place() { return {"(a debug build says where)", 0}; }
};
#else
struct DebugPlace {
  SourcePlace where;
  static constexpr DebugPlace here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {{file, line}};
  }
  [[nodiscard]] SourcePlace place() const { return where; }
};
#endif

}  // namespace keel
