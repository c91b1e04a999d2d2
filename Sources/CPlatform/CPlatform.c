// SPDX-License-Identifier: Apache-2.0

#if !defined(__linux__)
#error "CPUIsolation supports Linux; nothing else has been compiled"
#endif

#define _GNU_SOURCE
#include "CPlatform.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// MARK: Thread-local words

_Thread_local struct cpi_thread cpi_this_thread __attribute__((tls_model("initial-exec")));

static _Thread_local void (*thread_exit_function)(void *);
static pthread_key_t exit_key;
static pthread_once_t exit_key_once = PTHREAD_ONCE_INIT;

static void thread_exits(void *cpu) {
  if (cpi_this_thread.cpu == cpu && thread_exit_function) thread_exit_function(cpu);
}

static void create_exit_key(void) {
  if (pthread_key_create(&exit_key, thread_exits) != 0) abort();
}

void cpi_set_current_cpu(void *cpu, void (*on_exit)(void *)) {
  pthread_once(&exit_key_once, create_exit_key);
  thread_exit_function = on_exit;
  cpi_this_thread.cpu = cpu;
  // In this order for a signal handler in between, which may ask for the role of `cpu` and keep it:
  // it must not keep that of the CPU that the thread leaves.
  cpi_compiler_barrier();
  cpi_this_thread.fenced_cpu = 0;
  pthread_setspecific(exit_key, on_exit ? cpu : NULL);
}

// MARK: Numbers of threads

// A bit each: given out, and lost in a fork. Number 0 is nobody's.
static _Atomic uint64_t given_numbers[CPI_THREAD_NUMBERS / 64] = {1};
static _Atomic uint64_t lost_numbers[CPI_THREAD_NUMBERS / 64];
static _Atomic int32_t numbered_threads[CPI_THREAD_NUMBERS];
static _Atomic uint32_t number_limit = 1;
static pthread_key_t number_key;
static pthread_once_t number_key_once = PTHREAD_ONCE_INIT;

static void give_number_back(void *value) {
  uint32_t number = (uint32_t)(uintptr_t)value;
  cpi_this_thread.number = 0;
  atomic_store_explicit(&numbered_threads[number], 0, memory_order_relaxed);
  // Release: whoever gets the number next sees what its tables hold.
  atomic_fetch_and_explicit(
      &given_numbers[number / 64], ~(UINT64_C(1) << number % 64), memory_order_release);
}

static void create_number_key(void) {
  if (pthread_key_create(&number_key, give_number_back) != 0) abort();
}

uint32_t cpi_take_thread_number(void) {
  if (cpi_this_thread.number != 0) return cpi_this_thread.number;
  pthread_once(&number_key_once, create_number_key);
  cpi_fork_generation();
  for (uint32_t word = 0; word < CPI_THREAD_NUMBERS / 64; word++) {
    uint64_t given = atomic_load_explicit(&given_numbers[word], memory_order_relaxed);
    while (~given != 0) {
      uint32_t bit = (uint32_t)__builtin_ctzll(~given);
      if (!atomic_compare_exchange_weak_explicit(
              &given_numbers[word], &given, given | UINT64_C(1) << bit, memory_order_acquire,
              memory_order_relaxed))
        continue;
      uint32_t number = word * 64 + bit;
      uint32_t limit = atomic_load(&number_limit);
      while (limit <= number && !atomic_compare_exchange_weak(&number_limit, &limit, number + 1)) {
      }
      atomic_store_explicit(
          &numbered_threads[number], cpi_known_thread_id(), memory_order_relaxed);
      cpi_this_thread.number = number;
      if (pthread_setspecific(number_key, (void *)(uintptr_t)number) != 0) abort();
      return number;
    }
  }
  return 0;
}

uint32_t cpi_thread_number_limit(void) { return atomic_load(&number_limit); }

int32_t cpi_numbered_thread(uint32_t number) {
  if (number >= CPI_THREAD_NUMBERS) return 0;
  return atomic_load_explicit(&numbered_threads[number], memory_order_relaxed);
}

bool cpi_thread_is_lost(uint32_t number) {
  if (number >= CPI_THREAD_NUMBERS) return false;
  uint64_t lost = atomic_load_explicit(&lost_numbers[number / 64], memory_order_relaxed);
  return lost >> number % 64 & 1;
}

static void lose_other_numbers(void) {
  uint32_t own = cpi_this_thread.number;
  for (uint32_t word = 0; word < CPI_THREAD_NUMBERS / 64; word++) {
    uint64_t given = atomic_load_explicit(&given_numbers[word], memory_order_relaxed);
    if (word == 0) given &= ~UINT64_C(1);
    if (own != 0 && own / 64 == word) given &= ~(UINT64_C(1) << own % 64);
    if (given == 0) continue;
    atomic_fetch_or_explicit(&lost_numbers[word], given, memory_order_relaxed);
    for (uint32_t bit = 0; bit < 64; bit++)
      if (given >> bit & 1)
        atomic_store_explicit(&numbered_threads[word * 64 + bit], 0, memory_order_relaxed);
  }
  if (own != 0)
    atomic_store_explicit(&numbered_threads[own], cpi_known_thread_id(), memory_order_relaxed);
}

// MARK: Time

uint64_t cpi_monotonic_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
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
  nanosleep(&duration, NULL);
}

void cpi_yield(void) { sched_yield(); }

// MARK: Memory

void *cpi_map_zeroed(size_t bytes) {
  void *address =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return address == MAP_FAILED ? NULL : address;
}

void cpi_unmap(void *address, size_t bytes) { munmap(address, bytes); }

int cpi_lock_memory(void) { return mlockall(MCL_CURRENT | MCL_FUTURE) == 0 ? 0 : errno; }

