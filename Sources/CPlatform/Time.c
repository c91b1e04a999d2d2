// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "CPlatform.h"

#include <pthread.h>
#include <time.h>

uint64_t cpi_monotonic_nanoseconds(void) {
  struct timespec now;
  // Every Linux has this clock, and answers without a system call that a filter could refuse.
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t cpi_thread_nanoseconds(void) {
  struct timespec used;
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) != 0) return 0;
  return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

static uint64_t cycles_per_second;
static pthread_once_t cycles_once = PTHREAD_ONCE_INIT;

#if !defined(__aarch64__)
// Both clocks at one moment: the tightest of several looks. A preemption between the clocks makes a
// look wide, and the next one is taken instead.
struct moment {
  uint64_t cycles, nanoseconds;
};

static struct moment look_at_clocks(void) {
  struct moment best = {0, 0};
  uint64_t width = UINT64_MAX;
  for (int look = 0; look < 32; look++) {
    uint64_t before = cpi_cycles(), now = cpi_monotonic_nanoseconds(), after = cpi_cycles();
    if (after - before >= width) continue;
    width = after - before;
    best = (struct moment){before + width / 2, now};
  }
  return best;
}
#endif

static void measure_cycles(void) {
#if defined(__aarch64__)
  __asm__ volatile("mrs %0, cntfrq_el0" : "=r"(cycles_per_second));
#else
  struct moment first = look_at_clocks(), last;
  do last = look_at_clocks();
  while (last.nanoseconds - first.nanoseconds < 10000000u);
  cycles_per_second = (uint64_t)((double)(last.cycles - first.cycles) * 1e9 /
                                 (double)(last.nanoseconds - first.nanoseconds));
#endif
}

uint64_t cpi_cycles_per_second(void) {
  pthread_once(&cycles_once, measure_cycles);
  return cycles_per_second;
}

void cpi_sleep_nanoseconds(uint64_t nanoseconds) {
  struct timespec duration = {
      .tv_sec = (time_t)(nanoseconds / 1000000000u), .tv_nsec = (long)(nanoseconds % 1000000000u)};
  nanosleep(&duration, NULL);  // who calls looks at a clock or a word afterwards
}

void cpi_yield(void) { sched_yield(); }  // always succeeds
