// SPDX-License-Identifier: Apache-2.0

#include "CFiber.h"

#include <stdint.h>

#if defined(__x86_64__)

__asm__(
    ".text\n"
    ".globl cfiber_switch\n"
    ".type cfiber_switch,@function\n"
    "cfiber_switch:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n"
    "  movq %rsi, %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
    "  ret\n"
    ".size cfiber_switch,.-cfiber_switch\n"
    ".globl cfiber_begin\n"
    "cfiber_begin:\n"
    "  movq %r12, %rdi\n"
    "  callq *%rbx\n"
    "  ud2\n"
    ".section .note.GNU-stack,\"\",@progbits\n");

void cfiber_begin(void);

cfiber_position cfiber_prepare(void *stack_top, void (*run)(void *), void *context) {
  uint64_t *stack = (uint64_t *)((uintptr_t)stack_top & ~(uintptr_t)15);
  *--stack = 0;  // two words, so that the stack is aligned before the call
  *--stack = 0;
  *--stack = (uint64_t)(uintptr_t)cfiber_begin;
  *--stack = 0;                              // rbp
  *--stack = (uint64_t)(uintptr_t)run;       // rbx
  *--stack = (uint64_t)(uintptr_t)context;   // r12
  *--stack = 0;                              // r13
  *--stack = 0;                              // r14
  *--stack = 0;                              // r15
  return stack;
}

#elif defined(__aarch64__)

__asm__(
    ".text\n"
    ".globl cfiber_switch\n"
    ".type cfiber_switch,%function\n"
    "cfiber_switch:\n"
    "  sub sp, sp, #160\n"
    "  stp x19, x20, [sp]\n  stp x21, x22, [sp, #16]\n  stp x23, x24, [sp, #32]\n"
    "  stp x25, x26, [sp, #48]\n  stp x27, x28, [sp, #64]\n  stp x29, x30, [sp, #80]\n"
    "  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n"
    "  stp d12, d13, [sp, #128]\n  stp d14, d15, [sp, #144]\n"
    "  mov x9, sp\n"
    "  str x9, [x0]\n"
    "  mov sp, x1\n"
    "  ldp x19, x20, [sp]\n  ldp x21, x22, [sp, #16]\n  ldp x23, x24, [sp, #32]\n"
    "  ldp x25, x26, [sp, #48]\n  ldp x27, x28, [sp, #64]\n  ldp x29, x30, [sp, #80]\n"
    "  ldp d8, d9, [sp, #96]\n  ldp d10, d11, [sp, #112]\n"
    "  ldp d12, d13, [sp, #128]\n  ldp d14, d15, [sp, #144]\n"
    "  add sp, sp, #160\n"
    "  ret\n"
    ".globl cfiber_begin\n"
    "cfiber_begin:\n"
    "  mov x0, x20\n"
    "  blr x19\n"
    "  brk #1\n"
    ".section .note.GNU-stack,\"\",%progbits\n");

void cfiber_begin(void);

cfiber_position cfiber_prepare(void *stack_top, void (*run)(void *), void *context) {
  uint64_t *stack = (uint64_t *)(((uintptr_t)stack_top & ~(uintptr_t)15) - 160);
  for (int i = 0; i < 20; i++) stack[i] = 0;
  stack[0] = (uint64_t)(uintptr_t)run;      // x19
  stack[1] = (uint64_t)(uintptr_t)context;  // x20
  stack[11] = (uint64_t)(uintptr_t)cfiber_begin;  // x30
  return stack;
}

#else
#error "the model checker knows no way to switch stacks on this architecture"
#endif
