/* SPDX-License-Identifier: Apache-2.0

   Catch-up by generation: work that is deferred without writing to the CPU.

   A send (SendPath+CatchUp.swift) counts up its type's generation (catchUp:G), then one summary
   generation over all such types (catchUp:S), and looks at W (catchUp:W): a CPU in user is owed
   nothing in writing, since its next entry compares the summary with what it has seen (entry:S,
   catchUp:C). Every other CPU gets a bit in K, unless what it has applied covers the send. Entry and
   exit are those of bit.pml (entry:W, entry:K, drain:T, exit:K, exit:W), with the comparison after
   the look at K.

   Bound: one CPU, two senders with SENDS sends each, of one type or of two (TYPES); ROUNDS round
   trips, one more when the senders are through. With ATTACH the CPU begins offline, takes the summary
   and then every generation as its own (catchUp:A, attach:G), enters, and caches what is there.

   Asserted:
   - what was answered `deferred` has been read, by a handler or by the thread that has attached
     since, before the CPU is through with its next entry; what was answered `queued`, too;
   - handlers run while W says kernel;
   - in the end everything has been read.

   Broken forms, which have to fail:
     CATCH_UP_FIRST       entry compares before it publishes kernel: what is sent between is owed by
                          the next entry, and by nobody now
     ENTRY_BY_STORE       "kernel" waits in the store buffer while the summary is loaded
     INVERTED             the sender owes nothing to a CPU in kernel, and a bit to one in user
     W_FIRST              the sender looks at W before it counts up: the CPU that entered between is
                          taken for one that is in user
     GENERATION_FIRST     counts up before the datum: caught up with, without the datum
     GENERATION_BY_STORE  counts up by load and store: nothing orders the look at W after it
     GENERATION_REREAD    after the run takes as its own what the generation is by then
     SUMMARY_REREAD       the same for the summary
     TYPES=2 SUMMARY_FIRST  the summary is counted up before the generation: an entry between sees
                          that something has moved, finds nothing, and does not look again
     ATTACH CACHE_BEFORE_GENERATION  the thread caches before it takes the generations as its own:
                          what is sent between counts as seen, and is not */

#define THREADS 3
#define WORDS 9
#include "tso.h"
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef SENDS
#define SENDS 2
#endif
#ifndef TYPES
#define TYPES 1
#endif

#define W 0
#define K 1
#define SUMMARY 2
#define GENERATION(b) (3 + (b))
#define APPLIED(b) (5 + (b))
#define DATUM(s) (6 + (s))

#ifdef INVERTED
#define OWED_NOTHING(w) (CONTEXT(w) != USER)
#else
#define OWED_NOTHING(w) (CONTEXT(w) == USER)
#endif

/* With two types each sender has its own. */
#if TYPES == 2
#define TYPE(s) ((s) - 1)
#else
#define TYPE(s) 0
#endif

byte seen[3], deferred[3], queued[3], owed[3], finished;

#define OWE(s) owed[s] = MAX(deferred[s], queued[s])

/* The handler is called for a gap only. What was loaded before it is what is caught up with. */
inline catchUp(b) {
  g = mem[GENERATION(b)];
  if
  :: g != own[b] ->
#ifndef CATCH_UP_FIRST
     assert(CONTEXT(mem[W]) == KERNEL);
#endif
#if TYPES == 2
     seen[b + 1] = mem[DATUM(b + 1)];
#else
     seen[1] = mem[DATUM(1)];
     seen[2] = mem[DATUM(2)];
#endif
#ifdef GENERATION_REREAD
     g = mem[GENERATION(b)];
#endif
     own[b] = g;
     STORE(0, APPLIED(b), g)
  :: else
  fi;
  g = 0
}

inline compareSummary() {
  sum = mem[SUMMARY];
  if
  :: sum != ownSummary ->
     catchUp(0);
#if TYPES == 2
     catchUp(1);
#endif
#ifdef SUMMARY_REREAD
     sum = mem[SUMMARY];
#endif
     ownSummary = sum
  :: else
  fi;
  sum = 0
}

