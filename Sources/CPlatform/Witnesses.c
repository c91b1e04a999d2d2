// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "CPlatform.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/resource.h>
#include <time.h>

#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#else
#define RSEQ_SIG 0
static const ptrdiff_t __rseq_offset = 0;
static const unsigned __rseq_size = 0;
#endif

// MARK: Preemption

// A thread may announce a sequence of instructions, and the kernel takes the announcement back whenever it has
// preempted, moved or signalled the thread elsewhere: once it runs again, it may be on another processor. This one is
// never entered: it covers data. The kernel checks that what is before its end for emergencies has the signature.
struct sequence {
  uint32_t version, flags;
  uint64_t start, length, abort;
};
static const struct {
  uint32_t signature, landing;
} emergency = {.signature = RSEQ_SIG};
static alignas(32) struct sequence never_entered;

// The third and fourth word of the area are the announcement; glibc's structure has a union there in some versions.
static _Atomic uint64_t *announcement(void) {
  return (_Atomic uint64_t *)((char *)__builtin_thread_pointer() + __rseq_offset + 8);
}

static void describe(void) {
  never_entered.start = (uintptr_t)&never_entered;
  never_entered.length = 1;
  never_entered.abort = (uintptr_t)&emergency.landing;
}

bool cpi_watch_preemption(void) {
  // An area that is smaller than its first version belongs to nobody.
  if (__rseq_size < 16) return false;
  static _Atomic int is_described;
  if (!atomic_load_explicit(&is_described, memory_order_acquire)) {
    // The kernel reads what was announced for as long as the thread lives. Whoever else is here writes the same.
    cpi_stay_loaded();
    describe();
    atomic_store_explicit(&is_described, 1, memory_order_release);
  }
  // Relaxed: the kernel reads it on this thread.
  atomic_store_explicit(announcement(), (uintptr_t)&never_entered, memory_order_relaxed);
  return true;
}

bool cpi_was_preempted(void) {
  return __rseq_size >= 16 && atomic_load_explicit(announcement(), memory_order_relaxed) == 0;
}

// MARK: What the kernel counts

bool cpi_thread_usage(struct cpi_usage *out) {
  struct rusage usage;
  if (getrusage(RUSAGE_THREAD, &usage) != 0) return false;
  *out = (struct cpi_usage){
      .preemptions = (uint64_t)usage.ru_nivcsw,
      .sleeps = (uint64_t)usage.ru_nvcsw,
      .faults = (uint64_t)usage.ru_minflt + (uint64_t)usage.ru_majflt,
  };
  return true;
}

// MARK: The tick

uint64_t cpi_tick_nanoseconds(void) {
  // The clock that moves with the tick has its length as resolution.
  struct timespec length;
  if (clock_getres(CLOCK_MONOTONIC_COARSE, &length) != 0) return 0;
  return (uint64_t)length.tv_sec * 1000000000u + (uint64_t)length.tv_nsec;
}
