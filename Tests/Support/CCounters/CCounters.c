// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "CCounters.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define CCOUNTERS_ARE_OFF 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define CCOUNTERS_ARE_OFF 1
#endif

#ifdef CCOUNTERS_ARE_OFF

bool ccounters_are_available(void) { return false; }
void ccounters_begin(void) {}
struct ccounters ccounters_end(void) { return (struct ccounters){0, 0, 0}; }

#else

static _Thread_local struct ccounters counters __attribute__((tls_model("initial-exec")));
static _Thread_local bool is_counting __attribute__((tls_model("initial-exec")));

bool ccounters_are_available(void) { return true; }

void ccounters_begin(void) {
  counters = (struct ccounters){0, 0, 0};
  is_counting = true;
}

struct ccounters ccounters_end(void) {
  is_counting = false;
  return counters;
}

// MARK: Allocation

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static inline void count_allocation(void) {
  if (is_counting) counters.allocations++;
}

void *malloc(size_t size) {
  count_allocation();
  return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  count_allocation();
  return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
  count_allocation();
  return __libc_realloc(memory, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
  count_allocation();
  if (alignment < sizeof(void *) || (alignment & (alignment - 1)) != 0) return EINVAL;
  void *memory = __libc_memalign(alignment, size);
  if (!memory) return ENOMEM;
  *result = memory;
  return 0;
}

void *aligned_alloc(size_t alignment, size_t size) {
  count_allocation();
  return __libc_memalign(alignment, size);
}

// MARK: Reference counts

// The runtime's own function after ours. Two threads that look it up at once find the same one.
static void *behind(_Atomic(void *) *known, const char *name) {
  void *function = atomic_load_explicit(known, memory_order_relaxed);
  if (function) return function;
  bool was_counting = is_counting;
  is_counting = false;  // the look-up may allocate
  function = dlsym(RTLD_NEXT, name);
  is_counting = was_counting;
  if (!function) abort();
  atomic_store_explicit(known, function, memory_order_relaxed);
  return function;
}

#define BEHIND(name) \
  static _Atomic(void *) known; \
  void *function = behind(&known, name)

void *swift_retain(void *object) {
  BEHIND("swift_retain");
  if (is_counting) counters.retains++;
  return ((void *(*)(void *))function)(object);
}

void *swift_retain_n(void *object, uint32_t count) {
  BEHIND("swift_retain_n");
  if (is_counting) counters.retains++;
  return ((void *(*)(void *, uint32_t))function)(object, count);
}

void swift_release(void *object) {
  BEHIND("swift_release");
  if (is_counting) counters.releases++;
  ((void (*)(void *))function)(object);
}

void swift_release_n(void *object, uint32_t count) {
  BEHIND("swift_release_n");
  if (is_counting) counters.releases++;
  ((void (*)(void *, uint32_t))function)(object, count);
}

void *swift_bridgeObjectRetain(void *object) {
  BEHIND("swift_bridgeObjectRetain");
  if (is_counting) counters.retains++;
  return ((void *(*)(void *))function)(object);
}

void swift_bridgeObjectRelease(void *object) {
  BEHIND("swift_bridgeObjectRelease");
  if (is_counting) counters.releases++;
  ((void (*)(void *))function)(object);
}

#endif
