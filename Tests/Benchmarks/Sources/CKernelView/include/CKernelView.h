// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdint.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

/// The counter that the kernel's trace has in its clock `x86-tsc`; 0 on other processors.
static inline uint64_t cycle_counter(void) {
#if defined(__x86_64__)
  return __rdtsc();
#else
  return 0;
#endif
}

/// The calling thread's number in the kernel's trace.
static inline int32_t kernel_thread(void) { return (int32_t)syscall(SYS_gettid); }

/// Makes the calling thread act as another user, and as before with 0: this thread alone, unlike the C library's function,
/// which signals the others. Returns 0, or -1 with an error number.
static inline int act_as_user(uint32_t user) { return (int)syscall(SYS_setresuid, -1, user, -1); }

/// Calls a function on every processor that runs another thread of the process.
static inline void call_function_elsewhere(void) {
  syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
  syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

/// A signal that no library has taken: `SIGRTMIN` is a macro.
static inline int32_t free_signal(void) { return SIGRTMIN + 5; }
