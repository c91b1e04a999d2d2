// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "CPlatform.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

struct cpi_lock {
  pthread_mutex_t mutex;
  bool is_taken;  // by the thread that forks
  struct cpi_lock *next, *previous;
};

// All locks of the process, for a fork to take. Taking and letting go of a mutex of this kind is never refused, and of
// an error-checking one neither, to the thread that has it: no answer below is left unread but theirs.
static pthread_mutex_t list_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct cpi_lock *first;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static int make(pthread_mutex_t *mutex) {
  pthread_mutexattr_t attributes;
  int error = pthread_mutexattr_init(&attributes);
  if (error != 0) return error;
  // Refused are values that there are not.
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  error = pthread_mutex_init(mutex, &attributes);
  if (error == ENOTSUP) {
    // A system whose futexes lend no priority: some sandboxes.
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_NONE);
    error = pthread_mutex_init(mutex, &attributes);
  }
  pthread_mutexattr_destroy(&attributes);
  return error;
}

static void release_taken(void) {
  for (struct cpi_lock *lock = first; lock; lock = lock->next) {
    if (lock->is_taken) pthread_mutex_unlock(&lock->mutex);
    lock->is_taken = false;
  }
}

static bool take_all(void) {
  bool has_all = true;
  for (struct cpi_lock *lock = first; lock; lock = lock->next) {
    lock->is_taken = pthread_mutex_trylock(&lock->mutex) == 0;
    has_all &= lock->is_taken;
  }
  return has_all;
}

static uint64_t milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);  // as in `cpi_monotonic_nanoseconds`
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

// What the locks protect is whole in the child if nobody is in the middle of changing it. Locks are held for
// microseconds; a holder that runs code of the program, or is the thread that forks, is not waited for long.
static const uint64_t patience_ms = 20;

static void before_fork(void) {
  pthread_mutex_lock(&list_mutex);
  const uint64_t end = milliseconds() + patience_ms;
  while (!take_all() && milliseconds() < end) {
    // Whoever holds one may wait for another.
    release_taken();
    sched_yield();
  }
}

static void parent_after_fork(void) {
  release_taken();
  pthread_mutex_unlock(&list_mutex);
}

// To the kernel the child's thread is another one than the holder of what was taken, and the other holders are not
// there: all are made anew.
static void child_after_fork(void) {
  for (struct cpi_lock *lock = first; lock; lock = lock->next) {
    if (make(&lock->mutex) != 0) abort();
    lock->is_taken = false;
  }
  pthread_mutex_init(&list_mutex, NULL);
}

static void watch_forks(void) {
  cpi_stay_loaded();
  if (pthread_atfork(before_fork, parent_after_fork, child_after_fork) != 0) abort();
}

int cpi_make_lock(struct cpi_lock **out) {
  pthread_once(&fork_once, watch_forks);
  struct cpi_lock *lock = calloc(1, sizeof *lock);
  if (!lock) return ENOMEM;
  const int error = make(&lock->mutex);
  if (error != 0) {
    free(lock);
    return error;
  }
  pthread_mutex_lock(&list_mutex);
  lock->next = first;
  if (first) first->previous = lock;
  first = lock;
  pthread_mutex_unlock(&list_mutex);
  *out = lock;
  return 0;
}

void cpi_end_lock(struct cpi_lock *lock) {
  pthread_mutex_lock(&list_mutex);
  if (lock->next) lock->next->previous = lock->previous;
  if (lock->previous) lock->previous->next = lock->next; else first = lock->next;
  pthread_mutex_unlock(&list_mutex);
  pthread_mutex_destroy(&lock->mutex);  // nobody has it
  free(lock);
}

int cpi_take_lock(struct cpi_lock *lock) { return pthread_mutex_lock(&lock->mutex); }

int cpi_try_lock(struct cpi_lock *lock) { return pthread_mutex_trylock(&lock->mutex); }

void cpi_release_lock(struct cpi_lock *lock) { (void)pthread_mutex_unlock(&lock->mutex); }
