// SPDX-License-Identifier: Apache-2.0
//
// Switching between stacks of one thread, for the model checker alone: Swift cannot, and ucontext
// makes two system calls a switch.

#ifndef CFIBER_H
#define CFIBER_H

/// A stack pointer at which a fiber stands.
typedef void *cfiber_position;

/// Prepares a stack, given by its highest address, so that the first switch to the returned position
/// calls `run(context)`, which must not return.
cfiber_position _Nullable cfiber_prepare(
    void *_Nonnull stack_top, void (*_Nonnull run)(void *_Nullable), void *_Nullable context);

/// Saves the callee-saved registers, remembers the position, and goes on at the other one.
void cfiber_switch(cfiber_position _Nullable *_Nonnull from, cfiber_position _Nullable to);

#endif
