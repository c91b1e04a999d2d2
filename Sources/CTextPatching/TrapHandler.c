// SPDX-License-Identifier: Apache-2.0
//
// The trap handler. A thread that meets the breakpoint of a site goes on where the site's word says: at the
// instruction afterwards, at a jump's target, or at a copy of the call. So nothing is emulated but the
// program counter, no stack is written to, and no kind of instruction is known here.
//
// The word is one, and is changed before the breakpoint is written: there is no table that a handler could find
// half changed, and none to keep alive for it.

#define _GNU_SOURCE
#include "CTextPatching.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <ucontext.h>

struct ctp_watch {
  struct ctp_watch *next;
  uintptr_t begin;
  size_t bytes, slot_bytes, site_offset;
  struct ctp_words words;
  uint32_t is_live;
};

static struct ctp_watch *watches;  // only ever grows, at its head
static bool is_installed;
static pthread_mutex_t installation = PTHREAD_MUTEX_INITIALIZER;

#if defined(__x86_64__)

static struct sigaction previous;  // what had the signal before: constant once the handler is there

// Where the thread goes on, or 0 if the breakpoint at `address` is none of ours.
static uint64_t resumption(uintptr_t address) {
  for (struct ctp_watch *watch = __atomic_load_n(&watches, __ATOMIC_ACQUIRE); watch;
       watch = watch->next) {
    uintptr_t offset = address - watch->begin;
    if (offset >= watch->bytes || offset % watch->slot_bytes != watch->site_offset) continue;
    if (!__atomic_load_n(&watch->is_live, __ATOMIC_ACQUIRE)) continue;
    // The breakpoint was written after this word, and taking a trap is serializing.
    uint64_t resume =
        __atomic_load_n(&watch->words.resume[offset / watch->slot_bytes], __ATOMIC_ACQUIRE);
    if (resume) __atomic_fetch_add(watch->words.traps, 1, __ATOMIC_RELAXED);
    return resume;
  }
  return 0;
}

// A trap that is not ours meets what it would have met without us.
static void hand_on(int signal, siginfo_t *information, void *context) {
  if (previous.sa_flags & SA_SIGINFO ||
      (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)) {
    sigset_t before;
    pthread_sigmask(SIG_BLOCK, &previous.sa_mask, &before);
    if (previous.sa_flags & SA_SIGINFO) {
      previous.sa_sigaction(signal, information, context);
    } else {
      previous.sa_handler(signal);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return;
  }
  // Somebody sent it, and it is to be ignored. A breakpoint cannot be: the kernel does not let it.
  if (previous.sa_handler == SIG_IGN && information->si_code <= 0) return;
  // Blocked while this runs, the signal ends the process at the place of the trap: a core file shows that,
  // not this one.
  struct sigaction by_default = {.sa_handler = SIG_DFL};
  sigaction(signal, &by_default, NULL);
  raise(signal);
}

static void trap_handler(int signal, siginfo_t *information, void *context) {
  int saved = errno;
  greg_t *counter = &((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
  uint64_t resume = resumption((uintptr_t)*counter - 1);
  if (resume) {
    *counter = (greg_t)resume;
  } else {
    hand_on(signal, information, context);
  }
  errno = saved;
}

#endif

bool ctp_catches_traps(void) {
#if defined(__x86_64__)
  struct sigaction now;
  return sigaction(SIGTRAP, NULL, &now) == 0 && now.sa_flags & SA_SIGINFO &&
         now.sa_sigaction == trap_handler;
#else
  return true;  // there are no breakpoints: one store replaces one instruction
#endif
}

static void parent_before_fork(void) { pthread_mutex_lock(&installation); }
static void parent_after_fork(void) { pthread_mutex_unlock(&installation); }

// In the child of a fork the text is not there, and its threads have to be told when they want to execute it.
static void child_after_fork(void) {
  for (struct ctp_watch *watch = watches; watch; watch = watch->next) {
    if (!watch->is_live) continue;
    for (size_t index = 0; index < watch->words.admission_count; index++)
      watch->words.admissions[index * watch->words.admission_stride] = 0;
    watch->is_live = 0;
  }
  pthread_mutex_unlock(&installation);
}

// Once for the process, and never taken back: a handler that others may have chained to cannot be removed.
static int install(void) {
  if (is_installed) return ctp_catches_traps() ? 0 : EBUSY;
  int error = pthread_atfork(parent_before_fork, parent_after_fork, child_after_fork);
  if (error) return error;
#if defined(__x86_64__)
  struct sigaction action = {.sa_sigaction = trap_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGTRAP, NULL, &previous) != 0) return errno;
  // A signal that was ignored, or whose handler let system calls go on, ends none now either.
  bool is_ignored = !(previous.sa_flags & SA_SIGINFO) && previous.sa_handler == SIG_IGN;
  if (is_ignored || previous.sa_flags & SA_RESTART) action.sa_flags |= SA_RESTART;
  if (sigaction(SIGTRAP, &action, NULL) != 0) return errno;
#endif
  is_installed = true;
  return 0;
}

struct ctp_watch *ctp_watch_text(
    const uint8_t *executable, size_t bytes, size_t slot_bytes, size_t site_offset,
    struct ctp_words words, int *error) {
  struct ctp_watch *watch = malloc(sizeof *watch);
  if (!watch) {
    *error = ENOMEM;
    return NULL;
  }
  *watch = (struct ctp_watch){
      .begin = (uintptr_t)executable,
      .bytes = bytes,
      .slot_bytes = slot_bytes,
      .site_offset = site_offset,
      .words = words,
      .is_live = 1};
  pthread_mutex_lock(&installation);
  *error = install();
  if (*error == 0) {
    watch->next = watches;
    __atomic_store_n(&watches, watch, __ATOMIC_RELEASE);
  }
  pthread_mutex_unlock(&installation);
  if (*error != 0) {
    free(watch);
    return NULL;
  }
  return watch;
}

void ctp_unwatch_text(struct ctp_watch *watch) {
  __atomic_store_n(&watch->is_live, 0, __ATOMIC_RELEASE);
}

void ctp_unblock_traps(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTRAP);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
