// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "CForks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/// Whether a thread is on a processor, waits for one, or waits for memory in the middle of something.
static int is_awake(const char *id) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/self/task/%s/stat", id);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  text[length > 0 ? length : 0] = 0;
  const char *name_end = strrchr(text, ')');
  return name_end && name_end[1] && name_end[2] != 'S';
}

static int count_awake(void) {
  const long self = syscall(SYS_gettid);
  DIR *threads = opendir("/proc/self/task");
  if (!threads) return -1;
  int count = 0;
  for (struct dirent *thread; (thread = readdir(threads));)
    if (thread->d_name[0] != '.' && atol(thread->d_name) != self) count += is_awake(thread->d_name);
  closedir(threads);
  return count;
}

pid_t cfk_fork(void) {
  for (int millisecond = 0; millisecond < 120000; millisecond++) {
    const int count = count_awake();
    if (count < 0) return -1;
    if (count == 0) return fork();
    usleep(1000);
  }
  errno = EBUSY;
  return -1;
}

int cfk_end(pid_t child, int seconds) {
  if (child <= 0) return -1;
  int status = 0;
  struct timespec now, start;
  clock_gettime(CLOCK_MONOTONIC, &start);
  do {
    const pid_t ended = waitpid(child, &status, WNOHANG);
    if (ended == child) return status;
    if (ended < 0) return -1;
    usleep(1000);
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while (now.tv_sec - start.tv_sec < seconds);
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  return -1;
}
