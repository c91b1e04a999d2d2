/* SPDX-License-Identifier: Apache-2.0

   Grace periods, and the end of a work type.

   Mirrors GracePeriodWait (gracePeriod:F, gracePeriod:S, gracePeriod:P, gracePeriod:H) against the
   transitions (entry:W, exit:W, quiescent:W) and helpers (onBehalf:P, onBehalf:W, onBehalf:H,
   onBehalf:U); with
   UNREGISTER, Coordinator.unregister (withdraw:T, unregister:V) against Drain (drain:T, drain:V)
   and a sender that may be late (send:R, send:O).

   Bound: CPU 0 with ROUNDS round trips, after which it stays where it is, in user or in kernel; one
   waiter; a helper with two attempts (HELPER). Counter of W: two bits, so that a snapshot meets its
   own value again.

   Asserted, without UNREGISTER: who finds the pointer as it was before it was unlinked never meets
   the memory after it freed; and the wait ends unless the CPU stays in kernel.
   With UNREGISTER:
   - the handler does not run once it is freed;
   - each bit that was newly set is run, dropped, withdrawn, or still there: a late sender's.

   Forms, which have to hold:
     QUIESCENT   the CPU never leaves kernel, and declares quiescent states
     HELPER      a helper runs a handler for the CPU while that is in user, and looks at the pointer
     UNREGISTER, UNREGISTER HELPER

   Reached, and what it means:
     UNREGISTER REACH_SILENT_DROP  a drain drops a bit that was set before unregistration began, so
                         the CPU is not among those that `unregister` returns
     With WITHDRAW_AND_WAIT this does not happen: what is left is taken back once more, and drains
     that have taken before get their time, before the type stops being live.

   Broken forms, which have to fail:
     NO_FENCE            the unlinking waits in the store buffer while the waiter sees the CPU in
                         user
     SNAPSHOT_FIRST      a section that begins between the snapshot and the unlinking is not waited
                         for
     NO_WAIT             frees at once
     LOAD_BEFORE_ENTRY   the CPU loads the pointer before its addition to W
     ENTRY_BY_STORE      "kernel" waits in the store buffer while the pointer is loaded
     QUIESCENT QUIESCENT_BY_STORE  the same for a quiescent state
     HELPER PIN_IGNORED  a CPU in user is passed while a helper's handler runs
     HELPER LOOK_BEFORE_PIN  the helper looks at W, is passed, and only then pins
     HELPER COUNTED_FIRST  the helper counts as through before it runs
     HELPER COUNT_BEFORE_UNLINK  the count is loaded before the unlinking: the helper that is through
                         next is one before that which may hold what was unlinked
     UNREGISTER NO_LIVE         drains do not look whether the type is live: a late bit runs it
     UNREGISTER LIVE_BEFORE_TAKE  live is read before the take, in user even: no section, so nobody
                                  waits
     UNREGISTER ONE_WAIT        no grace period after the end of the life
     UNREGISTER NO_FENCE        "not live" waits in the store buffer while the CPU is looked at */

#define THREADS 3
#define WORDS 6
#include "tso.h"
#ifndef ROUNDS
#ifdef UNREGISTER
#define ROUNDS 2
#else
#define ROUNDS 4
#endif
#endif

#define W 0
#define K 1
#define PIN 2
#define POINTER 3 /* 0 until it is unlinked */
#define LIVE 3    /* as the pointer: 0 while the handler may run */
#define REGISTRATION 4 /* 0 while it may be sent */
#define HELPS 5   /* how many helpers are through */

bool freed, stays;
/* Bits that were newly set, less those that are accounted for. */
byte pending;
/* In this model's K a bit is 2 if it was set before unregistration began, and 1 after that. */
bool unregistering;

inline use(p) {
  if :: p == 0 -> assert(!freed); assert(!freed) :: else fi
}

#ifdef UNREGISTER
/* The bits in k have been taken. */
inline runTaken() {
  if
  :: k ->
#ifdef NO_LIVE
     p = 0;
#else
#ifndef LIVE_BEFORE_TAKE
     p = mem[LIVE];
#endif
#endif
#ifdef REACH_SILENT_DROP
     assert(p == 0 || k != 2);
#endif
     use(p);
     p = 0;
     k = 0
  :: else
  fi
}

#define TAKE_OF(t) atomic { DRAINED(t) -> k = mem[K]; mem[K] = 0; if :: k -> pending-- :: else fi }
#endif

