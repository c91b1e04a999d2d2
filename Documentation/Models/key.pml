/* SPDX-License-Identifier: Apache-2.0

   Words that are copied together, with two writers: a call and a key in one group.

   A change (KeyTable+Changing.swift) takes the claim (patch:C), writes all words of the group into the
   set that is not current (KeyTable.swift, patch:B), makes it current by counting up the stamp
   (patch:P), draws a generation (ticket:G), sets the bit (send:O), and waits until the CPU was seen
   outside kernel (ticket:W) or has applied that generation (ticket:A). Then alone it is acknowledged,
   and the claim is free (patch:U). A drain takes the bit (drain:T), loads the generation (drain:G),
   copies what is current at the stamp that it sees (patch:R), looks at the stamp again (patch:E), begins
   anew if that has moved, and publishes the generation (drain:A). Entry and exit are those of bit.pml.

   The first writer changes the two words of the call together, the second one the key. With TWICE a
   turn publishes the group twice, as one that changes a further key: what it writes the second time is
   written over what a drain may be copying.

   Bound: one CPU, CHANGES changes by each writer, ROUNDS round trips, one more when the writers are
   through.

   Asserted: after an entry the CPU has every change that was acknowledged before it; the two words of
   the call are of one change; a group is copied again only as often as one turn publishes it; in the
   end the CPU has everything.

   Broken forms, which have to fail:
     PASSED_OVER      a group whose stamp moves while it is copied is left to the next drain: that one
                      comes for the later change, and the earlier one is acknowledged already
     MARKED           one set of words, and an odd stamp while it is written, that a drain passes over:
                      the same
     IN_PLACE         one set of words, and a stamp that moves after them: a call of two changes
     OWN_WORDS        a change writes its own words alone: the others are those of two changes ago
     STAMP_FIRST      the stamp before the words
     TWICE NO_SECOND_LOOK   what was copied is kept: a call of two changes
     UNCLAIMED        the claim is free before the change is acknowledged: writers follow each other
                      while one drain copies, and nothing bounds how often it begins anew */

#define THREADS 3
#define WORDS 12
#include "tso.h"
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef CHANGES
#define CHANGES 2
#endif
#ifdef TWICE
#define TURN 2
#else
#define TURN 1
#endif

#define W 0
#define K 1
#define GENERATION 2
#define APPLIED 3
#define CLAIM 4
#define STAMP 5

#if defined(MARKED) || defined(IN_PLACE)
#define MASTER(stamp, word) (6 + (word))
#else
#define MASTER(stamp, word) (6 + 3 * ((stamp) & 1) + (word))
#endif
#define FUNCTION 0
#define CONTEXT_OF_CALL 1
#define KEY 2

/* The CPU's copies, and what was acknowledged. */
byte copied[3], told[3], owed[3], seen, finished;

inline keep() {
  d_step { copied[FUNCTION] = f; copied[CONTEXT_OF_CALL] = c; copied[KEY] = z; seen = stamp }
}

inline copyGroup() {
  do
  :: stamp = mem[STAMP];
#ifdef MARKED
     if :: stamp & 1 -> break :: else fi;
#endif
     if :: stamp == seen -> break :: else fi;
     assert(tries <= TURN);
     f = mem[MASTER(stamp, FUNCTION)];
     c = mem[MASTER(stamp, CONTEXT_OF_CALL)];
     z = mem[MASTER(stamp, KEY)];
#ifndef NO_SECOND_LOOK
     if
     :: mem[STAMP] != stamp ->
#if defined(MARKED) || defined(PASSED_OVER)
        break
#else
        tries++
#endif
     :: else -> keep(); break
     fi
#else
     keep();
     break
#endif
  od;
  atomic { tries = 0; stamp = 0; f = 0; c = 0; z = 0 }
}

inline drain() {
  k = mem[K];
  if
  :: k ->
     atomic { DRAINED(0) -> k = 0; mem[K] = 0 };
     g = mem[GENERATION];
     copyGroup();
     STORE(0, APPLIED, g);
     g = 0
  :: else
  fi
}

inline check() {
  d_step {
    assert(copied[FUNCTION] == copied[CONTEXT_OF_CALL]);
    assert(copied[FUNCTION] >= owed[FUNCTION]);
    assert(copied[KEY] >= owed[KEY])
  }
}

proctype owner() {
  byte n, k, g, word, tries, stamp, f, c, z;
  do
  :: STORE(0, W, MOVED(word, EXIT(USER)));
     word = MOVED(word, EXIT(USER));
     if :: n < ROUNDS -> n++ :: n >= ROUNDS && finished == 2 -> n = 99 fi;
     atomic {
       DRAINED(0) ->
       word = MOVED(mem[W], ENTRY(USER));
       mem[W] = word;
       owed[FUNCTION] = told[FUNCTION];
       owed[KEY] = told[KEY]
     };
     drain();
     check();
     /* The exit's drain, which serves a writer that has seen kernel. */
     drain();
     check();
     if :: n == 99 -> break :: else fi
  od;
  assert(copied[FUNCTION] == CHANGES && copied[KEY] == CHANGES)
}

/* One write of the group: f, c and z are the words as this writer knows them. */
inline write() {
#ifdef MARKED
  stamp++;
  STORE(s, STAMP, stamp);
#endif
#ifdef STAMP_FIRST
  STORE(s, STAMP, stamp + 1);
#endif
#ifdef OWN_WORDS
  if
  :: s == 1 ->
     STORE(s, MASTER(stamp + 1, FUNCTION), f);
     STORE(s, MASTER(stamp + 1, CONTEXT_OF_CALL), c)
  :: else -> STORE(s, MASTER(stamp + 1, KEY), z)
  fi;
#else
  STORE(s, MASTER(stamp + 1, FUNCTION), f);
  STORE(s, MASTER(stamp + 1, CONTEXT_OF_CALL), c);
  STORE(s, MASTER(stamp + 1, KEY), z);
#endif
  stamp++;
  STORE(s, STAMP, stamp)
}

proctype writer(byte s) {
  byte j, g, stamp, f, c, z;
  do
  :: j < CHANGES ->
     j++;
     atomic { DRAINED(s) && mem[CLAIM] == 0 -> mem[CLAIM] = 1 };
     /* The claimer's alone: nobody else writes them meanwhile. */
     d_step {
       stamp = mem[STAMP];
       f = mem[MASTER(stamp, FUNCTION)];
       c = mem[MASTER(stamp, CONTEXT_OF_CALL)];
       z = mem[MASTER(stamp, KEY)]
     };
#ifdef TWICE
     write();
#endif
     if :: s == 1 -> f = j; c = j :: else -> z = j fi;
     write();
#ifdef UNCLAIMED
     STORE(s, CLAIM, 0);
#endif
     atomic { DRAINED(s) -> mem[GENERATION]++; g = mem[GENERATION] };
     atomic { DRAINED(s) -> mem[K] = 1 };
     if
     :: mem[APPLIED] >= g
     :: CONTEXT(mem[W]) == USER
     fi;
     told[(s == 1 -> FUNCTION : KEY)] = j;
#ifndef UNCLAIMED
     STORE(s, CLAIM, 0);
#endif
     d_step { g = 0; stamp = 0; f = 0; c = 0; z = 0 }
  :: else -> break
  od;
  DRAINED(s);
  finished++
}

init {
  atomic { run memory(0); run memory(1); run memory(2); run owner(); run writer(1); run writer(2) }
}
