/* SPDX-License-Identifier: Apache-2.0

   Probes: what a hit has found is not freed before the hit has ended, and what it counted is seen then.

   Mirrors ProbeSections.enter and leave (probe:E, probe:L), the look at a point's list (probe:V), and
   a removal (probe:P, probe:F, probe:S), for one point, two threads that hit it, and one that attaches and
   removes. The first thread may be interrupted by a signal before its hit, and between its load of the
   state and the exchange; the handler hits the point as well. (Within the section a handler finds an odd
   state and runs nothing.) The state has three bits, and comes round.

   Bound: HITS of each thread, SIGNALS of the first, ROUNDS of a removal and an attachment.

   Asserted:
   - a section that has found the list does not see it freed, to its end;
   - when a removal has returned, all that was counted is seen;
   - every removal ends: one that waits in vain is an invalid end state.

   Broken forms, which have to fail:
     ENTER_BY_STORE  the mark waits in the store buffer while the list is looked at
     LIST_FIRST      the list is looked at before the mark
     NO_FENCE        the removal waits in the store buffer while the states are looked at
     LOOK_FIRST      the states are looked at before the removal
     NO_WAIT         a removal does not wait for the sections that it saw
     LEAVE_FIRST     the section ends before what it found is used for the last time */

#define THREADS 3
#define WORDS 5
#include "tso.h"
#ifndef HITS
#define HITS 1
#endif
#ifndef SIGNALS
#define SIGNALS 1
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif

#define STATE(t) (t)
#define LIST 2
#define COUNT(t) (3 + (t))
#define REMOVER 2
#define NEXT(s) (((s) + 1) & 7)

bool freed;
byte counted[2];
/* The state as its thread sees it, through its store buffer. */
byte view[2];

/* From the exchange to the end, with the state that was loaded before. */
inline section(t, state) {
#ifdef LIST_FIRST
  list = mem[LIST];
#endif
#ifdef ENTER_BY_STORE
  atomic { STORE(t, STATE(t), NEXT(state)); view[t] = NEXT(state) };
#else
  atomic { DRAINED(t) -> mem[STATE(t)] = NEXT(state); view[t] = NEXT(state) };
#endif
#ifndef LIST_FIRST
  list = mem[LIST];
#endif
  if
  :: list ->
     assert(!freed);
#ifdef LEAVE_FIRST
     atomic { STORE(t, STATE(t), NEXT(view[t])); view[t] = NEXT(view[t]) };
#endif
     atomic { STORE(t, COUNT(t), counted[t] + 1); counted[t]++ };
     assert(!freed);
     list = 0;
#ifndef LEAVE_FIRST
     atomic { STORE(t, STATE(t), NEXT(view[t])); view[t] = NEXT(view[t]) }
#endif
  :: else ->
     atomic { STORE(t, STATE(t), NEXT(view[t])); view[t] = NEXT(view[t]) }
  fi
}

inline signal(t) {
  if
  :: signals < SIGNALS -> signals++; interrupted = view[t]; section(t, interrupted); interrupted = 0
  :: true
  fi
}

proctype hitter(byte t; byte signals) {
  byte n, loaded, interrupted;
  bool list;
  do
  :: n < HITS ->
     n++;
     signal(t);
     loaded = view[t];
     signal(t);
     section(t, loaded);
     loaded = 0
  :: else -> break
  od
}

proctype remover() {
  byte n, s[2];
  do
  :: n < ROUNDS ->
     n++;
#ifdef LOOK_FIRST
     s[0] = mem[STATE(0)];
     s[1] = mem[STATE(1)];
#endif
     STORE(REMOVER, LIST, 0);
#ifndef NO_FENCE
     DRAINED(REMOVER);
#endif
#ifndef LOOK_FIRST
     s[0] = mem[STATE(0)];
     s[1] = mem[STATE(1)];
#endif
#ifndef NO_WAIT
     !(s[0] & 1) || mem[STATE(0)] != s[0];
     !(s[1] & 1) || mem[STATE(1)] != s[1];
#endif
     atomic {
       assert(mem[COUNT(0)] == counted[0] && mem[COUNT(1)] == counted[1]);
       freed = 1;
       s[0] = 0;
       s[1] = 0
     };
     if
     :: n < ROUNDS -> atomic { DRAINED(REMOVER); freed = 0; STORE(REMOVER, LIST, 1) }
     :: else
     fi
  :: else -> break
  od
}

init {
  atomic {
    mem[LIST] = 1;
    run memory(0); run memory(1); run memory(2);
    run hitter(0, 0); run hitter(1, SIGNALS); run remover()
  }
}
