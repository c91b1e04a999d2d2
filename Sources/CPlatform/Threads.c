// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "CPlatform.h"
#include "Mappings.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int32_t cpi_thread_id(void) { return (int32_t)syscall(SYS_gettid); }

const char *cpi_known_thread_name(void) {
  // Refused by a system call filter, it stays empty, and is asked for again.
  if (cpi_this_thread.name[0] == 0) prctl(PR_GET_NAME, cpi_this_thread.name);
  return cpi_this_thread.name;
}

int cpi_thread_name(int32_t id, uint8_t *out, int capacity) {
  char path[48];
  snprintf(path, sizeof path, "/proc/self/task/%d/comm", id);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t count = read(file, out, (size_t)capacity);
  close(file);  // it was read alone: there is nothing to lose
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

int cpi_get_affinity_of(int32_t thread_id, struct cpi_affinity *out) {
  memset(out, 0, sizeof *out);
  return sched_getaffinity(thread_id, sizeof *out, (cpu_set_t *)out) == 0 ? 0 : errno;
}

int cpi_set_affinity(const struct cpi_affinity *mask) {
  return sched_setaffinity(0, sizeof *mask, (const cpu_set_t *)mask) == 0 ? 0 : errno;
}

// The main thread's mask as the library is loaded: what `taskset`, a container or a cpuset gave the process, before any
// thread binds itself. A later change of the cpuset is the kernel's to apply.
static cpu_set_t given;
static int given_error = EAGAIN;

static void ask_what_is_given(void) {
  given_error = sched_getaffinity(getpid(), sizeof given, &given) == 0 ? 0 : errno;
}

__attribute__((constructor)) static void is_loaded(void) { ask_what_is_given(); }

int cpi_given_processors(struct cpi_affinity *out) {
  if (given_error != 0) ask_what_is_given();
  memcpy(out, &given, sizeof given);
  return given_error;
}

// The given processors less those to avoid; all of them, and ENODEV, where nothing would be left.
static int places_for_services(const struct cpi_affinity *avoided, struct cpi_affinity *out) {
  int error = cpi_given_processors(out);
  if (error != 0) return error;
  struct cpi_affinity all = *out;
  for (size_t i = 0; i < sizeof out->words / sizeof *out->words; i++)
    out->words[i] &= ~avoided->words[i];
  if (CPU_COUNT((cpu_set_t *)out) != 0) return 0;
  *out = all;
  return ENODEV;
}

int cpi_place_service(const struct cpi_affinity *avoided) {
  struct cpi_affinity mask;
  int placement = places_for_services(avoided, &mask);
  if (placement != 0 && placement != ENODEV) return placement;
  int error = cpi_set_affinity(&mask);
  return error != 0 ? error : placement;
}

int32_t cpi_processor_count(void) {
  struct cpi_affinity mask;
  if (cpi_given_processors(&mask) != 0) return 1;
  return CPU_COUNT((cpu_set_t *)&mask);
}

int cpi_set_scheduling(int32_t scheduling_class, int32_t priority) {
  static const int classes[] = {SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_IDLE};
  if (scheduling_class < 0 || scheduling_class > 4) return EINVAL;
  struct sched_param parameter = {
      .sched_priority = scheduling_class == 1 || scheduling_class == 2 ? priority : 0};
  return sched_setscheduler(0, classes[scheduling_class] | SCHED_RESET_ON_FORK, &parameter) == 0 ? 0 : errno;
}

int cpi_reset_scheduling_on_fork(void) {
  int class = sched_getscheduler(0);
  struct sched_param parameter;
  if (class < 0 || sched_getparam(0, &parameter) != 0) return errno;
  if (class & SCHED_RESET_ON_FORK) return 0;
  return sched_setscheduler(0, class | SCHED_RESET_ON_FORK, &parameter) == 0 ? 0 : errno;
}

int cpi_set_timer_slack(uint64_t nanoseconds) {
  return prctl(PR_SET_TIMERSLACK, (unsigned long)nanoseconds, 0, 0, 0) == 0 ? 0 : errno;
}

struct start {
  void (*run)(void *);
  void (*ended)(void *);
  void *context;
  struct stack *stack;
};

static void *service_main(void *argument) {
  struct start start = *(struct start *)argument;
  free(argument);
  cpi_enter_stack(start.stack);
  start.run(start.context);
  return NULL;
}

static void *thread_main(void *argument) {
  struct start start = *(struct start *)argument;
  free(argument);
  cpi_enter_stack(start.stack);
  pthread_cleanup_push(start.ended, start.context);
  start.run(start.context);
  pthread_cleanup_pop(1);
  return NULL;
}

void cpi_run_guarded(void (*run)(void *), void (*ended)(void *), void *context) {
  pthread_cleanup_push(ended, context);
  run(context);
  pthread_cleanup_pop(0);
}

int cpi_start_thread(
    size_t stack_bytes, void (*run)(void *), void (*ended)(void *), void *context,
    uint64_t *handle) {
  struct start *start = malloc(sizeof *start);
  if (!start) return ENOMEM;
  pthread_attr_t attributes;
  int error = pthread_attr_init(&attributes);
  if (error != 0) {
    free(start);
    return error;
  }
  *start = (struct start){run, ended, context, cpi_take_stack(stack_bytes, &attributes)};
  if (stack_bytes && !start->stack) error = pthread_attr_setstacksize(&attributes, stack_bytes);
  pthread_t thread;
  if (error == 0) error = pthread_create(&thread, &attributes, thread_main, start);
  pthread_attr_destroy(&attributes);
  if (error != 0) {
    cpi_return_stack(start->stack);
    free(start);
  } else {
    *handle = (uint64_t)thread;
  }
  return error;
}

// A thread of the library's own has nothing from the thread that starts it: that one may be bound to an isolated
// processor, run in a real-time class, or leave signals open that the program waits for elsewhere.
int cpi_start_service(
    const struct cpi_affinity *avoided, void (*run)(void *), void *context, uint64_t *handle,
    int *placement) {
  cpi_stay_loaded();
  struct start *start = malloc(sizeof *start);
  if (!start) return ENOMEM;
  *start = (struct start){.run = run, .context = context};
  struct cpi_affinity allowed;
  *placement = places_for_services(avoided, &allowed);
  pthread_attr_t attributes;
  int error = pthread_attr_init(&attributes);
  if (error != 0) {
    free(start);
    return error;
  }
  start->stack = cpi_take_stack(0, &attributes);
  struct sched_param ordinary = {.sched_priority = 0};
  // Refused are values that there are not, here and for the signal masks.
  pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
  pthread_attr_setschedpolicy(&attributes, SCHED_OTHER);
  pthread_attr_setschedparam(&attributes, &ordinary);
  if (*placement == 0 || *placement == ENODEV) {
    int refusal = pthread_attr_setaffinity_np(&attributes, sizeof allowed, (cpu_set_t *)&allowed);
    if (refusal != 0) *placement = refusal;
  }
  sigset_t every, own;
  sigfillset(&every);
  pthread_sigmask(SIG_SETMASK, &every, &own);
  pthread_t thread;
  error = pthread_create(&thread, &attributes, service_main, start);
  if (error == EPERM || error == EINVAL) {
    // The system refuses the class or the processors: a thread that has its starter's is better than none.
    *placement = error;
    cpi_return_stack(start->stack);
    start->stack = NULL;
    error = pthread_create(&thread, NULL, service_main, start);
  }
  pthread_sigmask(SIG_SETMASK, &own, NULL);
  pthread_attr_destroy(&attributes);
  if (error != 0) {
    cpi_return_stack(start->stack);
    free(start);
  } else {
    *handle = (uint64_t)thread;
  }
  return error;
}

int cpi_join_thread(uint64_t handle) {
  const int error = pthread_join((pthread_t)handle, NULL);
  if (error == 0) cpi_release_stack(handle);
  return error;
}

int cpi_detach_thread(uint64_t handle) {
  const int error = pthread_detach((pthread_t)handle);
  if (error == 0) cpi_release_stack(handle);
  return error;
}
