// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "CPlatform.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int32_t cpi_thread_id(void) { return (int32_t)syscall(SYS_gettid); }

const char *cpi_known_thread_name(void) {
  if (cpi_this_thread.name[0] == 0) prctl(PR_GET_NAME, cpi_this_thread.name);
  return cpi_this_thread.name;
}

int cpi_thread_name(int32_t id, uint8_t *out, int capacity) {
  char path[48];
  snprintf(path, sizeof path, "/proc/self/task/%d/comm", id);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t count = read(file, out, (size_t)capacity);
  close(file);
  while (count > 0 && out[count - 1] == '\n') count--;
  return count > 0 ? (int)count : 0;
}

int cpi_set_thread_name(const char *name) {
  char cut[16];
  strncpy(cut, name, sizeof cut - 1);
  cut[sizeof cut - 1] = 0;
  memcpy(cpi_this_thread.name, cut, sizeof cut);
  return pthread_setname_np(pthread_self(), cut);
}

_Static_assert(sizeof(struct cpi_affinity) == sizeof(cpu_set_t), "the opaque mask is a cpu_set_t");

int cpi_pin_to_processor(int32_t processor) {
  if (processor < 0 || processor >= CPU_SETSIZE) return EINVAL;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  return sched_setaffinity(0, sizeof set, &set) == 0 ? 0 : errno;
}

int cpi_get_affinity(struct cpi_affinity *out) {
  memset(out, 0, sizeof *out);
  return sched_getaffinity(0, sizeof *out, (cpu_set_t *)out) == 0 ? 0 : errno;
}

int cpi_set_affinity(const struct cpi_affinity *mask) {
  return sched_setaffinity(0, sizeof *mask, (const cpu_set_t *)mask) == 0 ? 0 : errno;
}

int cpi_avoid_processors(const int32_t *processors, int32_t count) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return errno;
  for (int32_t i = 0; i < count; i++)
    if (processors[i] >= 0 && processors[i] < CPU_SETSIZE) CPU_CLR(processors[i], &set);
  if (CPU_COUNT(&set) == 0) return EINVAL;
  return sched_setaffinity(0, sizeof set, &set) == 0 ? 0 : errno;
}

int32_t cpi_processor_count(void) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return CPU_COUNT(&set);
}

int cpi_set_scheduling(int32_t scheduling_class, int32_t priority) {
  static const int classes[] = {SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_IDLE};
  if (scheduling_class < 0 || scheduling_class > 4) return EINVAL;
  struct sched_param parameter = {
      .sched_priority = scheduling_class == 1 || scheduling_class == 2 ? priority : 0};
  return sched_setscheduler(0, classes[scheduling_class], &parameter) == 0 ? 0 : errno;
}

int cpi_set_timer_slack(uint64_t nanoseconds) {
  return prctl(PR_SET_TIMERSLACK, (unsigned long)nanoseconds, 0, 0, 0) == 0 ? 0 : errno;
}

struct start {
  void (*run)(void *);
  void *context;
};

static void *thread_main(void *argument) {
  struct start start = *(struct start *)argument;
  free(argument);
  start.run(start.context);
  return NULL;
}

int cpi_start_thread(
    size_t stack_bytes, void (*run)(void *), void *context, uint64_t *handle) {
  struct start *start = malloc(sizeof *start);
  if (!start) return ENOMEM;
  *start = (struct start){run, context};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  int error = stack_bytes ? pthread_attr_setstacksize(&attributes, stack_bytes) : 0;
  pthread_t thread;
  if (error == 0) error = pthread_create(&thread, &attributes, thread_main, start);
  pthread_attr_destroy(&attributes);
  if (error != 0) {
    free(start);
  } else {
    *handle = (uint64_t)thread;
  }
  return error;
}

int cpi_join_thread(uint64_t handle) { return pthread_join((pthread_t)handle, NULL); }

int cpi_detach_thread(uint64_t handle) { return pthread_detach((pthread_t)handle); }
