// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CBenchmarkPeers.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { most_threads = 64 };

struct reading {
  pthread_barrier_t start;
  void (*run)(void *, uint64_t);
  void *context;
  uint64_t count;
  _Atomic uint64_t nanoseconds;
  _Atomic int32_t started;
};

static uint64_t thread_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void *reader(void *address) {
  struct reading *reading = address;
  // They inherit one processor; readers that meet have to be on several.
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  int32_t number = atomic_fetch_add(&reading->started, 1);
  if (processors > 1) (void)peer_pin((int32_t)(number % processors));
  reading->run(reading->context, 16);  // whatever is made at the first use
  pthread_barrier_wait(&reading->start);
  uint64_t begin = thread_nanoseconds();
  reading->run(reading->context, reading->count);
  atomic_fetch_add(&reading->nanoseconds, thread_nanoseconds() - begin);
  return NULL;
}

double peer_readers(
    int32_t threads, uint64_t count, void (*run)(void *, uint64_t), void *context) {
  if (threads < 1 || threads > most_threads || count == 0) return NAN;
  struct reading reading = {.run = run, .context = context, .count = count};
  pthread_barrier_init(&reading.start, NULL, (unsigned)threads);
  pthread_t handles[most_threads];
  for (int32_t index = 0; index < threads; index++)
    if (pthread_create(&handles[index], NULL, reader, &reading) != 0) abort();
  for (int32_t index = 0; index < threads; index++) pthread_join(handles[index], NULL);
  pthread_barrier_destroy(&reading.start);
  return (double)atomic_load(&reading.nanoseconds) / (double)count / threads;
}

static struct {
  _Alignas(128) pthread_rwlock_t lock;
  _Alignas(128) _Atomic uint64_t references;
  _Alignas(128) _Atomic uint64_t value;
} shared = {.lock = PTHREAD_RWLOCK_INITIALIZER};

static inline void read_value(void) {
  (void)atomic_load_explicit(&shared.value, memory_order_relaxed);
  __asm__ volatile("" ::: "memory");
}

void peer_read_locked(void *context, uint64_t count) {
  (void)context;
  for (uint64_t index = 0; index < count; index++) {
    pthread_rwlock_rdlock(&shared.lock);
    read_value();
    pthread_rwlock_unlock(&shared.lock);
  }
}

void peer_read_counted(void *context, uint64_t count) {
  (void)context;
  for (uint64_t index = 0; index < count; index++) {
    atomic_fetch_add_explicit(&shared.references, 1, memory_order_acquire);
    read_value();
    atomic_fetch_sub_explicit(&shared.references, 1, memory_order_release);
  }
}

void peer_read_plainly(void *context, uint64_t count) {
  (void)context;
  for (uint64_t index = 0; index < count; index++) read_value();
}
