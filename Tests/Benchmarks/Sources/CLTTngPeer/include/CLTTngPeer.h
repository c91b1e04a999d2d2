// SPDX-License-Identifier: Apache-2.0

#ifndef CLTTNGPEER_H
#define CLTTNGPEER_H

#include <stdbool.h>
#include <stdint.h>

/// What a turn of a bare loop does: it has its number, and no more.
static inline void lttng_peer_turn(uint64_t number) { __asm__ volatile("" : : "r"(number)); }

/// The cycle counter, after everything before it has executed and before anything after it starts.
static inline uint64_t lttng_peer_cycles(void) {
#if defined(__x86_64__)
  __builtin_ia32_lfence();
  uint64_t value = __builtin_ia32_rdtsc();
  __builtin_ia32_lfence();
  return value;
#else
  uint64_t value;
  __asm__ volatile("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(value)::"memory");
  return value;
#endif
}

/// Whether a tracing session has switched the tracepoint on.
bool lttng_peer_is_on(void);

/// A tracepoint of two 32-bit fields in a loop, `count` times.
void lttng_peer_records(uint64_t count);

#endif
