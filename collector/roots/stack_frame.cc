// Registers to the stack, in the words of each architecture; see stack_frame.h.
#include "collector/roots/stack_frame.h"

#if defined(__x86_64__)
// rdi call, rsi a, rdx b, rcx c. On entry the stack is 8 off a multiple of 16: six registers and a zero align
// it.
asm(R"(
  .pushsection .text
  .globl keel_call_with_spilled_registers
  .hidden keel_call_with_spilled_registers
  .type keel_call_with_spilled_registers, @function
keel_call_with_spilled_registers:
  .cfi_startproc
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  pushq $0
  .cfi_adjust_cfa_offset 56
  movq %rdi, %rax
  movq %rsi, %rdi
  movq %rdx, %rsi
  movq %rcx, %rdx
  movq %rsp, %rcx
  call *%rax
  addq $56, %rsp
  .cfi_adjust_cfa_offset -56
  ret
  .cfi_endproc
  .size keel_call_with_spilled_registers, . - keel_call_with_spilled_registers
  .popsection
)");
#elif defined(__aarch64__)
// x0 call, x1 a, x2 b, x3 c.
asm(R"(
  .pushsection .text
  .globl keel_call_with_spilled_registers
  .hidden keel_call_with_spilled_registers
  .type keel_call_with_spilled_registers, %function
keel_call_with_spilled_registers:
  .cfi_startproc
  stp x29, x30, [sp, #-96]!
  .cfi_def_cfa_offset 96
  .cfi_offset 29, -96
  .cfi_offset 30, -88
  mov x29, sp
  stp x19, x20, [sp, #16]
  stp x21, x22, [sp, #32]
  stp x23, x24, [sp, #48]
  stp x25, x26, [sp, #64]
  stp x27, x28, [sp, #80]
  mov x9, x0
  mov x0, x1
  mov x1, x2
  mov x2, x3
  mov x3, sp
  blr x9
  ldp x29, x30, [sp], #96
  .cfi_restore 29
  .cfi_restore 30
  .cfi_def_cfa_offset 0
  ret
  .cfi_endproc
  .size keel_call_with_spilled_registers, . - keel_call_with_spilled_registers
  .popsection
)");
#endif
