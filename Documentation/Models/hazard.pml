/* SPDX-License-Identifier: Apache-2.0

   Hazard pointers: protecting a node against retiring and reclaiming it.

   Mirrors HazardCore+Protecting (hazard:P, hazard:V by fences; hazard:T in a section; hazard:D,
   hazard:A by a wildcard; hazard:R) against HazardScanner (hazard:F, hazard:W, hazard:G, hazard:S)
   and the writer's link (hazardLink:S).

   The writer puts another node into the one link, retires the one that was there, and makes a pass
   now and then; what a pass reclaims is linked again later. Reader 0 protects, uses, and lets go.
   - by fences: it writes its slot after a fence, and looks at the link again;
   - TRANSITION: it is an isolated CPU: in kernel it reads and writes plainly, in user it protects by
     fences, and it may keep a protection from one side to the other. A pass looks at W after its
     fence, and waits until a CPU that was in kernel has moved; survivors wait no more;
   - WILDCARD: a dated wildcard stands in the slot while the link is read. A pass that meets one from
     before its date waits, or reclaims nothing.
   With READERS=2 another thread protects by fences in the same domain.

   Bound: 3 nodes, REPLACEMENTS by the writer, PROTECTIONS by each reader. Counter of W: two bits, so
   that a look meets its own value again.

   Asserted:
   - whoever may use a node does not find it reclaimed, and no node is reclaimed while somebody may;
   - when the readers have gone, a pass reclaims everything that was retired.

   Broken forms, which have to fail:
     NO_SECOND_LOOK      a reader uses what it read before it wrote its slot
     SLOT_BY_STORE       the slot waits in the store buffer while the link is looked at again
     NO_FENCE            the unlinking waits in the store buffer while the slots are looked at
     LOOK_FIRST          the slots are looked at before the node is unlinked
     NO_LOOK             a pass reclaims whatever the slots hold
     TRANSITION NO_WAIT  a pass does not wait for the CPU that was in kernel
     TRANSITION NO_FENCE  the unlinking waits in the store buffer while the CPU is seen in user
     TRANSITION WORDS_FIRST  W is looked at before the unlinking: a section that begins between the
                         two is not waited for
     TRANSITION ENTRY_BY_STORE  "kernel" waits in the store buffer while the section reads the link
     TRANSITION PLAIN_IN_USER  plain protection in user, where nobody waits for it
     WILDCARD IGNORED    a pass does not wait for wildcards
     WILDCARD LINK_FIRST  the link is read before the wildcard stands
     WILDCARD DATE_FIRST  a pass is dated before the unlinking: a reader with that date may still find
                         the node
     WILDCARD SLOT_BY_STORE  the wildcard waits in the store buffer while the link is read */

#ifndef READERS
#define READERS 1
#endif
#define THREADS (READERS + 1)
#define WORDS (3 + READERS)
#include "tso.h"
#ifndef REPLACEMENTS
#define REPLACEMENTS 2
#endif
#ifndef PROTECTIONS
#define PROTECTIONS 3
#endif

#define W 0
#define LINK 1
#define SCANS 2
#define SLOT(r) (3 + (r))
#define WRITER READERS

/* What a slot holds: nothing, a node, or a wildcard with its date. */
#define HOLDING(n) ((n) << 1)
#define DATED(d) ((d) << 1 | 1)

/* Where a node is. */
#define FREE 0
#define LINKED 1
#define FRESH 2
#define SURVIVOR 3

byte state[4], using[READERS], finished;

#define USE(r, n) using[r] = n; assert(state[n] != FREE)

/* What the slot held before is used no more. */
inline protectFenced(r) {
  using[r] = 0;
  c = mem[LINK];
  do
  :: true ->
#ifdef SLOT_BY_STORE
     STORE(r, SLOT(r), HOLDING(c));
#else
     atomic { DRAINED(r) -> mem[SLOT(r)] = HOLDING(c) };
#endif
     atomic {
#ifdef NO_SECOND_LOOK
       USE(r, c);
       break
#else
       if
       :: mem[LINK] == c -> USE(r, c); break
       :: else -> c = mem[LINK]
       fi
#endif
     }
  od
}

inline protectInSection(r) {
  atomic { c = mem[LINK]; USE(r, c) };
  STORE(r, SLOT(r), HOLDING(c))
}

inline acquire(r) {
  using[r] = 0;
#ifdef LINK_FIRST
  atomic { c = mem[LINK]; USE(r, c) };
#endif
  d = mem[SCANS];
#ifdef SLOT_BY_STORE
  STORE(r, SLOT(r), DATED(d));
#else
  atomic { DRAINED(r) -> mem[SLOT(r)] = DATED(d) };
#endif
  d = 0;
#ifndef LINK_FIRST
  atomic { c = mem[LINK]; USE(r, c) };
#endif
  STORE(r, SLOT(r), HOLDING(c))
}

inline reset(r) {
  using[r] = 0;
  c = 0;
  STORE(r, SLOT(r), 0)
}

