// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CBenchmarkPeers.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int32_t peer_allowed_processors(int32_t *processors, int32_t capacity) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
  int32_t count = 0;
  for (int32_t cpu = 0; cpu < CPU_SETSIZE && count < capacity; cpu++) {
    if (CPU_ISSET(cpu, &set)) processors[count++] = cpu;
  }
  return count;
}

int peer_pin(int32_t processor) {
  if (processor < 0 || processor >= CPU_SETSIZE) return EINVAL;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  return sched_setaffinity(0, sizeof set, &set) == 0 ? 0 : errno;
}

struct start {
  void (*run)(void *);
  void *context;
};

static void *run_start(void *address) {
  struct start *start = address;
  start->run(start->context);
  return NULL;
}

int peer_run_on_thread(void (*run)(void *), void *context) {
  struct start start = {run, context};
  pthread_t thread;
  int error = pthread_create(&thread, NULL, run_start, &start);
  return error ? error : pthread_join(thread, NULL);
}

// MARK: A busy thread and a signal

static struct {
  pthread_t thread;
  int32_t processor;
  _Atomic pid_t id;
  _Atomic bool stops;
  _Atomic uint64_t seen;
  struct sigaction before;
} busy;

static void on_signal(int number) {
  (void)number;
  atomic_fetch_add_explicit(&busy.seen, 1, memory_order_release);
}

static void *stay_busy(void *context) {
  (void)context;
  peer_pin(busy.processor);
  atomic_store_explicit(&busy.id, (pid_t)syscall(SYS_gettid), memory_order_release);
  while (!atomic_load_explicit(&busy.stops, memory_order_acquire)) {}
  return NULL;
}

int peer_busy_thread_start(int32_t processor) {
  busy.processor = processor;
  busy.id = 0;
  busy.stops = false;
  busy.seen = 0;
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  if (sigaction(SIGUSR1, &action, &busy.before) != 0) return errno;
  int error = pthread_create(&busy.thread, NULL, stay_busy, NULL);
  if (error) return error;
  while (!atomic_load_explicit(&busy.id, memory_order_acquire)) sched_yield();
  return 0;
}

double peer_busy_thread_signal(uint64_t count) {
  pid_t process = getpid(), thread = busy.id;
  uint64_t cycles = 0;
  for (uint64_t i = 0; i < count; i++) {
    uint64_t before = atomic_load_explicit(&busy.seen, memory_order_acquire);
    uint64_t start = peer_ordered_cycles();
    syscall(SYS_tgkill, process, thread, SIGUSR1);
    cycles += peer_ordered_cycles() - start;
    while (atomic_load_explicit(&busy.seen, memory_order_acquire) == before) {}
  }
  return (double)cycles / (double)count;
}

void peer_busy_thread_stop(void) {
  atomic_store_explicit(&busy.stops, true, memory_order_release);
  pthread_join(busy.thread, NULL);
  sigaction(SIGUSR1, &busy.before, NULL);
}

// MARK: A parked thread and a wake

static struct {
  pthread_t thread;
  int32_t processor;
  _Atomic bool stops;
  _Atomic uint32_t word;
} parked;

static void *stay_parked(void *context) {
  (void)context;
  peer_pin(parked.processor);
  while (!atomic_load_explicit(&parked.stops, memory_order_acquire)) {
    syscall(SYS_futex, &parked.word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    atomic_store_explicit(&parked.word, 0, memory_order_release);
  }
  return NULL;
}

static uint64_t now_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void spin_nanoseconds(uint64_t nanoseconds) {
  uint64_t end = now_nanoseconds() + nanoseconds;
  while (now_nanoseconds() < end) {}
}

static long wake(void) {
  atomic_store_explicit(&parked.word, 1, memory_order_release);
  return syscall(SYS_futex, &parked.word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

int peer_parked_thread_start(int32_t processor) {
  parked.processor = processor;
  parked.stops = false;
  parked.word = 0;
  return pthread_create(&parked.thread, NULL, stay_parked, NULL);
}

double peer_parked_thread_wake(uint64_t count) {
  uint64_t cycles = 0, woken = 0;
  while (woken < count) {
    // Nobody can ask whether it sleeps; a wake that finds it awake says so and is not counted. The
    // pause spins: after a sleep of its own the sender would be measured with cold caches.
    spin_nanoseconds(30000);
    uint64_t start = peer_ordered_cycles();
    long result = wake();
    uint64_t end = peer_ordered_cycles();
    if (result != 1) continue;
    cycles += end - start;
    woken++;
  }
  return (double)cycles / (double)count;
}

void peer_parked_thread_stop(void) {
  atomic_store_explicit(&parked.stops, true, memory_order_release);
  wake();
  pthread_join(parked.thread, NULL);
}
