// SPDX-License-Identifier: Apache-2.0
#include "PeerCPU.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct peer_cpu *peer_cpu_make(void (*function)(void *, intptr_t), void *context) {
  struct peer_cpu *cpu = aligned_alloc(peer_line, sizeof *cpu);
  if (!cpu) {
    fputs("isolation-bench: no memory for the peers\n", stderr);
    abort();
  }
  memset(cpu, 0, sizeof *cpu);
  cpu->word = cpu->own_word = context_user;
  cpu->live = UINT64_MAX;
  for (int type = 0; type < peer_types; type++) {
    cpu->records[type].function = function;
    cpu->records[type].context = context;
  }
  return cpu;
}

void peer_cpu_free(struct peer_cpu *cpu) { free(cpu); }

void peer_count_run(void *context, intptr_t cpu) {
  ((uint64_t *)context)[cpu * (peer_line / (intptr_t)sizeof(uint64_t))] += 1;
}

// A separate function of a separate file, so that the loops cannot be specialised for a handler.
__attribute__((noinline)) void peer_drain(struct peer_cpu *cpu) {
  uint64_t taken = __atomic_exchange_n(&cpu->work, 0, __ATOMIC_SEQ_CST);
  taken &= __atomic_load_n(&cpu->live, __ATOMIC_ACQUIRE);
  while (taken) {
    unsigned type = (unsigned)__builtin_ctzll(taken);
    uint64_t generation = __atomic_load_n(&cpu->generations[type].value, __ATOMIC_ACQUIRE);
    cpu->records[type].function(cpu->records[type].context, (intptr_t)cpu->number);
    __atomic_store_n(&cpu->applied[type], generation, __ATOMIC_RELEASE);
    taken &= taken - 1;
  }
}
