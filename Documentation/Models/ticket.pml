/* SPDX-License-Identifier: Apache-2.0

   Tickets: when does "has run for my send" or "cannot see anything older" hold.

   Mirrors Ticket.swift (ticket:G, ticket:A, ticket:W) against Drain.runType (drain:T, drain:G,
   drain:A) and the transitions, for CPU 0, which nobody leaves or joins (slot.pml has that), a
   sender that waits for its ticket, and one that sends the same work without a ticket, or with one
   (TWO_TICKETS).

   Bound: one send each; ROUNDS safe points or round trips through user, after which the CPU stays
   in user for ever, or in kernel with one safe point after the last send.

   Asserted:
   - a ticket that says `executed` was preceded by a run that read its datum;
   - one that says `covered`: the CPU has read the datum when its next entry is through;
   - each ticket settles (a waiter that never ends is an invalid end state).

   Broken forms, which have to fail:
     DRAINS_PLUS_ONE         waits for one more completed drain: the drain that is going on may have
                             taken its bits before the send
     DRAINS_PLUS_TWO         waits for two more: nobody sets the bit for a second one
     GENERATION_BEFORE_TAKE  the bit may be set between: its run publishes a generation that is too
                             old, and no other run comes
     GENERATION_AFTER_RUN    publishes generations that were drawn while the handler ran
     APPLIED_BEFORE_RUN      the ticket says `executed` while the handler has yet to read
     NO_USER_RULE            the bit came after the last look at K of a CPU that stays in user
     USER_RULE_ONCE          the same: one look may fall in the instant between K and W
     TICKET_AFTER_BIT        the run for the bit may be over when the generation is drawn
     TWO_TICKETS DRAW_BY_STORE  the generation by load and store: both draw the same one, and a run
                                for the first settles the second
     NARROW_GENERATION       two bits instead of 64: after the wrap an older one is not less */

#define THREADS 3
#define WORDS 7
#include "tso.h"
#ifndef ROUNDS
#define ROUNDS 3
#endif

#define W 0
#define K 1
#define GENERATION 2
#define APPLIED 3
#define DRAINS 4 /* completed drains, for the forms that count those */
#define DATUM(s) (4 + (s))

#ifdef NARROW_GENERATION
#define LAST 3 /* what was drawn and applied before */
#define NEXT(g) (((g) + 1) & 3)
#else
#define LAST 0
#define NEXT(g) ((g) + 1)
#endif

byte seen[3], covered[3], sends, drains;

#define HAS_SEEN(s) seen[s] >= covered[s]

inline runType() {
#ifdef GENERATION_BEFORE_TAKE
  g = mem[GENERATION];
#endif
  atomic { DRAINED(0) -> mem[K] = 0 };
#if !defined(GENERATION_BEFORE_TAKE) && !defined(GENERATION_AFTER_RUN)
  g = mem[GENERATION];
#endif
#ifdef APPLIED_BEFORE_RUN
  STORE(0, APPLIED, g);
#endif
  seen[1] = mem[DATUM(1)];
  seen[2] = mem[DATUM(2)];
#ifdef GENERATION_AFTER_RUN
  g = mem[GENERATION];
#endif
#if defined(DRAINS_PLUS_ONE) || defined(DRAINS_PLUS_TWO)
  drains++;
  STORE(0, DRAINS, drains);
#else
#ifndef APPLIED_BEFORE_RUN
  STORE(0, APPLIED, g);
#endif
#endif
  g = 0
}

inline safePoint() {
  k = mem[K];
  if :: k -> runType() :: else fi;
  k = 0
}

proctype owner() {
  byte n, k, g, word;
  do
  :: n < ROUNDS -> n++; safePoint()
  :: n < ROUNDS -> n++;
     safePoint();
     word = MOVED(word, EXIT(USER));
     STORE(0, W, word);
     if :: skip :: goto stays fi;
     atomic { DRAINED(0) -> word = MOVED(mem[W], ENTRY(USER)); mem[W] = word };
     safePoint();
     assert(HAS_SEEN(1) && HAS_SEEN(2))
  :: n >= ROUNDS -> break
  od;
  sends == 2;
  safePoint();
stays:
  skip
}

/* A send: OR, then the look at W, whose answer the ticket does not need. */
inline deliver() {
  atomic { DRAINED(s) -> mem[K] = 1; sends++ };
  w = mem[W]
}

#define COVERED atomic { if :: CONTEXT(mem[W]) != KERNEL -> covered[s] = 1 :: else fi }

proctype waiter(byte s) {
  byte g, w;
  STORE(s, DATUM(s), 1);
#ifdef DRAW_BY_STORE
  g = NEXT(mem[GENERATION]);
  STORE(s, GENERATION, g);
#else
#ifndef TICKET_AFTER_BIT
  atomic { DRAINED(s) -> g = NEXT(mem[GENERATION]); mem[GENERATION] = g };
#endif
#endif
  deliver();
#ifdef TICKET_AFTER_BIT
  atomic { DRAINED(s) -> g = NEXT(mem[GENERATION]); mem[GENERATION] = g };
#endif
#if defined(DRAINS_PLUS_ONE) || defined(DRAINS_PLUS_TWO)
  g = mem[DRAINS];
#endif
#ifdef USER_RULE_ONCE
  COVERED;
  if :: covered[s] -> goto settled :: else fi;
#endif
  do
#ifdef DRAINS_PLUS_ONE
  :: mem[DRAINS] >= g + 1 -> break
#else
#ifdef DRAINS_PLUS_TWO
  :: mem[DRAINS] >= g + 2 -> break
#else
  :: mem[APPLIED] >= g -> break
#endif
#endif
#if !defined(NO_USER_RULE) && !defined(USER_RULE_ONCE)
  :: CONTEXT(mem[W]) != KERNEL ->
     COVERED;
     if :: covered[s] -> goto settled :: else fi
#endif
  od;
  assert(seen[s]);
settled:
  skip
}

proctype noise(byte s) {
  byte w;
  deliver()
}

init {
  atomic {
    mem[GENERATION] = LAST;
    mem[APPLIED] = LAST;
    run memory(0); run memory(1); run memory(2);
    run owner();
    run waiter(1);
#ifdef TWO_TICKETS
    run waiter(2)
#else
    run noise(2)
#endif
  }
}
