// SPDX-License-Identifier: Apache-2.0
//
// Counting by standing before: the definitions here are found before those of the C library and
// of the Swift runtime, count on the calling thread, and hand on. They are weak, so that a program
// that counts in its own way, or links the runtime statically, may define the same symbols.
#define _GNU_SOURCE
#include "CBenchmarkPeers.h"

#include <features.h>

#ifndef __has_feature
#define __has_feature(feature) 0
#endif

#define SANITIZED \
  (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer) \
   || __has_feature(memory_sanitizer))

#if defined(__GLIBC__) && !SANITIZED
#define COUNTS 1
#else
#define COUNTS 0
#endif

bool peer_is_sanitized(void) { return SANITIZED; }

bool peer_counters_are_available(void) { return COUNTS; }

#if COUNTS

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>

static _Thread_local uint64_t allocations __attribute__((tls_model("initial-exec")));
static _Thread_local uint64_t reference_counts __attribute__((tls_model("initial-exec")));

uint64_t peer_allocations(void) { return allocations; }
uint64_t peer_reference_counts(void) { return reference_counts; }

#define STAND_IN __attribute__((weak, visibility("default")))

// MARK: The C library

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

STAND_IN void *malloc(size_t bytes) {
  allocations++;
  return __libc_malloc(bytes);
}

STAND_IN void *calloc(size_t count, size_t bytes) {
  allocations++;
  return __libc_calloc(count, bytes);
}

STAND_IN void *realloc(void *memory, size_t bytes) {
  allocations++;
  return __libc_realloc(memory, bytes);
}

STAND_IN void *memalign(size_t alignment, size_t bytes) {
  allocations++;
  return __libc_memalign(alignment, bytes);
}

STAND_IN void *aligned_alloc(size_t alignment, size_t bytes) {
  allocations++;
  return __libc_memalign(alignment, bytes);
}

STAND_IN int posix_memalign(void **memory, size_t alignment, size_t bytes) {
  allocations++;
  if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0) return EINVAL;
  void *result = __libc_memalign(alignment, bytes);
  if (!result) return ENOMEM;
  *memory = result;
  return 0;
}

// MARK: The Swift runtime

// The next definition of the symbol, looked up at its first use. Threads that race find the same
// one.
#define NEXT(name) \
  static void *next; \
  void *found = __atomic_load_n(&next, __ATOMIC_ACQUIRE); \
  if (!found) { \
    found = dlsym(RTLD_NEXT, name); \
    if (!found) abort(); \
    __atomic_store_n(&next, found, __ATOMIC_RELEASE); \
  }

#define STAND_IN_FOR_RETAIN(name) \
  void *name(void *object); \
  STAND_IN void *name(void *object) { \
    NEXT(#name) \
    reference_counts++; \
    return ((void *(*)(void *))found)(object); \
  }

#define STAND_IN_FOR_RELEASE(name) \
  void name(void *object); \
  STAND_IN void name(void *object) { \
    NEXT(#name) \
    reference_counts++; \
    ((void (*)(void *))found)(object); \
  }

STAND_IN_FOR_RETAIN(swift_retain)
STAND_IN_FOR_RETAIN(swift_bridgeObjectRetain)
STAND_IN_FOR_RELEASE(swift_release)
STAND_IN_FOR_RELEASE(swift_bridgeObjectRelease)

void *swift_retain_n(void *object, uint32_t count);
STAND_IN void *swift_retain_n(void *object, uint32_t count) {
  NEXT("swift_retain_n")
  reference_counts++;
  return ((void *(*)(void *, uint32_t))found)(object, count);
}

void swift_release_n(void *object, uint32_t count);
STAND_IN void swift_release_n(void *object, uint32_t count) {
  NEXT("swift_release_n")
  reference_counts++;
  ((void (*)(void *, uint32_t))found)(object, count);
}

#else

uint64_t peer_allocations(void) { return 0; }
uint64_t peer_reference_counts(void) { return 0; }

#endif
