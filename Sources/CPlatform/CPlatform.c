// SPDX-License-Identifier: Apache-2.0

#if !defined(__linux__)
#error "CPUIsolation supports Linux; nothing else has been compiled"
#endif

#define _GNU_SOURCE
#include "CPlatform.h"
#include "Mappings.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// MARK: Staying

static pthread_once_t stay_once = PTHREAD_ONCE_INIT;

static void stay(void) {
  // The program itself has no name that could be opened, and stays anyway. Where the loader refuses, a plug-in must not
  // be unloaded: nothing here can change that.
  Dl_info self;
  if (dladdr((void *)stay, &self) != 0 && self.dli_fname)
    (void)dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

void cpi_stay_loaded(void) { pthread_once(&stay_once, stay); }

// MARK: What nothing can go on without

// The process's memory, or its keys, are used up: a thread that ends, or a fork, would be overlooked.
static void give_up(const char *what) {
  cpi_write_error((const uint8_t *)what, strlen(what));
  abort();
}

// MARK: Thread-local words

_Thread_local struct cpi_thread cpi_this_thread __attribute__((tls_model("initial-exec")));

static _Thread_local void (*thread_exit_function)(void *);
static pthread_key_t exit_key;
static pthread_once_t exit_key_once = PTHREAD_ONCE_INIT;

static void thread_exits(void *cpu) {
  if (cpi_this_thread.cpu == cpu && thread_exit_function) thread_exit_function(cpu);
}

static void create_exit_key(void) {
  cpi_stay_loaded();
  if (pthread_key_create(&exit_key, thread_exits) != 0)
    give_up("CPUIsolation: the system has no key left for the end of threads\n");
}

void cpi_set_current_cpu(void *cpu, void (*on_exit)(void *)) {
  pthread_once(&exit_key_once, create_exit_key);
  thread_exit_function = on_exit;
  cpi_this_thread.cpu = cpu;
  // In this order for a signal handler in between, which may ask for the role of `cpu` and keep it:
  // it must not keep that of the CPU that the thread leaves.
  cpi_compiler_barrier();
  cpi_this_thread.fenced_cpu = 0;
  if (pthread_setspecific(exit_key, on_exit ? cpu : NULL) != 0)
    give_up("CPUIsolation: there is no memory to note the end of a CPU's thread\n");
}

// Made as the library is loaded: a handler may run on a CPU's behalf inside a signal handler, where a key cannot be made.
static pthread_key_t helper_key;
static bool has_helper_key;
static _Thread_local bool is_helper;

static void helper_exits(void *on_exit) {
  void *cpu = cpi_this_thread.helped;
  cpi_this_thread.helped = NULL;
  if (cpu) ((void (*)(void *))on_exit)(cpu);
}

__attribute__((constructor)) static void create_helper_key(void) {
  has_helper_key = pthread_key_create(&helper_key, helper_exits) == 0;
}

void cpi_set_helped_cpu(void *cpu, void (*on_exit)(void *)) {
  // Without the key the end of a thread inside a handler is overlooked: the watchdog names it as who holds the pin.
  if (!is_helper && has_helper_key) is_helper = pthread_setspecific(helper_key, (void *)on_exit) == 0;
  cpi_this_thread.helped = cpu;
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
  cpi_stay_loaded();
  if (pthread_key_create(&number_key, give_number_back) != 0)
    give_up("CPUIsolation: the system has no key left for the numbers of threads\n");
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
      if (pthread_setspecific(number_key, (void *)(uintptr_t)number) != 0)
        give_up("CPUIsolation: there is no memory to note a thread's number\n");
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

// MARK: Memory

void *cpi_map_zeroed(size_t bytes) {
  void *kept = cpi_take_mapping(bytes);
  if (kept) return kept;
  void *address =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) return NULL;
  cpi_populate_mapping(address, bytes);
  return address;
}

bool cpi_is_mapped(const void *address) {
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  return msync((void *)((uintptr_t)address & ~(page - 1)), page, MS_ASYNC) == 0;
}

void cpi_unmap(void *address, size_t bytes) {
  if (cpi_keep_mapping(address, bytes)) return;
  // The kernel joins neighbouring mappings, and a hole in a joint one is another mapping, of which a process may have as
  // many as it has (ENOMEM): then at least the pages go back.
  if (munmap(address, bytes) != 0) (void)madvise(address, bytes, MADV_DONTNEED);
}

int cpi_lock_memory(void) { return mlockall(MCL_CURRENT | MCL_FUTURE) == 0 ? 0 : errno; }

// MARK: Futex

int cpi_futex_wait(const uint32_t *word, uint32_t expected, uint64_t timeout_ns) {
  struct timespec timeout = {
      .tv_sec = (time_t)(timeout_ns / 1000000000u), .tv_nsec = (long)(timeout_ns % 1000000000u)};
  long result = syscall(
      SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout_ns == UINT64_MAX ? NULL : &timeout, NULL, 0);
  return result == 0 ? 0 : errno;
}

bool cpi_is_end_of_sleep(int32_t error) {
  return error == EAGAIN || error == EINTR || error == ETIMEDOUT;
}

int cpi_futex_wake(const uint32_t *word, int32_t count) {
  // It is refused for an address that cannot be a futex's alone.
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

static void watch_forks(void) {
  cpi_stay_loaded();
  if (pthread_atfork(NULL, NULL, child_after_fork) != 0)
    give_up("CPUIsolation: there is no memory to watch for forks\n");
}

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
