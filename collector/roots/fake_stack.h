// AddressSanitizer's fake frames: with detect_stack_use_after_return, locals live outside the stack, in
// frames that a stack word leads to. Conservative scanning must follow them (rule 8). Nothing in other
// builds.
#pragma once

#include <cstdint>

#include "collector/mark/marker.h"

#if defined(__SANITIZE_ADDRESS__)
#define KEEL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KEEL_ASAN 1
#endif
#endif

#ifdef KEEL_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace keel {

#ifdef KEEL_ASAN

inline void* current_fake_stack() { return __asan_get_current_fake_stack(); }

/// Scans the fake frames that words of [begin, end) lead to.
__attribute__((no_sanitize("address"))) inline void scan_fake_frames(Marker& marker, void* fake_stack,
                                                                     const uintptr_t* begin,
                                                                     const uintptr_t* end) {
  if (fake_stack == nullptr) return;
  for (const uintptr_t* word = begin; word < end; ++word) {
    void* frame_begin = nullptr;
    void* frame_end = nullptr;
    if (__asan_addr_is_in_fake_stack(fake_stack, reinterpret_cast<void*>(*word), &frame_begin, &frame_end) ==
        nullptr) {
      continue;
    }
    marker.scan_stack_words(static_cast<const uintptr_t*>(frame_begin),
                            static_cast<const uintptr_t*>(frame_end));
  }
}

#else

inline void* current_fake_stack() { return nullptr; }
inline void scan_fake_frames(Marker&, void*, const uintptr_t*, const uintptr_t*) {}

#endif

}  // namespace keel