// MARK: Threads

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

// MARK: Futex

int cpi_futex_wait(const uint32_t *word, uint32_t expected, uint64_t timeout_ns) {
  struct timespec timeout = {
      .tv_sec = (time_t)(timeout_ns / 1000000000u), .tv_nsec = (long)(timeout_ns % 1000000000u)};
  long result = syscall(
      SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout_ns == UINT64_MAX ? NULL : &timeout, NULL, 0);
  return result == 0 ? 0 : errno;
}

int cpi_futex_wake(const uint32_t *word, int32_t count) {
  long woken = syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
  return woken < 0 ? 0 : (int)woken;
}

// MARK: membarrier

int cpi_membarrier_query(void) {
  long mask = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
  return mask < 0 ? -errno : (int)mask;
}

int cpi_membarrier_register(void) {
  return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 ? 0 : errno;
}

int cpi_membarrier_private(void) {
  return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0 ? 0 : errno;
}

// MARK: Signals

int32_t cpi_default_interrupt_signal(void) { return SIGRTMIN + 2; }

// One handler for the process: every coordinator installs the same function.
static void (*_Atomic interrupt_function)(void *);

static void interrupt_handler(int signal, siginfo_t *information, void *context) {
  (void)signal;
  (void)information;
  (void)context;
  void *cpu = cpi_this_thread.cpu;
  void (*run)(void *) = atomic_load_explicit(&interrupt_function, memory_order_acquire);
  if (!cpu || !run) return;
  int saved = errno;
  run(cpu);
  errno = saved;
}

int cpi_install_interrupt_handler(int32_t signal, void (*run)(void *)) {
  struct sigaction old;
  if (sigaction(signal, NULL, &old) != 0) return errno;
  bool is_ours = (old.sa_flags & SA_SIGINFO) && old.sa_sigaction == interrupt_handler;
  bool is_free =
      !(old.sa_flags & SA_SIGINFO) && (old.sa_handler == SIG_DFL || old.sa_handler == SIG_IGN);
  if (!is_ours && !is_free) return EBUSY;
  atomic_store_explicit(&interrupt_function, run, memory_order_release);
  struct sigaction action = {
      .sa_sigaction = interrupt_handler, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
  sigfillset(&action.sa_mask);
  // A fault inside a handler must still kill the process with its own signal.
  sigdelset(&action.sa_mask, SIGSEGV);
  sigdelset(&action.sa_mask, SIGBUS);
  sigdelset(&action.sa_mask, SIGILL);
  sigdelset(&action.sa_mask, SIGFPE);
  sigdelset(&action.sa_mask, SIGTRAP);
  sigdelset(&action.sa_mask, SIGABRT);
  return sigaction(signal, &action, NULL) == 0 ? 0 : errno;
}

int cpi_remove_interrupt_handler(int32_t signal) {
  struct sigaction old;
  if (sigaction(signal, NULL, &old) != 0) return errno;
  if (!(old.sa_flags & SA_SIGINFO) || old.sa_sigaction != interrupt_handler) return EBUSY;
  struct sigaction action = {.sa_handler = SIG_DFL};
  return sigaction(signal, &action, NULL) == 0 ? 0 : errno;
}

int cpi_unblock_signal(int32_t signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  return pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int cpi_interrupt_thread(int32_t thread_id, int32_t signal) {
  return syscall(SYS_tgkill, getpid(), thread_id, signal) == 0 ? 0 : errno;
}

void *cpi_install_alternate_stack(size_t bytes, int *error) {
  *error = 0;
  stack_t old;
  if (sigaltstack(NULL, &old) != 0) {
    *error = errno;
    return NULL;
  }
  if (!(old.ss_flags & SS_DISABLE)) return NULL;
  void *stack = cpi_map_zeroed(bytes);
  if (!stack) {
    *error = ENOMEM;
    return NULL;
  }
  stack_t new = {.ss_sp = stack, .ss_size = bytes};
  if (sigaltstack(&new, NULL) != 0) {
    *error = errno;
    cpi_unmap(stack, bytes);
    return NULL;
  }
  return stack;
}

void cpi_remove_alternate_stack(void *stack, size_t bytes) {
  stack_t off = {.ss_flags = SS_DISABLE};
  sigaltstack(&off, NULL);
  cpi_unmap(stack, bytes);
}

// MARK: Process

static _Atomic uint32_t fork_generation;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void child_after_fork(void) {
  atomic_fetch_add_explicit(&fork_generation, 1, memory_order_relaxed);
  // The child's only thread keeps its words if it had a CPU: it is the one live slot. But it is
  // another thread to the kernel.
  cpi_this_thread.id = 0;
  lose_other_numbers();
}

static void watch_forks(void) { pthread_atfork(NULL, NULL, child_after_fork); }

uint32_t cpi_fork_generation(void) {
  pthread_once(&fork_once, watch_forks);
  return atomic_load_explicit(&fork_generation, memory_order_relaxed);
}

void cpi_write_error(const uint8_t *bytes, size_t count) {
  while (count > 0) {
    ssize_t written = write(STDERR_FILENO, bytes, count);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    bytes += written;
    count -= (size_t)written;
  }
}

// MARK: RealtimeSanitizer

__attribute__((weak)) void __rtsan_realtime_enter(void);
__attribute__((weak)) void __rtsan_realtime_exit(void);

bool cpi_realtime_sanitizer_is_linked(void) { return __rtsan_realtime_enter != NULL; }

void cpi_realtime_enter(void) {
  if (__rtsan_realtime_enter) __rtsan_realtime_enter();
}

void cpi_realtime_exit(void) {
  if (__rtsan_realtime_exit) __rtsan_realtime_exit();
}
