/* SPDX-License-Identifier: Apache-2.0

   Kicks: by a signal whose handler makes transitions on the owner's own thread, and by polling.

   Mirrors Kick.send (kick:A) and InterruptHandler.run (signal:W, then an entry, a take and an exit
   of its own) against the owner's transitions (entry:W, entry:K, exit:K, exit:W, exit:A,
   serveOutside), for CPU 0 and two senders. The handler interrupts the owner between any two
   accesses; both share one store buffer, and see their own stores at once. `own` is the owner
   line's copy of W. With POLL there is no signal, and the loop in user looks at the attention bit.

   Bound: SENDS kicks of each sender; ROUNDS round trips, after which the CPU stays in user for
   ever. All work is interrupt-safe. Left out: sleep, which bit.pml has, and what waits for a safe
   point.

   Asserted:
   - each kick is answered: a sender that waits for its run in vain is an invalid end state;
   - handlers run while W says kernel, and not inside each other;
   - every transition is one addition to the word as it stands, from the context that it is thought
     to come from, and the copy is right where an exit is computed from it;
   - in kernel after an entry what was sent before it has been read.

   Forms, which have to hold:
     POLL
     HANDLER_LOOKS_ONCE  the handler's look after its own exit is not what answers kicks: the one
                         that comes then finds the attention bit taken, and sends a signal

   Broken forms, which have to fail:
     DEPTH_NOT_W           the handler decides by a flag of the interrupted code, which moves before
                           or after W
     COPY_NOT_W            the same with the copy of W, which an exit writes first
     DRAINS_IN_KERNEL      the handler runs work in kernel too: inside another handler
     RUNS_IN_USER          it runs work without an entry
     POLL RUNS_IN_USER     so does the poll
     NO_LOOK_AFTER_EXIT   the signal comes between the last look at K and the store of W, its
                           handler leaves everything to the thread, and that is gone
     ENTRY_FROM_REGISTER   entry stores its own sum instead of adding: the handler's transitions
                           between are undone */

#define THREADS 3
#define WORDS 4
#include "tso.h"
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef SENDS
#define SENDS 1
#endif

#define W 0
#define K 1
#define DATUM(s) (1 + (s))
#define WORK 1
#define ATTENTION 2

byte seen[3], sent[3], owed[3], finished;
byte own;  /* the copy of W */
byte view; /* W as its thread sees it, through its store buffer */
bool signalled, interrupted, running, outside;

inline handle() {
  assert(CONTEXT(mem[W]) == KERNEL);
  assert(!running);
  running = 1;
  seen[1] = mem[DATUM(1)];
  seen[2] = mem[DATUM(2)];
  running = 0
}

inline drain() {
  if
  :: k ->
     atomic { DRAINED(0) -> k = mem[K]; mem[K] = 0 };
     if :: k & WORK -> handle() :: else fi;
     k = mem[K];
     if
     :: k ->
        atomic { DRAINED(0) -> k = mem[K]; mem[K] = 0 };
        if :: k & WORK -> handle() :: else fi
     :: else
     fi
  :: else
  fi;
  k = 0
}

/* The addition to W; the copy is written after it, by another store. */
inline addToW(step) {
  atomic {
    DRAINED(0) ->
    word = MOVED(mem[W], step);
    mem[W] = word;
    view = word;
    owed[1] = sent[1];
    owed[2] = sent[2]
  }
}

inline publish() {
  own = word;
  atomic { STORE(0, W, word); view = word }
}

inline enter() {
#ifdef ENTRY_FROM_REGISTER
  word = own;
  atomic {
    DRAINED(0) ->
    assert(word == view);
    word = MOVED(word, ENTRY(USER));
    mem[W] = word;
    view = word
  };
#else
  addToW(ENTRY(USER));
  assert(CONTEXT(word) == KERNEL);
#endif
  k = mem[K];
  own = word;
  drain();
  assert(seen[1] >= owed[1] && seen[2] >= owed[2])
}

inline leave() {
  word = own;
  k = mem[K];
  drain();
  assert(own == view);
  word = MOVED(word, EXIT(USER));
  outside = 1;
  publish();
#ifndef NO_LOOK_AFTER_EXIT
  do
  :: mem[K] & ATTENTION ->
     enter();
     word = MOVED(own, EXIT(USER));
     publish()
  :: else -> break
  od
#endif
}

proctype owner() provided (!interrupted) {
  byte n, k, word;
  do
  :: n < ROUNDS ->
     n++;
     leave();
#ifdef POLL
     if
     :: n == ROUNDS ->
        do
        :: mem[K] & ATTENTION ->
#ifdef RUNS_IN_USER
           k = mem[K];
           drain();
#else
           enter();
           word = MOVED(own, EXIT(USER));
           publish();
#endif
        :: finished == 2 -> break
        od
     :: else
     fi;
#endif
     if
     :: n < ROUNDS -> enter(); outside = 0
     :: else
     fi
  :: else -> break
  od;
  k = 0;
  word = 0
}

#ifndef POLL
proctype handler() {
  byte word, k;
  end: do
  :: atomic { signalled -> signalled = 0; interrupted = 1 };
again:
#ifdef DEPTH_NOT_W
     if
     :: outside ->
#else
#ifdef COPY_NOT_W
     word = own;
#else
     word = view;
#endif
     if
     :: CONTEXT(word) == USER ->
#endif
#ifdef RUNS_IN_USER
        k = mem[K];
        drain();
#else
        addToW(ENTRY(USER));
        assert(CONTEXT(word) == KERNEL);
        own = word;
        k = mem[K];
        drain();
        assert(seen[1] >= owed[1] && seen[2] >= owed[2]);
        word = MOVED(own, EXIT(USER));
        publish();
#ifndef HANDLER_LOOKS_ONCE
        if :: mem[K] & ATTENTION -> goto again :: else fi
#endif
#endif
     :: else ->
#ifdef DRAINS_IN_KERNEL
        k = mem[K];
        drain()
#else
        skip
#endif
     fi;
     word = 0;
     interrupted = 0
  od
}
#endif

proctype sender(byte s) {
  byte j;
  bool rings;
  do
  :: j < SENDS ->
     j++;
     STORE(s, DATUM(s), j);
     atomic { DRAINED(s) -> mem[K] = mem[K] | WORK; sent[s] = j };
     atomic { DRAINED(s) -> rings = !(mem[K] & ATTENTION); mem[K] = mem[K] | ATTENTION };
     if
     :: rings -> signalled = 1; rings = 0
     :: else
     fi;
     seen[s] >= j
  :: else -> break
  od;
  finished++
}

init {
  atomic {
    run memory(0); run memory(1); run memory(2);
    run owner();
#ifndef POLL
    run handler();
#endif
    run sender(1); run sender(2)
  }
}
