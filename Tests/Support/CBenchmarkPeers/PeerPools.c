// SPDX-License-Identifier: Apache-2.0
//
// Pools of objects as others keep them, and a crowd of threads that takes and gives back.

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "CBenchmarkPeers.h"

enum { line = 128, object_bytes = 64 };

// MARK: Memory

static void *lines(size_t count) {
  void *memory = aligned_alloc(line, count * line);
  if (memory == NULL) abort();
  memset(memory, 0, count * line);
  return memory;
}

struct peer_pool {
  enum peer_pool_kind kind;
  int32_t capacity;
  union {
    struct {
      _Alignas(line) _Atomic(struct node *) head;
      struct node *nodes;
    } list;
    struct {
      _Alignas(line) _Atomic(void *) *slots;
      uint32_t mask;
      char *objects;
    } array;
    struct {
      _Alignas(line) pthread_mutex_t mutex;
      void **free;
      int32_t count;
      char *objects;
    } guarded;
  };
};

// MARK: A list whose nodes count who looks at them

// A node's word: the count of those who look at it, and above it whether it belongs into the list.
// Nobody writes `next` while the count is not zero, so a compare-exchange of the head cannot mistake
// a node that has come back for one that never left.
struct node {
  _Alignas(line) atomic_uint word;
  _Atomic(struct node *) next;
  // Of a return probe.
  uint64_t start;
};

static const unsigned belongs = 1u << 31;

// The count is zero and the node is ours alone: nobody can raise it but through the head.
static void list_link(struct peer_pool *pool, struct node *node) {
  struct node *head = atomic_load_explicit(&pool->list.head, memory_order_relaxed);
  for (;;) {
    atomic_store_explicit(&node->next, head, memory_order_relaxed);
    // The list's own share.
    atomic_store_explicit(&node->word, 1, memory_order_release);
    if (atomic_compare_exchange_strong_explicit(
            &pool->list.head, &head, node, memory_order_release, memory_order_relaxed)) {
      return;
    }
    // Somebody who met the node earlier may look at it by now: then he has to link it.
    if (atomic_fetch_add_explicit(&node->word, belongs - 1, memory_order_acq_rel) != 1) return;
  }
}

static void list_push(struct peer_pool *pool, struct node *node) {
  if (atomic_fetch_add_explicit(&node->word, belongs, memory_order_acq_rel) == 0) {
    list_link(pool, node);
  }
}

static struct node *list_pop(struct peer_pool *pool) {
  struct node *head = atomic_load_explicit(&pool->list.head, memory_order_acquire);
  while (head != NULL) {
    struct node *seen = head;
    unsigned word = atomic_load_explicit(&seen->word, memory_order_relaxed);
    if ((word & ~belongs) == 0 ||
        !atomic_compare_exchange_strong_explicit(
            &seen->word, &word, word + 1, memory_order_acquire, memory_order_relaxed)) {
      head = atomic_load_explicit(&pool->list.head, memory_order_acquire);
      continue;
    }
    struct node *next = atomic_load_explicit(&seen->next, memory_order_relaxed);
    if (atomic_compare_exchange_strong_explicit(
            &pool->list.head, &head, next, memory_order_acquire, memory_order_acquire)) {
      // Our share, and the list's.
      atomic_fetch_sub_explicit(&seen->word, 2, memory_order_release);
      return seen;
    }
    if (atomic_fetch_sub_explicit(&seen->word, 1, memory_order_acq_rel) == belongs + 1) {
      list_link(pool, seen);
    }
  }
  return NULL;
}

// MARK: An array that is scanned

static void array_push(struct peer_pool *pool, int32_t thread, void *object) {
  for (uint32_t slot = (uint32_t)thread << 3;; slot++) {
    void *nothing = NULL;
    if (atomic_compare_exchange_strong_explicit(
            &pool->array.slots[slot & pool->array.mask], &nothing, object, memory_order_release,
            memory_order_relaxed)) {
      return;
    }
  }
}

static void *array_pop(struct peer_pool *pool, int32_t thread) {
  for (uint32_t step = 0; step <= pool->array.mask; step++) {
    _Atomic(void *) *slot = &pool->array.slots[(((uint32_t)thread << 3) + step) & pool->array.mask];
    void *object = atomic_load_explicit(slot, memory_order_relaxed);
    if (object != NULL && atomic_compare_exchange_strong_explicit(
                              slot, &object, NULL, memory_order_acquire, memory_order_relaxed)) {
      return object;
    }
  }
  return NULL;
}

// MARK: Pools

struct peer_pool *peer_pool_make(enum peer_pool_kind kind, int32_t capacity, int32_t threads) {
  struct peer_pool *pool = lines((sizeof(struct peer_pool) + line - 1) / line);
  pool->kind = kind;
  pool->capacity = capacity;
  switch (kind) {
    case peer_pool_list:
      pool->list.nodes = lines(capacity);
      for (int32_t index = 0; index < capacity; index++) list_push(pool, &pool->list.nodes[index]);
      break;
    case peer_pool_array: {
      uint32_t size = 1;
      while (size < (uint32_t)capacity || size < (uint32_t)threads << 3) size *= 2;
      pool->array.mask = size - 1;
      pool->array.slots = lines((size * sizeof(void *) + line - 1) / line);
      pool->array.objects = lines(capacity);
      for (int32_t index = 0; index < capacity; index++) {
        array_push(pool, index, pool->array.objects + (size_t)index * line);
      }
      break;
    }
    case peer_pool_mutex:
      pthread_mutex_init(&pool->guarded.mutex, NULL);
      pool->guarded.free = lines((capacity * sizeof(void *) + line - 1) / line);
      pool->guarded.objects = lines(capacity);
      for (int32_t index = 0; index < capacity; index++) {
        pool->guarded.free[pool->guarded.count++] =
            pool->guarded.objects + (size_t)index * line;
      }
      break;
    case peer_pool_malloc: break;
  }
  return pool;
}

