/* SPDX-License-Identifier: Apache-2.0

   Flushes of a translation cache: the change, the generation, the send; the CPU that drops and fills;
   the frame that is used again.

   One CPU with a cache of two pages; one flusher, who changes them in turn, CHANGES times in all, or,
   with REUSE, unmaps the first and uses its frame again when the CPU has acknowledged that. A drop is
   of the pages that the generations in between are about. Entry, exit and
   the send are those of bit.pml (entry:W, entry:K, drain:T, exit:W, send:O, send:L); labels beside
   them are flush:G and flush:L, table:W and table:L, lazy:U, lazy:G and lazy:L. The CPU looks the page
   up once or twice in a section, and passes a safe point in between or does not.

   With LAZY the CPU stops using its cache and begins again, in kernel, and the flusher skips it in
   between.

   Asserted:
   - a section that begins after a change whose send was answered `deferred` finds that change or a
     later one, and so does a lookup after a lazy stretch for which the flusher skipped the CPU;
   - with REUSE: no frame is used that has been given to somebody else;
   - in the end, with everything drained, the cache has what the table has, or nothing.

   Broken forms, which have to fail:
     GENERATION_FIRST     the generation before the change of the table: the CPU catches up in between,
                          fills from the old entry, and passes for current
     GENERATION_REREAD    the generation is loaded again after the drop, and taken over
     LAZY GENERATION_BY_STORE  the generation waits in the store buffer while the flusher looks at
                          whether the cache is used
     LAZY FLAG_LAST       catches up, and then says that it uses its cache: the kernel's v7
     LAZY FLAG_BY_STORE   the flag waits in the store buffer while the generation is loaded
     LAZY LOOK_FIRST      the flusher looks before it counts up
     REUSE NO_ACKNOWLEDGEMENT  the frame is used again after the send
     REUSE GRACE_PERIOD   a grace period in the acknowledgement's place: a quiescent state passes it
                          with the flush pending */

#define THREADS 2
#define WORDS 8
#include "tso.h"
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef CHANGES
#define CHANGES 2
#endif

#define W 0
#define K 1
#define TABLE(p) (2 + (p))
#define GENERATION 4
#define USED 5
#define APPLIED 6
#define FREE 7

/* The page that a change is about. */
#define PAGE(i) (((i) + 1) & 1)

/* The table and the cache hold the number of the change, and one; the first mapping is 1, and 0 is
   none. */
byte cache[2] = 1, own, promised[2], skippedFor[2];
bool isThrough;

inline catchUp() {
  g = mem[GENERATION];
  if
  :: g != own ->
     c = own;
     do
     :: c != g -> c++; cache[PAGE(c)] = 0
     :: else -> break
     od;
     c = 0;
#ifdef GENERATION_REREAD
     g = mem[GENERATION];
#endif
     own = g
  :: else
  fi
}

inline drain() {
  k = mem[K];
  if
  :: k ->
     atomic { DRAINED(0) -> k = mem[K]; mem[K] = 0 };
     if
     :: k ->
        /* Tickets here are generations of the log: one flusher, one type. */
        catchUp();
        STORE(0, APPLIED, g)
     :: else
     fi
  :: else
  fi;
  k = 0; g = 0
}

inline lookUp(p) {
  if
  :: cache[p] == 0 -> cache[p] = mem[TABLE(p)]
  :: else
  fi;
  frame = cache[p];
  if
  :: frame ->
     assert(frame >= due[p]);
#ifdef REUSE
     /* It is used: nobody else may have it by now. The other page stays mapped. */
     assert(p == 1 || mem[FREE] == 0)
#endif
  :: else
  fi
}

inline lookUpBoth() { lookUp(0); lookUp(1) }

inline lazyStretch() {
#ifdef LAZY
  STORE(0, USED, 0);
#ifdef FLAG_LAST
  DRAINED(0);
  catchUp();
  atomic { DRAINED(0) -> mem[USED] = 1 };
#else
#ifdef FLAG_BY_STORE
  STORE(0, USED, 1);
#else
  atomic { DRAINED(0) -> mem[USED] = 1 };
#endif
  catchUp();
#endif
  g = 0;
  /* What it was skipped for is what it has to find from here on. */
  lookUp(0);
  assert(frame >= skippedFor[0] || frame == 0);
  lookUp(1);
  assert(frame >= skippedFor[1] || frame == 0);
#else
  skip
#endif
}

proctype cpu() {
  byte k, g, c, round, frame, due[2];
  do
  :: round < ROUNDS ->
     due[0] = promised[0];
     due[1] = promised[1];
     atomic { DRAINED(0) -> mem[W] = MOVED(mem[W], ENTRY(USER)) };
     drain();
     lookUpBoth();
     if
     :: drain(); lookUpBoth()
     :: lazyStretch()
#ifdef GRACE_PERIOD
     :: drain();
        /* A quiescent state: W moves after the look at K. */
        atomic { DRAINED(0) -> mem[W] = MOVED(mem[W], 8) };
        lookUpBoth()
#endif
     :: skip
     fi;
     drain();
     STORE(0, W, MOVED(mem[W], EXIT(USER)));
     DRAINED(0);
     round++
  :: else -> break
  od;
  /* The last one, when the flusher is through. */
  isThrough;
  due[0] = promised[0];
  due[1] = promised[1];
  atomic { DRAINED(0) -> mem[W] = MOVED(mem[W], ENTRY(USER)) };
  drain();
  assert(cache[0] == 0 || cache[0] == mem[TABLE(0)]);
  assert(cache[1] == 0 || cache[1] == mem[TABLE(1)])
}

inline countUp() {
#ifdef GENERATION_BY_STORE
  STORE(1, GENERATION, i)
#else
  atomic { DRAINED(1) -> mem[GENERATION] = i }
#endif
}

proctype flusher() {
  byte i = 1, w, used = 1;
  do
  :: i <= CHANGES ->
#ifdef LOOK_FIRST
     used = mem[USED];
#endif
#ifdef GENERATION_FIRST
     countUp();
#endif
#ifdef REUSE
     STORE(1, TABLE(PAGE(i)), 0);
#else
     STORE(1, TABLE(PAGE(i)), i + 1);
#endif
#ifndef GENERATION_FIRST
     countUp();
#endif
#ifdef LAZY
#ifndef LOOK_FIRST
     used = mem[USED];
#endif
     if
     :: used == 0 -> skippedFor[PAGE(i)] = i + 1; goto next
     :: else
     fi;
#endif
     atomic { DRAINED(1) -> mem[K] = 1 };
     w = mem[W];
#ifdef REUSE
#ifdef NO_ACKNOWLEDGEMENT
     skip;
#else
#ifdef GRACE_PERIOD
     /* Seen outside kernel, or moved. */
     CONTEXT(mem[W]) != KERNEL || mem[W] != w;
#else
     /* Run, or outside kernel with the bit pending: the looks are repeated. */
     mem[APPLIED] >= i || CONTEXT(mem[W]) != KERNEL;
#endif
#endif
     STORE(1, FREE, 1);
     DRAINED(1);
     break;
#else
     if
     :: CONTEXT(w) == USER -> promised[PAGE(i)] = i + 1
     :: else
     fi;
#endif
next:
     i++
  :: else -> break
  od;
  DRAINED(1);
  isThrough = true
}

init {
  atomic {
    mem[W] = USER;
    mem[TABLE(0)] = 1;
    mem[TABLE(1)] = 1;
    mem[USED] = 1;
    run memory(0);
    run memory(1);
    run cpu();
    run flusher()
  }
}