proctype owner() {
  byte n, p, k, word;
  do
  :: n < ROUNDS ->
     n++;
#ifdef QUIESCENT
#ifdef QUIESCENT_BY_STORE
     word = MOVED(word, 8);
     STORE(0, W, word);
#else
     atomic { DRAINED(0) -> word = MOVED(mem[W], 8); mem[W] = word };
#endif
     p = mem[POINTER];
     use(p);
     p = 0;
#else
#ifdef UNREGISTER
     k = mem[K];
     if :: k -> mem[PIN] == 0; TAKE_OF(0); runTaken() :: else fi;
#endif
     word = MOVED(word, EXIT(USER));
     STORE(0, W, word);
     if :: skip :: goto away fi;
#ifdef LIVE_BEFORE_TAKE
     p = mem[LIVE];
#endif
#ifdef LOAD_BEFORE_ENTRY
     p = mem[POINTER];
#endif
#ifdef ENTRY_BY_STORE
     word = MOVED(word, ENTRY(USER));
     STORE(0, W, word);
#else
     atomic { DRAINED(0) -> word = MOVED(mem[W], ENTRY(USER)); mem[W] = word };
#endif
#ifdef UNREGISTER
     k = mem[K];
     if :: mem[PIN] -> mem[PIN] == 0; k = mem[K] :: else fi;
     if :: k -> TAKE_OF(0); runTaken() :: else fi;
     p = 0
#else
#ifdef HELPER
     mem[PIN] == 0;
#endif
#ifndef LOAD_BEFORE_ENTRY
     p = mem[POINTER];
#endif
     use(p);
     p = 0
#endif
#endif
  :: else -> break
  od;
  DRAINED(0);
  stays = 1;
away:
  skip
}

#ifdef HELPER
proctype helper() {
  byte n, p, w, k;
  do
  :: n < 2 ->
     n++;
#ifdef LOOK_BEFORE_PIN
     w = mem[W];
#endif
     atomic { DRAINED(2) -> mem[PIN] = 1 };
#ifndef LOOK_BEFORE_PIN
     w = mem[W];
#endif
#ifdef COUNTED_FIRST
     STORE(2, HELPS, n);
#endif
     if
     :: CONTEXT(w) == USER ->
#ifdef UNREGISTER
        TAKE_OF(2);
        runTaken()
#else
        p = mem[POINTER];
        use(p);
        p = 0
#endif
     :: else
     fi;
#ifndef COUNTED_FIRST
     STORE(2, HELPS, n);
#endif
     STORE(2, PIN, 0);
     w = 0
  :: else -> break
  od
}
#endif

/* A snapshot of W, the pin after it and the count of helpers after that, and the wait for any. A CPU
   that stays in kernel for good is given up: that is a straggler, which the caller is told of. */
inline look() {
  s = mem[W];
#ifdef PIN_IGNORED
  pin = 0;
#else
  pin = mem[PIN];
#endif
#ifndef COUNT_BEFORE_UNLINK
  helps = mem[HELPS]
#endif
}

inline await() {
  if
  :: CONTEXT(s) != KERNEL && pin -> mem[PIN] == 0 || mem[HELPS] != helps
  :: CONTEXT(s) != KERNEL && !pin -> skip
  :: CONTEXT(s) == KERNEL ->
     if
     :: mem[W] != s
     :: stays && mem[W] == s -> goto givesUp
     fi
  fi;
  s = 0;
  pin = 0;
  helps = 0
}

proctype waiter() {
  byte s, pin, helps, k;
#ifdef UNREGISTER
  atomic { DRAINED(1) -> unregistering = 1 };
  STORE(1, REGISTRATION, 1);
  /* withdraw, where the CPU is outside kernel */
  s = mem[W];
  if :: CONTEXT(s) != KERNEL -> TAKE_OF(1) :: else fi;
  k = 0;
  DRAINED(1);
  look();
  await();
#ifdef WITHDRAW_AND_WAIT
  TAKE_OF(1);
  k = 0;
  look();
  await();
#endif
#ifdef NO_FENCE
  STORE(1, LIVE, 1);
#else
  atomic { DRAINED(1) -> mem[LIVE] = 1 };
#endif
#ifndef ONE_WAIT
  look();
  await();
#endif
  TAKE_OF(1);
  k = 0;
#else
#ifdef SNAPSHOT_FIRST
  look();
#endif
#ifdef COUNT_BEFORE_UNLINK
  helps = mem[HELPS];
#endif
  STORE(1, POINTER, 1);
#ifndef NO_FENCE
  DRAINED(1);
#endif
#ifndef NO_WAIT
#ifndef SNAPSHOT_FIRST
  look();
#endif
  await();
#endif
#endif
  freed = 1;
givesUp:
  skip
}

#ifdef UNREGISTER
proctype sender() {
  byte j, r;
  do
  :: j < 2 ->
     j++;
     r = mem[REGISTRATION];
     if
     :: r == 0 ->
        atomic {
          if
          :: mem[K] == 0 -> pending++; mem[K] = (unregistering -> 1 : 2)
          :: else
          fi
        }
     :: else
     fi;
     r = 0
  :: else -> break
  od
}
#endif

init {
  atomic {
    run memory(0); run memory(1); run memory(2);
    run owner();
    run waiter();
#ifdef HELPER
    run helper();
#endif
#ifdef UNREGISTER
    run sender()
#endif
  };
#ifdef UNREGISTER
  _nr_pr == 4;
  assert(pending == (mem[K] -> 1 : 0))
#endif
}
