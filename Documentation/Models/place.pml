/* SPDX-License-Identifier: Apache-2.0

   A table of probe points by object and offset: searches without a lock, in entries that are used again.

   Mirrors ProbePlaces.find (place:V), put (place:P), takeAway and release, in sections of ProbeSections
   (probe:E, probe:L, probe:F, probe:S). There are two entries, and an end after them. Three keys have
   the first one as their hash: two of them have it in turn, the third one is in the second all the time.
   A site is its key and 1.

   Bound: two readers, LOOKUPS each, for any of the keys; ROUNDS of a removal and an insertion of the other
   key. The state has two bits, and comes round.

   Asserted:
   - a search finds the site of its key, and no other;
   - what a search has found is not taken away for good before its section has ended;
   - a key that is there all the time is found.

   Broken forms, which have to fail:
     ENTER_BY_STORE  the mark waits in the store buffer while the entry is looked at
     SITE_FIRST      the site is stored before the key
     NO_WAIT         an entry is used again, and a removal returns, without a wait for the sections
     NO_FENCE        the removal waits in the store buffer while the states are looked at
     KEY_FIRST       a search looks at the key before the site
     ENDS            a removed entry ends searches, though there is one after it */

#define THREADS 3
#define WORDS 6
#include "tso.h"
#ifndef LOOKUPS
#define LOOKUPS 1
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif

#define STATE(t) (t)
#define SITE(e) (2 + 2 * (e))
#define KEY(e) (3 + 2 * (e))
#define WRITER 2
#define NEVER 0
#define REMOVED 1
#define SITE_OF(key) ((key) + 1)

/* By key: whether its removal has returned, and nobody has put it in again. */
bool gone[4];

proctype reader(byte t) {
  byte n, wanted, e, site, key, state;
  do
  :: n < LOOKUPS ->
     n++;
     if
     :: wanted = 1
     :: wanted = 2
     :: wanted = 3
     fi;
#ifdef ENTER_BY_STORE
     atomic { STORE(t, STATE(t), (state + 1) & 3); state = (state + 1) & 3 };
#else
     atomic { DRAINED(t) -> state = (state + 1) & 3; mem[STATE(t)] = state };
#endif
     e = 0;
     do
     :: e == 2 -> assert(wanted != 3); break
     :: else ->
#ifdef KEY_FIRST
        key = mem[KEY(e)];
        site = mem[SITE(e)];
#else
        site = mem[SITE(e)];
        key = mem[KEY(e)];
#endif
        if
        :: site == NEVER -> assert(wanted != 3); break
        :: site != NEVER && site != REMOVED && key == wanted ->
           assert(site == SITE_OF(wanted));
           assert(!gone[wanted]);
           /* What is attached runs. */
           assert(!gone[wanted]);
           break
        :: else -> e++
        fi
     od;
     atomic { state = (state + 1) & 3; STORE(t, STATE(t), state) };
     atomic { e = 0; site = 0; key = 0; wanted = 0 }
  :: else -> break
  od
}

proctype writer() {
  byte n, present = 1, s[2];
  do
  :: n < ROUNDS ->
     n++;
#ifdef ENDS
     STORE(WRITER, SITE(0), NEVER);
#else
     STORE(WRITER, SITE(0), REMOVED);
#endif
#ifndef NO_FENCE
     DRAINED(WRITER);
#endif
#ifndef NO_WAIT
     s[0] = mem[STATE(0)];
     s[1] = mem[STATE(1)];
     !(s[0] & 1) || mem[STATE(0)] != s[0];
     !(s[1] & 1) || mem[STATE(1)] != s[1];
#endif
     atomic { gone[present] = 1; s[0] = 0; s[1] = 0; present = 3 - present };
#ifdef SITE_FIRST
     atomic { gone[present] = 0; STORE(WRITER, SITE(0), SITE_OF(present)) };
     STORE(WRITER, KEY(0), present)
#else
     STORE(WRITER, KEY(0), present);
     atomic { gone[present] = 0; STORE(WRITER, SITE(0), SITE_OF(present)) }
#endif
  :: else -> break
  od
}

init {
  atomic {
    mem[SITE(0)] = SITE_OF(1); mem[KEY(0)] = 1;
    mem[SITE(1)] = SITE_OF(3); mem[KEY(1)] = 3;
    gone[2] = 1;
    run memory(0); run memory(1); run memory(2);
    run reader(0); run reader(1); run writer()
  }
}
