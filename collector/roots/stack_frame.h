// Where a stopped thread's roots are: registers spilled to its stack, and the stack from there to its base.
#pragma once

#include <cstdint>

namespace keel {

/// What runs above spilled registers: the collector scans from `sp` up.
using SpilledCall = void (*)(void* a, void* b, void* c, uintptr_t sp);

extern "C" {
/// Pushes the callee-saved registers and calls call(a, b, c, sp), where `sp` is the address of the last of
/// them. Everything a caller keeps alive across the call lies there or in its own frame, above; below there
/// is nothing of the callers, and nothing at `sp` or above is left over from an older frame. In assembly,
/// because a compiler's frame has holes with old words in them, and AddressSanitizer's lies elsewhere.
/// Exceptions pass through.
void keel_call_with_spilled_registers(SpilledCall call, void* a, void* b, void* c);
}

/// Bytes of registers at `sp`, with what aligns them.
#if defined(__x86_64__)
inline constexpr uintptr_t kSpilledBytes = 7 * 8;
#elif defined(__aarch64__)
inline constexpr uintptr_t kSpilledBytes = 12 * 8;
#else
#error "keel_call_with_spilled_registers: name the callee-saved registers of this architecture"
#endif

/// The stack pointer: every live word of this frame and of its callers lies at or above it.
__attribute__((always_inline)) inline uintptr_t stack_pointer() {
  uintptr_t sp = 0;
#if defined(__x86_64__)
  asm volatile("movq %%rsp, %0" : "=r"(sp));
#else
  asm volatile("mov %0, sp" : "=r"(sp));
#endif
  return sp;
}

/// A word of some thread's stack: exempt from sanitizers, as it may lie in a red zone.
__attribute__((noinline, no_sanitize("address", "thread"))) inline uintptr_t read_stack_word(
    uintptr_t address) {
  return *reinterpret_cast<const volatile uintptr_t*>(address);
}

}  // namespace keel