void peer_pool_free(struct peer_pool *pool) {
  switch (pool->kind) {
    case peer_pool_list: free(pool->list.nodes); break;
    case peer_pool_array:
      free(pool->array.slots);
      free(pool->array.objects);
      break;
    case peer_pool_mutex:
      pthread_mutex_destroy(&pool->guarded.mutex);
      free(pool->guarded.free);
      free(pool->guarded.objects);
      break;
    case peer_pool_malloc: break;
  }
  free(pool);
}

void peer_hold(void *object, uint64_t cycles) {
  __asm__ volatile("" : : "r"(object) : "memory");
  if (cycles == 0) return;
  uint64_t begin = peer_ordered_cycles();
  while (peer_ordered_cycles() - begin < cycles) {}
}

uint64_t peer_pool_pairs(struct peer_pool *pool, int32_t thread, uint64_t count, uint64_t cycles) {
  uint64_t done = 0;
  switch (pool->kind) {
    case peer_pool_list:
      for (uint64_t turn = 0; turn < count; turn++) {
        struct node *node = list_pop(pool);
        if (node == NULL) continue;
        peer_hold(node, cycles);
        list_push(pool, node);
        done++;
      }
      break;
    case peer_pool_array:
      for (uint64_t turn = 0; turn < count; turn++) {
        void *object = array_pop(pool, thread);
        if (object == NULL) continue;
        peer_hold(object, cycles);
        array_push(pool, thread, object);
        done++;
      }
      break;
    case peer_pool_mutex:
      for (uint64_t turn = 0; turn < count; turn++) {
        pthread_mutex_lock(&pool->guarded.mutex);
        void *object =
            pool->guarded.count > 0 ? pool->guarded.free[--pool->guarded.count] : NULL;
        pthread_mutex_unlock(&pool->guarded.mutex);
        if (object == NULL) continue;
        peer_hold(object, cycles);
        pthread_mutex_lock(&pool->guarded.mutex);
        pool->guarded.free[pool->guarded.count++] = object;
        pthread_mutex_unlock(&pool->guarded.mutex);
        done++;
      }
      break;
    case peer_pool_malloc:
      for (uint64_t turn = 0; turn < count; turn++) {
        void *object = malloc(object_bytes);
        if (object == NULL) continue;
        peer_hold(object, cycles);
        free(object);
        done++;
      }
      break;
  }
  return done;
}

uint64_t peer_pool_scopes(struct peer_pool *pool, int32_t thread, uint64_t count, uint64_t cycles) {
  static _Thread_local uint64_t buckets[1024];
  uint64_t done = 0;
  for (uint64_t turn = 0; turn < count; turn++) {
    struct node *node = list_pop(pool);
    if (node == NULL) continue;
    node->start = peer_cycles();
    peer_hold(node, cycles);
    buckets[peer_bucket(peer_cycles() - node->start)]++;
    list_push(pool, node);
    done++;
  }
  __asm__ volatile("" : : "r"(buckets), "r"(thread) : "memory");
  return done;
}

// MARK: A crowd

struct crowd {
  const struct peer_crowd *what;
  const int32_t *processors;
  int32_t processor_count;
  atomic_int ready;
  atomic_int go;
  _Alignas(line) atomic_int over;
};

struct member {
  _Alignas(line) struct crowd *crowd;
  pthread_t thread;
  int32_t number;
  uint64_t done;
};

static void *member_run(void *context) {
  struct member *member = context;
  struct crowd *crowd = member->crowd;
  const struct peer_crowd *what = crowd->what;
  peer_pin(crowd->processors[member->number % crowd->processor_count]);
  void *state = what->begin(what->context, member->number);
  atomic_fetch_add(&crowd->ready, 1);
  while (!atomic_load_explicit(&crowd->go, memory_order_acquire)) sched_yield();
  uint64_t turns = 0;
  // The first that has had its turns ends it for all: nobody is left to run alone.
  while (!atomic_load_explicit(&crowd->over, memory_order_relaxed)) {
    member->done += what->pairs(state, member->number, 128, what->cycles);
    turns += 128;
    if (turns >= what->count) {
      atomic_store_explicit(&crowd->over, 1, memory_order_relaxed);
    }
  }
  what->end(state);
  return NULL;
}

double peer_crowd_run(
    const struct peer_crowd *what, int32_t threads, const int32_t *processors,
    int32_t processor_count) {
  struct crowd crowd = {
      .what = what, .processors = processors, .processor_count = processor_count};
  struct member *members = lines(threads * ((sizeof(struct member) + line - 1) / line));
  int32_t started = 0;
  while (started < threads) {
    members[started].crowd = &crowd;
    members[started].number = started;
    if (pthread_create(&members[started].thread, NULL, member_run, &members[started]) != 0) break;
    started++;
  }
  while (atomic_load(&crowd.ready) < started) sched_yield();
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  atomic_store(&crowd.go, 1);
  uint64_t done = 0;
  for (int32_t index = 0; index < started; index++) {
    pthread_join(members[index].thread, NULL);
    done += members[index].done;
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  free(members);
  double nanoseconds =
      (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
  return started == threads && done > 0 ? nanoseconds / (double)done : __builtin_nan("");
}