proctype other(byte r) {
  byte n, c;
  do
  :: n < PROTECTIONS -> n++; protectFenced(r); reset(r)
  :: else -> break
  od;
  DRAINED(r);
  finished++
}

proctype reader() {
  byte n, c;
#ifdef WILDCARD
  byte d;
#endif
#ifdef TRANSITION
  byte word = USER;
  do
  :: n < PROTECTIONS ->
     n++;
     if
     :: CONTEXT(word) == KERNEL -> protectInSection(0)
     :: else ->
#ifdef PLAIN_IN_USER
        protectInSection(0)
#else
        protectFenced(0)
#endif
     fi;
     if
     :: reset(0)
     :: true /* The next protection takes the place of this one. */
     fi
  :: n < PROTECTIONS && CONTEXT(word) == USER ->
#ifdef ENTRY_BY_STORE
     word = MOVED(word, ENTRY(USER));
     STORE(0, W, word)
#else
     atomic { DRAINED(0) -> word = MOVED(mem[W], ENTRY(USER)); mem[W] = word }
#endif
  :: CONTEXT(word) == KERNEL ->
     word = MOVED(word, EXIT(USER));
     STORE(0, W, word)
  :: n == PROTECTIONS && CONTEXT(word) == USER -> break
  od;
  if :: c -> reset(0) :: else fi;
#else
  do
  :: n < PROTECTIONS ->
     n++;
#ifdef WILDCARD
     acquire(0);
#else
     protectFenced(0);
#endif
     if
     :: reset(0)
     :: true
     fi
  :: else -> break
  od;
  if :: c -> reset(0) :: else fi;
#endif
  DRAINED(0);
  finished++
}

inline lookAt(r) {
  s = mem[SLOT(r)];
#ifdef WILDCARD
  if
#ifndef IGNORED
  :: (s & 1) && (s >> 1) < date ->
     if
     /* It goes away … */
     :: atomic { !((mem[SLOT(r)] & 1) && (mem[SLOT(r)] >> 1) < date) -> s = mem[SLOT(r)] }
     /* … or the pass reclaims nothing. */
     :: met = 1
     fi
#endif
  :: else
  fi;
#endif
  if
  :: !(s & 1) -> held[r] = s >> 1
  :: else -> held[r] = 0
  fi;
  s = 0
}

inline look() {
  lookAt(0);
#if READERS == 2
  lookAt(1)
#endif
}

inline settle(n) {
  if
  :: state[n] == FRESH || state[n] == SURVIVOR ->
     if
#ifndef NO_LOOK
#if READERS == 2
     :: met || held[0] == n || held[1] == n -> state[n] = SURVIVOR
#else
     :: met || held[0] == n -> state[n] = SURVIVOR
#endif
#endif
     :: else ->
        assert(using[0] != n);
#if READERS == 2
        assert(using[1] != n);
#endif
        state[n] = FREE
     fi
  :: else
  fi
}

inline pass() {
  if
  :: state[1] == FRESH || state[2] == FRESH || state[3] == FRESH ->
#ifndef NO_FENCE
     DRAINED(WRITER);
#endif
#ifdef TRANSITION
#ifndef WORDS_FIRST
     w = mem[W];
#endif
#ifndef NO_WAIT
     if
     :: CONTEXT(w) == KERNEL -> mem[W] != w
     :: else
     fi;
#endif
     w = 0
#endif
  :: else
  fi;
#ifndef DATE_FIRST
#ifdef WILDCARD
  atomic { DRAINED(WRITER) -> mem[SCANS]++; date = mem[SCANS] };
#endif
#endif
#ifndef LOOK_FIRST
  look();
#endif
  atomic {
    settle(1);
    settle(2);
    settle(3);
    met = 0;
    held[0] = 0;
#if READERS == 2
    held[1] = 0
#endif
  }
}

proctype writer() {
  byte n, new, old = 1, s, w, date, met, held[READERS];
  do
  :: n < REPLACEMENTS ->
     n++;
     /* Some node is free: three, and at most REPLACEMENTS of them have been retired. */
     if
     :: state[1] == FREE -> new = 1
     :: state[2] == FREE -> new = 2
     :: state[3] == FREE -> new = 3
     fi;
#ifdef WORDS_FIRST
     w = mem[W];
#endif
#ifdef LOOK_FIRST
     look();
#endif
#ifdef DATE_FIRST
     atomic { DRAINED(WRITER) -> mem[SCANS]++; date = mem[SCANS] };
#endif
     atomic { STORE(WRITER, LINK, new); state[new] = LINKED; state[old] = FRESH; old = new };
     new = 0;
     pass()
  :: else -> break
  od;
  finished == READERS;
  pass();
  assert(state[1] == FREE || state[1] == LINKED);
  assert(state[2] == FREE || state[2] == LINKED);
  assert(state[3] == FREE || state[3] == LINKED)
}

init {
  atomic {
    mem[W] = USER;
    mem[LINK] = 1;
    mem[SCANS] = 1;
    state[1] = LINKED;
    run memory(0); run memory(1);
#if READERS == 2
    run memory(2); run other(1);
#endif
    run reader(); run writer()
  }
}
