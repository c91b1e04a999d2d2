// SPDX-License-Identifier: Apache-2.0
#include "PeerCPU.h"

static inline uint64_t says_user(struct peer_cpu *cpu) {
  return (__atomic_load_n(&cpu->word, __ATOMIC_SEQ_CST) & context_mask) == context_user;
}

static inline uint64_t send(struct peer_cpu *cpu, uint64_t type) {
  __atomic_fetch_or(&cpu->work, UINT64_C(1) << (type & 63), __ATOMIC_SEQ_CST);
  return says_user(cpu);
}

static inline uint64_t send_testing(struct peer_cpu *cpu, uint64_t type) {
#if defined(__x86_64__)
  // By hand: the compiler makes a compare-exchange loop as soon as it can move the shift out of the
  // loop.
  bool was_set;
  __asm__ volatile("lock btsq %2, %0"
                   : "+m"(cpu->work), "=@ccc"(was_set)
                   : "r"(type & 63)
                   : "memory");
#else
  uint64_t bit = UINT64_C(1) << (type & 63);
  bool was_set = (__atomic_fetch_or(&cpu->work, bit, __ATOMIC_SEQ_CST) & bit) != 0;
#endif
  return was_set & says_user(cpu);
}

uint64_t peer_sends(struct peer_cpu *cpu, uint64_t type, uint64_t count) {
  uint64_t sum = 0;
  ONE_PER_TURN
  for (uint64_t i = 0; i < count; i++) sum += send(cpu, type);
  return sum;
}

uint64_t peer_sends_datum(
    struct peer_cpu *cpu, uint64_t type, uint64_t *datum, uint64_t count) {
  uint64_t sum = 0;
  ONE_PER_TURN
  for (uint64_t i = 0; i < count; i++) {
    __atomic_store_n(datum, i, __ATOMIC_RELAXED);
    sum += send(cpu, type);
  }
  return sum;
}

uint64_t peer_sends_testing(struct peer_cpu *cpu, uint64_t type, uint64_t count) {
  uint64_t sum = 0;
  ONE_PER_TURN
  for (uint64_t i = 0; i < count; i++) sum += send_testing(cpu, type);
  return sum;
}

uint64_t peer_send_each(
    struct peer_cpu *cpu, const struct peer_work *works, uint64_t count) {
  uint64_t sum = 0;
  ONE_PER_TURN
  for (uint64_t i = 0; i < count; i++) sum += send(cpu, works[i].type);
  return sum;
}

uint64_t peer_send_each_datum(
    struct peer_cpu *cpu, const struct peer_work *works, uint64_t *datum, uint64_t count) {
  uint64_t sum = 0;
  ONE_PER_TURN
  for (uint64_t i = 0; i < count; i++) {
    __atomic_store_n(datum, i, __ATOMIC_RELAXED);
    sum += send(cpu, works[i].type);
  }
  return sum;
}

uint64_t peer_send_each_testing(
    struct peer_cpu *cpu, const struct peer_work *works, uint64_t count) {
  uint64_t sum = 0;
  ONE_PER_TURN
  for (uint64_t i = 0; i < count; i++) sum += send_testing(cpu, works[i].type);
  return sum;
}

uint64_t peer_sends_masked(
    struct peer_cpu *const *cpus, uint64_t mask, uint64_t type, uint64_t count) {
  uint64_t deferred = 0;
  ONE_PER_TURN
  for (uint64_t i = 0; i < count; i++) {
    ONE_PER_TURN
    for (uint64_t rest = mask; rest; rest &= rest - 1) {
      unsigned cpu = (unsigned)__builtin_ctzll(rest);
      deferred += send(cpus[cpu], type);
    }
  }
  return deferred;
}

uint64_t peer_sends_ticketed(struct peer_cpu *cpu, uint64_t type, uint64_t count) {
  uint64_t sum = 0;
  ONE_PER_TURN
  for (uint64_t i = 0; i < count; i++) {
    uint64_t *generation = &cpu->generations[type & 63].value;
    sum += __atomic_add_fetch(generation, 1, __ATOMIC_ACQ_REL);
    sum += send(cpu, type);
  }
  return sum;
}

uint64_t peer_sends_counted(struct peer_cpu *cpu, uint64_t type, uint64_t count) {
  uint64_t sum = 0;
  ONE_PER_TURN
  for (uint64_t i = 0; i < count; i++) {
    sum += send(cpu, type);
    __atomic_fetch_add(&cpu->sent, 1, __ATOMIC_RELAXED);
  }
  return sum;
}
