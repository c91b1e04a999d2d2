// SPDX-License-Identifier: Apache-2.0
#ifndef PEERCPU_H
#define PEERCPU_H

#include "CBenchmarkPeers.h"

/// A loop that does one operation per turn, as the loops on the Swift side do. An unrolled peer
/// would measure the unrolling: on a Xeon of family 6, model 207, `lock or` and a load take 8.4 ns
/// one per turn, 7.2 ns two per turn and 6.6 ns four per turn.
#define ONE_PER_TURN _Pragma("clang loop unroll(disable)")

enum {
  peer_line = 128,
  peer_types = 64,
  context_kernel = 0,
  context_user = 1,
  context_mask = 7,
  counter_unit = 8,
};

/// What a type runs: a line of its own, as in the library.
struct peer_record {
  _Alignas(peer_line) void (*function)(void *context, intptr_t cpu);
  void *context;
};

/// What ticketed senders of a type write.
struct peer_generation {
  _Alignas(peer_line) uint64_t value;
};

struct peer_cpu {
  // W, K, and the pin of helpers: senders and the owner.
  _Alignas(peer_line) uint64_t word;
  uint64_t work;
  uint64_t pin;
  // The owner alone.
  _Alignas(peer_line) uint64_t own_word;
  uint64_t number;
  // Written by drains.
  _Alignas(peer_line) uint64_t applied[peer_types];
  // Of the whole coordinator in the library; here there is one CPU to it.
  _Alignas(peer_line) uint64_t live;
  struct peer_record records[peer_types];
  struct peer_generation generations[peer_types];
  // The counter of senders without a slot of their own.
  _Alignas(peer_line) uint64_t sent;
};

/// Takes what is pending and runs it: the slow half of entry, never inlined, as in the library.
void peer_drain(struct peer_cpu *cpu);

#endif
