/* SPDX-License-Identifier: Apache-2.0

   On behalf: a helper runs a CPU's work while the CPU is outside kernel.

   Mirrors Drain.runOnBehalf (onBehalf:P, onBehalf:W, drain:T, onBehalf:U) against entry (entry:W,
   entry:K, entry:P, drain:T) and Drain.waitWhilePinned, for CPU 0 and two helpers, each of which
   sends work with a ticket (ticket:G, send:O, send:L) and then tries to run it.

   Bound: SENDS sends of each helper; ROUNDS round trips of the CPU, one more when they are through.

   Asserted:
   - helpers and owner never run handlers at once, and no handler runs beside the owner's kernel
     sections;
   - what was answered `deferred` has been read before the CPU is through with its next entry; what
     was answered `ranOnBehalf` has been read;
   - each bit that was newly set is taken and run once;
   - `applied` never goes back, so a ticket that has settled stays settled;
   - nobody waits for ever.

   Broken forms, which have to fail:
     PIN_IS_COUNT          a count instead of a try-lock: two helpers run at once
     LOOK_BEFORE_PIN       the CPU enters between, and runs beside the helper
     RUN_THEN_CLEAR        what arrives while the handler runs is cleared with what it ran for
     UNPIN_BEFORE_RUN      the owner goes on beside the handler
     UNPIN_BEFORE_APPLIED  the owner's own run publishes a later generation first, and the helper
                           takes it back
     NO_SPIN               the owner does not look at the pin
     PIN_BEFORE_W          the owner looks at the pin before its addition to W
     RUN_BEFORE_SPIN       the owner runs what it took before it waits */

#define THREADS 3
#define WORDS 7
#define APPLIED 4
#define WRITTEN(a, v) assert(a != APPLIED || v >= mem[APPLIED])
#include "tso.h"
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef SENDS
#define SENDS 1
#endif

#define W 0
#define K 1
#define PIN 2
#define GENERATION 3
#define DATUM(s) (4 + (s)) /* of the helpers 1 and 2 */

byte seen[3], deferred[3], queued[3], owed[3], finished;
byte newlySet, taken, running;

#define OWE(s) owed[s] = MAX(deferred[s], queued[s])

inline handle() {
  atomic { running++; assert(running == 1) };
  seen[1] = mem[DATUM(1)];
  seen[2] = mem[DATUM(2)];
  running--
}

inline drain() {
  if
  :: k ->
     atomic { DRAINED(0) -> k = mem[K]; mem[K] = 0; taken = taken + k };
     if
     :: k ->
        g = mem[GENERATION];
        handle();
        STORE(0, APPLIED, g);
        g = 0
     :: else
     fi
  :: else
  fi;
  k = 0
}

proctype owner() {
  byte n, k, g, word;
  do
  :: n < ROUNDS || finished == 2 ->
     assert(running == 0);
     k = mem[K];
     if :: k -> mem[PIN] == 0 :: else fi;
     drain();
     assert(running == 0 && seen[1] >= deferred[1] && seen[2] >= deferred[2]);
     word = MOVED(word, EXIT(USER));
     STORE(0, W, word);
     if :: n >= ROUNDS -> n = 99 :: else -> n++ fi;
#ifdef PIN_BEFORE_W
     mem[PIN] == 0;
#endif
     atomic {
       DRAINED(0) ->
       word = MOVED(mem[W], ENTRY(USER));
       mem[W] = word;
       OWE(1);
       OWE(2)
     };
     k = mem[K];
#ifdef RUN_BEFORE_SPIN
     drain();
#endif
#if !defined(NO_SPIN) && !defined(PIN_BEFORE_W)
     /* A pin that is taken later finds kernel. After a wait K is looked at afresh. */
     if :: mem[PIN] -> mem[PIN] == 0; k = mem[K] :: else fi;
#endif
     drain();
     assert(running == 0 && seen[1] >= owed[1] && seen[2] >= owed[2]);
     if :: n == 99 -> break :: else fi
  od;
  assert(taken == newlySet && mem[K] == 0)
}

proctype helper(byte s) {
  byte j, w, k, g;
  do
  :: j < SENDS ->
     j++;
     STORE(s, DATUM(s), j);
     atomic { DRAINED(s) -> mem[GENERATION]++ };
     atomic {
       DRAINED(s) ->
       if :: mem[K] :: else -> newlySet++ fi;
       mem[K] = 1
     };
     atomic {
       w = mem[W];
       if :: CONTEXT(w) == USER -> deferred[s] = j :: else -> queued[s] = j fi
     };
     if :: CONTEXT(w) != USER -> goto through :: else fi;
#ifdef LOOK_BEFORE_PIN
     w = mem[W];
#endif
#ifdef PIN_IS_COUNT
     atomic { DRAINED(s) -> mem[PIN]++ };
#else
     atomic { DRAINED(s) -> if :: mem[PIN] == 0 -> mem[PIN] = s :: else -> goto through fi };
#endif
#ifndef LOOK_BEFORE_PIN
     w = mem[W];
#endif
     if
     :: CONTEXT(w) == USER ->
#ifdef RUN_THEN_CLEAR
        k = mem[K];
#else
        atomic { DRAINED(s) -> k = mem[K]; mem[K] = 0; taken = taken + k };
#endif
        if
        :: k ->
           g = mem[GENERATION];
#ifdef UNPIN_BEFORE_RUN
           STORE(s, PIN, 0);
#endif
           handle();
           assert(seen[s] >= j);
#ifdef UNPIN_BEFORE_APPLIED
           STORE(s, PIN, 0);
#endif
           STORE(s, APPLIED, g);
#ifdef RUN_THEN_CLEAR
           atomic { DRAINED(s) -> k = mem[K]; mem[K] = 0; taken = taken + k };
#endif
#if defined(UNPIN_BEFORE_RUN) || defined(UNPIN_BEFORE_APPLIED)
           goto through
#endif
        :: else
        fi
     :: else
     fi;
#ifdef PIN_IS_COUNT
     atomic { DRAINED(s) -> mem[PIN]-- };
#else
     STORE(s, PIN, 0);
#endif
through:
     w = 0; k = 0; g = 0
  :: else -> break
  od;
  DRAINED(s);
  finished++
}

init {
  atomic { run memory(0); run memory(1); run memory(2); run owner(); run helper(1); run helper(2) }
}
