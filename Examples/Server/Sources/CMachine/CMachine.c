// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "CMachine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

int machine_processors(int *processors, int most) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
  int count = 0;
  for (int processor = 0; processor < CPU_SETSIZE; processor++) {
    if (!CPU_ISSET(processor, &set)) continue;
    if (count < most) processors[count] = processor;
    count++;
  }
  return count;
}

int machine_bind(pid_t thread, const int *processors, int count) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int index = 0; index < count; index++) CPU_SET(processors[index], &set);
  return sched_setaffinity(thread, sizeof set, &set) == 0 ? 0 : errno;
}

int machine_run_when_idle(void) {
  struct sched_param parameters = {0};
  return sched_setscheduler(0, SCHED_IDLE, &parameters) == 0 ? 0 : errno;
}

int machine_wake_on_time(void) { return prctl(PR_SET_TIMERSLACK, 1UL) == 0 ? 0 : errno; }

int machine_poll(struct pollfd *files, int count, int64_t nanoseconds) {
  struct timespec timeout = {nanoseconds / 1000000000, nanoseconds % 1000000000};
  int ready = ppoll(files, (nfds_t)count, &timeout, NULL);
  return ready >= 0 ? ready : -errno;
}

int machine_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC) == 0 ? 0 : errno; }
