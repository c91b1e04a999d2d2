// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "CPlatform.h"
#include "Mappings.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

// A sanitizer forgets what it knows of memory when that is given back, and of a stack when its thread ends: memory that
// is used again without it would be reported, rightly or not.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

// Memory that is kept and used again. Giving it back interrupts every processor that runs another thread of the
// process: each may have translated its addresses.

static const size_t largest_kept = 16 << 20, most_kept = 64 << 20;

static _Atomic bool keeps;
static pthread_once_t lock_once = PTHREAD_ONCE_INIT;
static struct cpi_lock *_Atomic lock;

static void make_lock(void) {
  struct cpi_lock *made = NULL;
  if (cpi_make_lock(&made) == 0) atomic_store_explicit(&lock, made, memory_order_release);
}

// Taken as the child of a fork finds it, like all locks of the library. False where there never was one.
static bool take(void) {
  struct cpi_lock *made = atomic_load_explicit(&lock, memory_order_acquire);
  return made && cpi_take_lock(made) == 0;
}

static void give(void) { cpi_release_lock(atomic_load_explicit(&lock, memory_order_relaxed)); }

// Relaxed: what decides is looked at again with the lock.
static bool is_keeping(void) { return atomic_load_explicit(&keeps, memory_order_relaxed); }

static size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

static size_t in_pages(size_t bytes) { return (bytes + page_size() - 1) & -page_size(); }

// MARK: Mappings

// Stands in the mapping itself.
struct kept {
  struct kept *next;
  size_t bytes;
};
static struct kept *mappings;
static size_t kept_bytes;

void *cpi_take_mapping(size_t bytes) {
  if (!is_keeping() || !take()) return NULL;
  bytes = in_pages(bytes);
  struct kept **link = &mappings;
  while (*link && (*link)->bytes != bytes) link = &(*link)->next;
  struct kept *found = *link;
  if (found) {
    *link = found->next;
    kept_bytes -= bytes;
  }
  give();
  if (found) memset(found, 0, bytes);
  return found;
}

void cpi_populate_mapping(void *address, size_t bytes) {
  // What is read before it is written has the page of zeroes, and the first write interrupts. A refusal, of kernels
  // before 5.14, leaves it so.
  if (is_keeping() && bytes <= largest_kept) (void)madvise(address, in_pages(bytes), MADV_POPULATE_WRITE);
}

bool cpi_keep_mapping(void *address, size_t bytes) {
  bytes = in_pages(bytes);
  if (!is_keeping() || bytes > largest_kept || !take()) return false;
  const bool has_room = is_keeping() && kept_bytes + bytes <= most_kept;
  if (has_room) {
    struct kept *kept = address;
    *kept = (struct kept){mappings, bytes};
    mappings = kept;
    kept_bytes += bytes;
  }
  give();
  return has_room;
}

// MARK: Stacks

struct stack {
  struct stack *next;
  void *memory;
  size_t bytes;
  // The kernel's number of the thread that has it, -1 before it runs, 0 where there is none.
  _Atomic int32_t thread;
  // The forks before it was taken.
  uint32_t forks;
  // Joined or detached: the C library keeps what it knows of a thread on the thread's stack.
  bool is_released;
};
static struct stack *stacks;

// Whether the kernel knows the thread no more: a number that was given out again says no, and is asked again. By no
// signal: these are counted.
static bool is_free(struct stack *stack) {
  // In the child of a fork one of them is the stack of the only thread, under another number.
  if (stack->forks != cpi_fork_generation()) return false;
  const int32_t thread = atomic_load_explicit(&stack->thread, memory_order_relaxed);
  return stack->is_released && (thread == 0 || (thread > 0 && sched_getscheduler(thread) < 0 && errno == ESRCH));
}

// The size of a stack of which nothing is said; 0 if that is not known.
static size_t usual_bytes(void) {
  pthread_attr_t usual;
  size_t bytes = 0;
  if (pthread_getattr_default_np(&usual) != 0) return 0;
  if (pthread_attr_getstacksize(&usual, &bytes) != 0) bytes = 0;
  pthread_attr_destroy(&usual);
  return bytes;
}

static struct stack *make_stack(size_t bytes) {
  struct stack *stack = calloc(1, sizeof *stack);
  if (!stack) return NULL;
  const size_t guard = page_size();
  void *memory = mmap(
      NULL, bytes + guard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  // Nothing has touched it: this interrupts nobody.
  if (memory == MAP_FAILED || mprotect(memory, guard, PROT_NONE) != 0) {
    if (memory != MAP_FAILED) munmap(memory, bytes + guard);
    free(stack);
    return NULL;
  }
  stack->memory = memory;
  stack->bytes = bytes + guard;
  return stack;
}

struct stack *cpi_take_stack(size_t bytes, pthread_attr_t *attributes) {
  if (!is_keeping()) return NULL;
  bytes = in_pages(bytes ? bytes : usual_bytes());
  const size_t guard = page_size();
  if (bytes == 0 || !take()) return NULL;
  struct stack *stack = stacks;
  while (stack && !(stack->bytes == bytes + guard && is_free(stack))) stack = stack->next;
  if (stack) {
    stack->is_released = false;
  } else if ((stack = make_stack(bytes))) {
    stack->next = stacks;
    stacks = stack;
  }
  if (stack) {
    stack->forks = cpi_fork_generation();
    atomic_store_explicit(&stack->thread, -1, memory_order_relaxed);
  }
  give();
  if (stack && pthread_attr_setstack(attributes, (char *)stack->memory + guard, bytes) != 0) {
    cpi_return_stack(stack);
    return NULL;
  }
  return stack;
}

void cpi_enter_stack(struct stack *stack) {
  // Relaxed: who asks for it has joined or detached the thread, or finds that it is not released.
  if (stack) atomic_store_explicit(&stack->thread, cpi_thread_id(), memory_order_relaxed);
}

// Gives back what is free, where nothing is kept any more.
static void prune(void) {
  struct stack **link = &stacks;
  while (*link) {
    struct stack *stack = *link;
    if (is_free(stack)) {
      *link = stack->next;
      munmap(stack->memory, stack->bytes);
      free(stack);
    } else {
      link = &stack->next;
    }
  }
}

void cpi_return_stack(struct stack *stack) {
  if (!stack || !take()) return;
  stack->is_released = true;
  atomic_store_explicit(&stack->thread, 0, memory_order_relaxed);
  if (!is_keeping()) prune();
  give();
}

void cpi_release_stack(uint64_t handle) {
  if (!take()) return;
  struct stack *stack = stacks;
  while (stack && handle - (uintptr_t)stack->memory >= stack->bytes) stack = stack->next;
  if (stack) stack->is_released = true;
  if (!is_keeping()) prune();
  give();
}

// MARK: Both

int cpi_keep_memory(bool is_wanted) {
  if (IS_SANITIZED && is_wanted) return EOPNOTSUPP;
  pthread_once(&lock_once, make_lock);
  if (!take()) return ENOMEM;
  atomic_store_explicit(&keeps, is_wanted, memory_order_relaxed);
  if (!is_wanted) {
    while (mappings) {
      struct kept *next = mappings->next;
      munmap(mappings, mappings->bytes);
      mappings = next;
    }
    kept_bytes = 0;
    prune();
  }
  give();
  return 0;
}
