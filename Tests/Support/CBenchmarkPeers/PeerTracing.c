// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <stdlib.h>

#include "PeerCPU.h"

enum {
  ring_slots = 4096,
  slot_words = 8,
  event_number = 2001,
  position_shift = 8,
  busy = 1,
  event_words = 2,
};

struct peer_ring {
  _Alignas(peer_line) uint64_t on;
  _Alignas(peer_line) uint64_t next;
  _Alignas(peer_line) uint64_t slots[ring_slots][slot_words];
};

struct peer_ring *peer_ring_make(void) {
  struct peer_ring *ring = aligned_alloc(peer_line, sizeof *ring);
  if (!ring) abort();
  for (size_t i = 0; i < sizeof *ring / sizeof(uint64_t); i++) ((uint64_t *)ring)[i] = 0;
  ring->on = 1;
  return ring;
}

static _Thread_local uint64_t this_thread;

static inline uint64_t header(void) {
  if (this_thread == 0) this_thread = (uint64_t)pthread_self();
  return event_number | this_thread << 32;
}

static inline void fill(uint64_t *slot, uint64_t position, uint64_t time, uint64_t fields) {
  __atomic_thread_fence(__ATOMIC_RELEASE);
  __atomic_store_n(&slot[1], time, __ATOMIC_RELAXED);
  __atomic_store_n(&slot[2], header(), __ATOMIC_RELAXED);
  __atomic_store_n(&slot[3], fields, __ATOMIC_RELAXED);
  __atomic_store_n(
      &slot[0], position << position_shift | event_words << 1, __ATOMIC_RELEASE);
}

static inline void record_alone(struct peer_ring *ring, uint64_t fields) {
  if (__atomic_load_n(&ring->on, __ATOMIC_RELAXED) == 0) return;
  uint64_t time = peer_cycles();
  uint64_t position = ring->next;
  __atomic_store_n(&ring->next, position + 1, __ATOMIC_RELAXED);
  uint64_t *slot = ring->slots[position % ring_slots];
  if (__atomic_load_n(&slot[0], __ATOMIC_RELAXED) & busy) return;
  __atomic_store_n(&slot[0], position << position_shift | busy, __ATOMIC_RELAXED);
  fill(slot, position, time, fields);
}

static inline void record_shared(struct peer_ring *ring, uint64_t fields) {
  if (__atomic_load_n(&ring->on, __ATOMIC_RELAXED) == 0) return;
  uint64_t time = peer_cycles();
  uint64_t position = __atomic_fetch_add(&ring->next, 1, __ATOMIC_RELAXED);
  uint64_t *slot = ring->slots[position % ring_slots];
  uint64_t old = __atomic_load_n(&slot[0], __ATOMIC_RELAXED);
  if (old & busy || old >> position_shift > position) return;
  if (!__atomic_compare_exchange_n(
          &slot[0], &old, position << position_shift | busy, false, __ATOMIC_RELAXED,
          __ATOMIC_RELAXED))
    return;
  fill(slot, position, time, fields);
}

void peer_records(struct peer_ring *ring, uint64_t count) {
  ONE_PER_TURN
  for (uint64_t i = 0; i < count; i++) {
    peer_turn(i);
    record_alone(ring, (i | 1) | UINT64_C(7) << 32);
  }
}

void peer_records_shared(struct peer_ring *ring, uint64_t count) {
  ONE_PER_TURN
  for (uint64_t i = 0; i < count; i++) {
    peer_turn(i);
    record_shared(ring, (i | 1) | UINT64_C(7) << 32);
  }
}

void peer_round_trips_recorded(
    struct peer_cpu *cpu, struct peer_ring *ring, uint64_t count) {
  uint64_t word = cpu->own_word;
  ONE_PER_TURN
  for (uint64_t i = 0; i < count; i++) {
    word += counter_unit - context_user;
    (void)__atomic_exchange_n(&cpu->word, word, __ATOMIC_SEQ_CST);
    if (__builtin_expect(__atomic_load_n(&cpu->work, __ATOMIC_SEQ_CST) != 0, 0)) peer_drain(cpu);
    record_alone(ring, word / counter_unit);
    record_alone(ring, word / counter_unit);
    word += counter_unit + context_user;
    __atomic_store_n(&cpu->word, word, __ATOMIC_RELEASE);
  }
  cpu->own_word = word;
}
