// SPDX-License-Identifier: Apache-2.0
#include "PeerCPU.h"

static inline void look(struct peer_cpu *cpu) {
  if (__builtin_expect(__atomic_load_n(&cpu->work, __ATOMIC_SEQ_CST) != 0, 0)) peer_drain(cpu);
}

void peer_round_trips_exchange(struct peer_cpu *cpu, uint64_t count) {
  uint64_t word = cpu->own_word;
  ONE_PER_TURN
  for (uint64_t i = 0; i < count; i++) {
    word += counter_unit - context_user;
    (void)__atomic_exchange_n(&cpu->word, word, __ATOMIC_SEQ_CST);
    look(cpu);
    word += counter_unit + context_user;
    __atomic_store_n(&cpu->word, word, __ATOMIC_RELEASE);
  }
  cpu->own_word = word;
}

void peer_round_trips_add(struct peer_cpu *cpu, uint64_t count) {
  uint64_t word = cpu->own_word;
  ONE_PER_TURN
  for (uint64_t i = 0; i < count; i++) {
    word = __atomic_fetch_add(&cpu->word, counter_unit - context_user, __ATOMIC_SEQ_CST);
    look(cpu);
    word += 2 * counter_unit;
    __atomic_store_n(&cpu->word, word, __ATOMIC_RELEASE);
  }
  cpu->own_word = word;
}

void peer_round_trips_plain(struct peer_cpu *cpu, uint64_t count) {
  uint64_t word = cpu->own_word;
  ONE_PER_TURN
  for (uint64_t i = 0; i < count; i++) {
    word += counter_unit - context_user;
    (void)__atomic_exchange_n(&cpu->word, word, __ATOMIC_SEQ_CST);
    word += counter_unit + context_user;
    __atomic_store_n(&cpu->word, word, __ATOMIC_RELEASE);
  }
  cpu->own_word = word;
}

void peer_enter(void *address) {
  struct peer_cpu *cpu = address;
  cpu->own_word += counter_unit - context_user;
  (void)__atomic_exchange_n(&cpu->word, cpu->own_word, __ATOMIC_SEQ_CST);
  look(cpu);
}

void peer_leave(void *address) {
  struct peer_cpu *cpu = address;
  cpu->own_word += counter_unit + context_user;
  __atomic_store_n(&cpu->word, cpu->own_word, __ATOMIC_RELEASE);
}

void peer_call_round_trips(
    void (*enter)(void *), void (*leave)(void *), void *cpu, uint64_t count) {
  ONE_PER_TURN
  for (uint64_t i = 0; i < count; i++) {
    enter(cpu);
    leave(cpu);
  }
}

uint64_t peer_drains(struct peer_cpu *cpu, uint64_t type, uint64_t count) {
  uint64_t word = cpu->own_word;
  uint64_t sum = 0;
  ONE_PER_TURN
  for (uint64_t i = 0; i < count; i++) {
    __atomic_fetch_or(&cpu->work, UINT64_C(1) << (type & 63), __ATOMIC_SEQ_CST);
    sum += (__atomic_load_n(&cpu->word, __ATOMIC_SEQ_CST) & context_mask) == context_user;
    word += counter_unit - context_user;
    (void)__atomic_exchange_n(&cpu->word, word, __ATOMIC_SEQ_CST);
    look(cpu);
    word += counter_unit + context_user;
    __atomic_store_n(&cpu->word, word, __ATOMIC_RELEASE);
  }
  cpu->own_word = word;
  return sum;
}

uint64_t peer_polls(struct peer_cpu *cpu, uint64_t count) {
  uint64_t asked = 0;
  ONE_PER_TURN
  for (uint64_t i = 0; i < count; i++) {
    if (__builtin_expect(__atomic_load_n(&cpu->work, __ATOMIC_RELAXED) >> 63 != 0, 0)) {
      peer_drain(cpu);
      asked++;
    }
  }
  return asked;
}

void peer_quiescent_states(struct peer_cpu *cpu, uint64_t count) {
  ONE_PER_TURN
  for (uint64_t i = 0; i < count; i++) {
    if (__builtin_expect(__atomic_load_n(&cpu->work, __ATOMIC_RELAXED) != 0, 0)) peer_drain(cpu);
    cpu->own_word = __atomic_add_fetch(&cpu->word, 2 * counter_unit, __ATOMIC_SEQ_CST);
  }
}

uint64_t peer_grace_periods(
    struct peer_cpu *const *cpus, uint64_t cpu_count, uint64_t count) {
  uint64_t passed = 0;
  ONE_PER_TURN
  for (uint64_t i = 0; i < count; i++) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    ONE_PER_TURN
    for (uint64_t n = 0; n < cpu_count; n++) {
      uint64_t word = __atomic_load_n(&cpus[n]->word, __ATOMIC_SEQ_CST);
      uint64_t pin = __atomic_load_n(&cpus[n]->pin, __ATOMIC_SEQ_CST);
      passed += (word & context_mask) != context_kernel && pin == 0;
    }
  }
  return passed;
}
