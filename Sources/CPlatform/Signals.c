// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "CPlatform.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

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

bool cpi_interrupt_handler_is_ours(int32_t signal) {
  struct sigaction now;
  return sigaction(signal, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) && now.sa_sigaction == interrupt_handler;
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
  // What is still the stack of handlers must stay.
  if (sigaltstack(&off, NULL) == 0) cpi_unmap(stack, bytes);
}
