// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "CTorture.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

pid_t ctr_fork(bool dies) {
  const pid_t child = fork();
  if (child == 0 && dies) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  return child;
}

int32_t ctr_thread_id(void) { return (int32_t)syscall(SYS_gettid); }

int ctr_signal_thread(int32_t thread, int number) {
  return syscall(SYS_tgkill, getpid(), thread, number) == 0 ? 0 : errno;
}

void ctr_end_thread(void) { pthread_exit(NULL); }

// MARK: Stopping

static volatile sig_atomic_t stop_signal;
static volatile pid_t stopped_child;

static void take_stop_signal(int number) {
  const int error = errno;
  stop_signal = number;
  if (stopped_child > 0) kill(stopped_child, SIGTERM);
  errno = error;
}

void ctr_take_stop_signals(pid_t child) {
  stopped_child = child;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = take_stop_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

int ctr_stop_signal(void) { return stop_signal; }

// MARK: Disturbing

static int longest_pause;
static bool gives_way;
static void (*disturbed_function)(void *);
static void *disturbed_context;
static uint64_t disturbances;

static void take_disturbance(int number) {
  (void)number;
  const int error = errno;
  const uint64_t count = __atomic_add_fetch(&disturbances, 1, __ATOMIC_RELAXED);
  if (disturbed_function) disturbed_function(disturbed_context);
  if (gives_way) sched_yield();
  if (longest_pause > 0) {
    // Pauses of all lengths, and most of them short.
    const uint64_t mixed = count * 0x9e3779b97f4a7c15u >> 40;
    const long pause = (long)(mixed % (unsigned)longest_pause);
    const struct timespec length = {.tv_sec = 0, .tv_nsec = pause * (mixed & 7 ? 100 : 1000)};
    nanosleep(&length, NULL);
  }
  errno = error;
}

int ctr_disturbance(void) { return SIGUSR1; }

void ctr_take_disturbances(int longest, bool yields, void (*function)(void *), void *context) {
  longest_pause = longest;
  gives_way = yields;
  disturbed_function = function;
  disturbed_context = context;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = take_disturbance;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGUSR1, &action, NULL);
}

uint64_t ctr_disturbances(void) { return __atomic_load_n(&disturbances, __ATOMIC_RELAXED); }

// MARK: Refusing

#define REFUSE(call, error)                            \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),     \
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))

static int install(struct sock_filter *filter, unsigned short length) {
  struct sock_fprog program = {.len = length, .filter = filter};
  // This thread alone: the others go on as before.
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 ? 0 : errno;
}

#define INSTALL(call, error)                                                          \
  do {                                                                                \
    struct sock_filter filter[] = {                                                   \
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),        \
        REFUSE(call, error),                                                          \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),                                 \
    };                                                                                \
    const int result = install(filter, sizeof filter / sizeof *filter);               \
    if (result != 0) return result;                                                   \
  } while (0)

int ctr_refuse(unsigned calls) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  if (calls & ctr_affinity) INSTALL(SYS_sched_setaffinity, EPERM);
  if (calls & ctr_membarrier) INSTALL(SYS_membarrier, ENOSYS);
  if (calls & ctr_signals) INSTALL(SYS_tgkill, EAGAIN);
  if (calls & ctr_memory) INSTALL(SYS_mmap, ENOMEM);
  if (calls & ctr_threads) {
    // A C library that is told that there is no clone3 takes clone.
    INSTALL(SYS_clone3, ENOSYS);
    INSTALL(SYS_clone, EAGAIN);
  }
  return 0;
}

int ctr_limit_queued_signals(long count) {
  static struct rlimit before;
  static bool is_known;
  if (!is_known) {
    if (getrlimit(RLIMIT_SIGPENDING, &before) != 0) return errno;
    is_known = true;
  }
  struct rlimit limit = before;
  if (count >= 0) limit.rlim_cur = (rlim_t)count;
  return setrlimit(RLIMIT_SIGPENDING, &limit) == 0 ? 0 : errno;
}
