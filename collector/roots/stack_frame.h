// Where a stopped thread's roots are: registers spilled to its stack, and the stack from there to its base.
#pragma once

#include <cstdint>

#include "allocator/base/defects.h"

namespace keel {

/// Callee-saved registers, as they are in the frame that owns this object. Everything else a caller keeps
/// alive across a call lies in its own frame, above.
struct SpilledRegisters {
  uintptr_t values[16];
};

/// Must be expanded in the frame whose callers' values are wanted.
__attribute__((always_inline)) inline void spill_registers(SpilledRegisters& out) {
  if (defect(Defect::kRegistersNotSpilled)) return;
#if defined(__x86_64__)
  asm volatile(
      "movq %%rbx, 0(%0)\n\tmovq %%rbp, 8(%0)\n\tmovq %%r12, 16(%0)\n\tmovq %%r13, 24(%0)\n\t"
      "movq %%r14, 32(%0)\n\tmovq %%r15, 40(%0)"
      :
      : "r"(out.values)
      : "memory");
#elif defined(__aarch64__)
  asm volatile(
      "stp x19, x20, [%0]\n\tstp x21, x22, [%0, 16]\n\tstp x23, x24, [%0, 32]\n\tstp x25, x26, [%0, 48]\n\t"
      "stp x27, x28, [%0, 64]\n\tstr x29, [%0, 80]"
      :
      : "r"(out.values)
      : "memory");
#else
#error "spill_registers: name the callee-saved registers of this architecture"
#endif
}

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
