/* SPDX-License-Identifier: Apache-2.0

   A payload that senders merge in place, and the bit that brings it.

   A send (SendPath+CatchUp.swift, payload:M; SendPath.swift, send:O) publishes its datum, merges its
   payload into the CPU's word by a read-modify-write, then sets the bit and looks at W. A drain takes
   the bits (drain:T), then the payload by exchange with nothing (payload:T), and tells the handler
   what it found; it calls nobody for nothing. Entry and exit are those of bit.pml.

   Here a payload has a bit for each sender whose data it announces; with SAME both senders announce
   both. With TICKET the first sender draws a generation after each merge (ticket:G), which a drain
   loads after its take of the bits (drain:G) and stores after its run (drain:A).

   Bound: one CPU, two senders with SENDS sends each, ROUNDS round trips, one more when the senders
   are through.

   Asserted: what a send that saw user, or set a bit, promised has been read after the next entry, or
   the next drain; in the end everything has been read and nothing is left. With TICKET: what is
   executed has been read.

   Broken forms, which have to fail:
     BIT_FIRST        the bit before the merge: the run that it brings is told nothing
     PAYLOAD_FIRST    the payload taken before the bits: what is merged between loses its bit
     MERGE_BY_STORE   merged by load and store: another sender's payload, or a take, is undone
     TAKE_BY_STORE    taken by load and store: what is merged between is wiped out
     SAME PLAIN_SKIP  a merge that would add nothing is left out on a plain look: the datum waits in the
                      store buffer while the payload that was seen is taken and told
     TICKET TICKET_FIRST  the generation before the merge: a run for the other sender's bit loads it,
                      and is told nothing
     TICKET GENERATION_LATE  the drain loads the generation after the payload: what is merged and
                      drawn in between counts as run

   Reached:
     REACH_NOTHING    a bit without payload: an earlier bit's run was told of it */

#define THREADS 3
#define WORDS 7
#include "tso.h"
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef SENDS
#define SENDS 2
#endif

#define W 0
#define K 1
#define PAYLOAD 2
#define DATUM(s) (2 + (s))
#define GENERATION 5
#define APPLIED 6

#ifdef SAME
#define TOLD(s) 3
#else
#define TOLD(s) (1 << ((s) - 1))
#endif

byte seen[3], promised[3], owed[3], finished;

inline takePayload() {
#ifdef TAKE_BY_STORE
  p = mem[PAYLOAD];
  STORE(0, PAYLOAD, 0)
#else
  atomic { DRAINED(0) -> p = mem[PAYLOAD]; mem[PAYLOAD] = 0 }
#endif
}

inline drain() {
#ifdef PAYLOAD_FIRST
  takePayload();
#endif
  k = mem[K];
  if
  :: k ->
     atomic { DRAINED(0) -> k = mem[K]; mem[K] = 0 };
#ifdef TICKET
#ifndef GENERATION_LATE
     g = mem[GENERATION];
#endif
#endif
#ifndef PAYLOAD_FIRST
     takePayload();
#endif
#ifdef GENERATION_LATE
     g = mem[GENERATION];
#endif
#ifdef REACH_NOTHING
     assert(p != 0);
#endif
     assert(CONTEXT(mem[W]) == KERNEL);
     if :: p & 1 -> seen[1] = mem[DATUM(1)] :: else fi;
     if :: p & 2 -> seen[2] = mem[DATUM(2)] :: else fi;
#ifdef TICKET
     STORE(0, APPLIED, g);
     g = 0
#endif
  :: else
  fi;
  p = 0;
  k = 0
}

proctype owner() {
  byte n, k, p, g, word;
  do
  :: n < ROUNDS || finished == 2 ->
     drain();
     word = MOVED(word, EXIT(USER));
     STORE(0, W, word);
     if :: n >= ROUNDS -> n = 99 :: else -> n++ fi;
     atomic {
       DRAINED(0) ->
       word = MOVED(mem[W], ENTRY(USER));
       mem[W] = word;
       owed[1] = promised[1];
       owed[2] = promised[2]
     };
     drain();
     assert(seen[1] >= owed[1] && seen[2] >= owed[2]);
     if :: n == 99 -> break :: else fi
  od;
#ifndef PAYLOAD_FIRST
  assert(mem[PAYLOAD] == 0 || finished < 2);
#endif
  assert(seen[1] == SENDS && seen[2] == SENDS)
}

inline merge() {
#ifdef PLAIN_SKIP
  p = mem[PAYLOAD];
  if
  :: (p & TOLD(s)) == TOLD(s)
  :: else -> atomic { DRAINED(s) -> mem[PAYLOAD] = mem[PAYLOAD] | TOLD(s) }
  fi;
  p = 0
#else
#ifdef MERGE_BY_STORE
  p = mem[PAYLOAD] | TOLD(s);
  STORE(s, PAYLOAD, p);
  p = 0
#else
  atomic { DRAINED(s) -> mem[PAYLOAD] = mem[PAYLOAD] | TOLD(s) }
#endif
#endif
}

inline draw() {
#ifdef TICKET
  if
  :: s == 1 -> atomic { DRAINED(s) -> mem[GENERATION]++; g = mem[GENERATION] }
  :: else
  fi
#else
  skip
#endif
}

proctype sender(byte s) {
  byte j, p, g;
  do
  :: j < SENDS ->
     j++;
     STORE(s, DATUM(s), j);
#ifdef TICKET_FIRST
     draw();
#endif
#ifndef BIT_FIRST
     merge();
#endif
#ifndef TICKET_FIRST
     draw();
#endif
#ifdef PLAIN_SKIP
     /* What waits is taken to be covered, bit and all. */
     if
     :: mem[K]
     :: else -> atomic { DRAINED(s) -> mem[K] = 1 }
     fi;
#else
     atomic { DRAINED(s) -> mem[K] = 1 };
#endif
#ifdef BIT_FIRST
     merge();
#endif
     promised[s] = j;
#ifdef TICKET
     /* At any later moment: nothing says when the sender gets here. */
     if
     :: s == 1 && mem[APPLIED] >= g -> assert(seen[1] >= j)
     :: else
     fi;
     g = 0
#endif
  :: else -> break
  od;
  DRAINED(s);
  finished++
}

init {
  atomic { run memory(0); run memory(1); run memory(2); run owner(); run sender(1); run sender(2) }
}