inline drain() {
  k = mem[K];
  if
  :: k ->
     atomic { DRAINED(0) -> k = mem[K]; mem[K] = 0 };
     if :: k & 1 -> catchUp(0) :: else fi;
#if TYPES == 2
     if :: k & 2 -> catchUp(1) :: else fi
#endif
  :: else
  fi;
  k = 0
}

inline cache() {
  seen[1] = mem[DATUM(1)];
  seen[2] = mem[DATUM(2)]
}

proctype owner() {
  byte n, k, g, sum, ownSummary, word;
  byte own[2];
#ifdef ATTACH
  atomic { DRAINED(0) -> mem[K] = 0 };
#ifdef CACHE_BEFORE_GENERATION
  cache();
#endif
  ownSummary = mem[SUMMARY];
  own[0] = mem[GENERATION(0)];
  own[1] = mem[GENERATION(1)];
  STORE(0, APPLIED(0), own[0]);
  atomic { DRAINED(0) -> word = MOVED(mem[W], ENTRY(OFFLINE)); mem[W] = word };
  compareSummary();
#ifndef CACHE_BEFORE_GENERATION
  cache();
#endif
#endif
  do
  :: n < ROUNDS || finished == 2 ->
     drain();
     assert(seen[1] >= deferred[1] && seen[2] >= deferred[2]);
     word = MOVED(word, EXIT(USER));
     STORE(0, W, word);
     if :: n >= ROUNDS -> n = 99 :: else -> n++ fi;
#ifdef CATCH_UP_FIRST
     compareSummary();
#endif
#ifdef ENTRY_BY_STORE
     word = MOVED(word, ENTRY(USER));
     atomic { STORE(0, W, word); OWE(1); OWE(2) };
#else
     atomic {
       DRAINED(0) ->
       word = MOVED(mem[W], ENTRY(USER));
       mem[W] = word;
       OWE(1);
       OWE(2)
     };
#endif
#ifndef CATCH_UP_FIRST
     compareSummary();
#endif
     drain();
     assert(seen[1] >= owed[1] && seen[2] >= owed[2]);
     if :: n == 99 -> break :: else fi
  od;
  assert(seen[1] == SENDS && seen[2] == SENDS)
}

proctype sender(byte s) {
  byte j, w, g;
  do
  :: j < SENDS ->
     j++;
#ifndef GENERATION_FIRST
     STORE(s, DATUM(s), j);
#endif
#ifdef W_FIRST
     w = mem[W];
#endif
#ifdef SUMMARY_FIRST
     atomic { DRAINED(s) -> mem[SUMMARY]++ };
#endif
#ifdef GENERATION_BY_STORE
     g = mem[GENERATION(TYPE(s))] + 1;
     STORE(s, GENERATION(TYPE(s)), g);
     w = mem[SUMMARY] + 1;
     STORE(s, SUMMARY, w);
#else
     atomic { DRAINED(s) -> g = mem[GENERATION(TYPE(s))] + 1; mem[GENERATION(TYPE(s))] = g };
#ifndef SUMMARY_FIRST
     atomic { DRAINED(s) -> mem[SUMMARY]++ };
#endif
#endif
#ifdef GENERATION_FIRST
     STORE(s, DATUM(s), j);
#endif
     atomic {
#ifndef W_FIRST
       w = mem[W];
#endif
       if :: OWED_NOTHING(w) -> deferred[s] = j :: else fi
     };
     if
     :: OWED_NOTHING(w)
     :: else ->
        if
        /* Nobody is there: whoever attaches takes the generation as its own, or compares. */
        :: CONTEXT(w) == OFFLINE
        :: CONTEXT(w) != OFFLINE && mem[APPLIED(TYPE(s))] >= g ->
#ifdef ATTACH
           /* By a run, or by a thread that has cached nothing yet. */
           queued[s] = j
#else
           assert(seen[s] >= j)
#endif
        :: else -> atomic { DRAINED(s) -> mem[K] = mem[K] | (1 << TYPE(s)); queued[s] = j }
        fi
     fi;
     w = 0;
     g = 0
  :: else -> break
  od;
  DRAINED(s);
  finished++
}

init {
  atomic {
#ifdef ATTACH
    mem[W] = OFFLINE;
#endif
    run memory(0); run memory(1); run memory(2); run owner(); run sender(1); run sender(2)
  }
}
