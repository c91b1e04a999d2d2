/* SPDX-License-Identifier: Apache-2.0

   A region map: lookups under a sequence count, without the lock, on memory that is used again.

   Mirrors RegionTree.change (region:B, region:P) and RegionTree.speculate (region:R, region:E), and the
   locked lookup after it. The tree is one link to one of two records of two words each. A change writes
   the record that the link does not lead to, which held an older region, and moves the link: so a reader
   may hold the number of a record that is being written again. Change n makes n the value of both words,
   and 2n the sequence. x86-64 needs no instruction for region:B and region:E; each has its place all the
   same.

   Bound: CHANGES by the writer, LOOKUPS by each of two readers; a reader may stop anywhere between its
   looks, for as long as all changes take.

   Asserted:
   - what a lookup believes are the words of the region that was there at its first look: no half of
     one and half of another, and none that came or went in the middle;
   - a lookup under the lock finds the last region;
   - a lookup ends, whatever the writer does: one that waited in vain would be an invalid end state.

   Possible, and told by callers' words:
     REACH_ACTIVE   a lookup meets the mark of a change that goes on
     REACH_CHANGED  a lookup finds the sequence moved
     REACH_WRAP     a sequence of so few bits comes round while a reader is stopped, and deceives it; the
                    library's has 64

   Broken forms, which have to fail:
     NO_SECOND_LOOK   what was found is believed without the look after it
     ODD_BELIEVED     a lookup begins although the sequence says that a change goes on
     MARK_LATE        the mark is stored after the link (region:B)
     END_EARLY        the even sequence is stored before the last word (region:P)
     FIRST_LOOK_LATE  the first look comes after the link was read (region:R)
     SECOND_LOOK_EARLY  the second look comes before the last word was read (region:E) */

#define THREADS 3
#define WORDS 6
#include "tso.h"
#ifndef CHANGES
#define CHANGES 3
#endif
#ifndef LOOKUPS
#define LOOKUPS 2
#endif
#ifdef REACH_WRAP
#define CUT 3
#else
#define CUT 15
#endif

#define SEQUENCE 0
#define LINK 1
#define RECORD(r) (2 + 2 * (r))

byte current; /* what the lock's holder finds */
bool locked;

proctype writer() {
  byte n;
  do
  :: n < CHANGES ->
     n++;
     atomic { !locked -> locked = 1 };
#ifndef MARK_LATE
     STORE(2, SEQUENCE, (2 * n - 1) & CUT);
#endif
     STORE(2, RECORD(n & 1), n);
#ifdef END_EARLY
     STORE(2, SEQUENCE, (2 * n) & CUT);
#endif
     STORE(2, RECORD(n & 1) + 1, n);
     STORE(2, LINK, n & 1);
#ifdef MARK_LATE
     STORE(2, SEQUENCE, (2 * n - 1) & CUT);
#endif
#ifndef END_EARLY
     STORE(2, SEQUENCE, (2 * n) & CUT);
#endif
     /* The lock is given back by a locked instruction. */
     atomic { DRAINED(2) -> current = n; locked = 0 }
  :: else -> break
  od
}

proctype reader() {
  byte n, s, l, a, b, t;
  do
  :: n < LOOKUPS ->
     n++;
#ifdef FIRST_LOOK_LATE
     l = mem[LINK];
     s = mem[SEQUENCE];
#else
     s = mem[SEQUENCE];
#endif
     if
#ifndef ODD_BELIEVED
     :: s & 1 ->
#ifdef REACH_ACTIVE
        assert(0);
#endif
        goto ask
#endif
     :: else
     fi;
#ifndef FIRST_LOOK_LATE
     l = mem[LINK];
#endif
     a = mem[RECORD(l)];
#ifdef SECOND_LOOK_EARLY
     t = mem[SEQUENCE];
     b = mem[RECORD(l) + 1];
#else
     b = mem[RECORD(l) + 1];
     t = mem[SEQUENCE];
#endif
#ifdef NO_SECOND_LOOK
     t = s;
#endif
     if
     :: t == s ->
        /* With every bit of the sequence: half of it is the number of the change. */
        assert(a == b);
#ifndef REACH_WRAP
        assert(a == s / 2);
#endif
        goto next
     :: else ->
#ifdef REACH_CHANGED
        assert(0);
#endif
        skip
     fi;
ask:
     atomic { !locked -> locked = 1 };
     l = mem[LINK];
     assert(mem[RECORD(l)] == current && mem[RECORD(l) + 1] == current);
     locked = 0;
next:
     atomic { s = 0; l = 0; a = 0; b = 0; t = 0 }
  :: else -> break
  od
}

init {
  atomic {
    run memory(2);
    run writer(); run reader(); run reader()
  }
}
