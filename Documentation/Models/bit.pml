/* SPDX-License-Identifier: Apache-2.0

   Entry, exit and send: the state word W, the work word K, and nothing else.

   Mirrors ContextTracker (entry:W, entry:K, drain:T, exit:K, exit:W, leave:W, leave:K), Drain
   (runPending: take, run, look once more) and SendPath (send:O, send:L, merge:F, merge:K, merge:W,
   and the wake-up of `settle`), for CPU 0 and two senders.

   Bound: SENDS sends of each sender, over TYPES work types; ROUNDS round trips, one more when the
   senders are through. Counter of W: two bits.

   Asserted:
   - what was answered `deferred` or `merged` for a CPU in user has been read by a handler before
     the CPU is through with its next entry, and so before it looks at anything protected;
   - what was answered `queued` has been read at the latest then;
   - handlers run while W says kernel, and only then;
   - each bit that was newly set is taken and run exactly once, and none is left.

   Forms, which have to hold:
     MERGE            sends first try to merge without writing (merge:F, merge:K, merge:W)
     CALLS            the second type stands for cross calls: a queue, and a bit that whoever fills
                      the queue sets. All calls run, once each.
     HOUSEKEEPER      the CPU does not go to user but sleeps, and is woken
     NO_LOOK_AT_EXIT  the look at K before the exit is promptness, not soundness

   Broken forms, which have to fail:
     K_BEFORE_W          entry looks at K before its addition to W: the send that comes between is
                         answered `deferred`, and not run by that entry
     NO_LOOK_AT_ENTRY    entry relies on the look at exit alone
     CLEAR_BY_STORE      the take is a load and a store: a bit that is set between is wiped out
     RUN_BEFORE_TAKE     what arrives while the handler runs is cleared with what it ran for
     RUN_LOOKED_AT       runs the bits that the look saw, and drops those that the take found
                         besides
     ENTRY_BY_STORE      W by load and store: "kernel" waits in the store buffer while K is loaded
     W_BEFORE_K          the sender looks at W before its OR: the answer is about the past
     DATUM_LATE          the datum after the bit: the handler runs for it and does not see it
     INVERTED            the look is taken the wrong way round: the bit is left out where the CPU is
                         in user. All deferred work is lost, and the senders' figures are perfect.
     MERGE PLAIN_MERGE   no fence before the looks: the datum is in the store buffer while the bit
                         that was seen is taken and run
     MERGE ANY_CONTEXT   merged although W says kernel: the CPU goes on looking at what is old
     CALLS RING_FIRST    the bit is taken before the call is in the queue
     CALLS QUEUE_FIRST   the queue is taken before K: a call in between has its bit wiped out
     HOUSEKEEPER IDLE_BY_STORE         "idle" waits in the store buffer while K is looked at
     HOUSEKEEPER LOOK_BEFORE_IDLE      the bit comes between the look and the publication
     HOUSEKEEPER NO_LOOK_BEFORE_SLEEP  the same, always */

#define THREADS 3
#define WORDS 5
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
#define QUEUE 2 /* how many calls are queued */
#define DATUM(s) (2 + (s))

#define BIT(b) (1 << (b))
#define COUNT(bits) (((bits) & 1) + (((bits) >> 1) & 1))
#ifdef CALLS
#define IS_CALL(b) ((b) == 1)
#else
#define IS_CALL(b) false
#endif
#define CELL(b, s) (2 * (b) + (s) - 1)

/* Per type and sender, numbers of sends: what a handler has read; what the CPU must have read at
   its next entry, by `deferred` or `merged`, or by `queued`; and both as they stood at its addition
   to W. */
byte seen[4], deferred[4], queued[4], owed[4];
byte newlySet, taken, pushed, called, finished;
bool token;

#define OWE(i) owed[i] = MAX(deferred[i], queued[i])
#define PAID(i) seen[i] >= owed[i]

inline handle(bits) {
  assert(CONTEXT(mem[W]) == KERNEL);
  if :: (bits) & 1 -> seen[0] = mem[DATUM(1)]; seen[1] = mem[DATUM(2)] :: else fi;
#ifndef CALLS
  if :: (bits) & 2 -> seen[2] = mem[DATUM(1)]; seen[3] = mem[DATUM(2)] :: else fi
#endif
}

/* IntrusiveStack:T, after the rounds of the work types. */
inline runCalls(bits) {
#ifdef CALLS
  if
  :: (bits) & 2 -> atomic { DRAINED(0) -> called = called + mem[QUEUE]; mem[QUEUE] = 0 }
  :: else
  fi
#else
  skip
#endif
}

inline take() {
#ifdef CLEAR_BY_STORE
  k = mem[K];
  taken = taken + COUNT(k);
  STORE(0, K, 0)
#else
#ifdef RUN_LOOKED_AT
  atomic { DRAINED(0) -> mem[K] = 0; taken = taken + COUNT(k) }
#else
  atomic { DRAINED(0) -> k = mem[K]; mem[K] = 0; taken = taken + COUNT(k) }
#endif
#endif
}

/* A round: takes and runs what a look at K, in k, has found. */
inline round() {
  if
  :: k ->
#ifdef RUN_BEFORE_TAKE
     handle(k);
     take();
#else
#ifdef QUEUE_FIRST
     atomic { DRAINED(0) -> called = called + mem[QUEUE]; mem[QUEUE] = 0 };
#endif
     take();
     handle(k);
#endif
     all = all | k
  :: else
  fi
}

/* At most two rounds: a flood of sends cannot keep a CPU in its drain. */
inline drain() {
  round();
  if :: k -> k = mem[K]; round() :: else fi;
#ifndef QUEUE_FIRST
  runCalls(all);
#endif
  k = 0;
  all = 0
}

inline enter(context) {
#ifdef K_BEFORE_W
  k = mem[K];
#endif
#ifdef ENTRY_BY_STORE
  word = MOVED(word, ENTRY(context));
  atomic { STORE(0, W, word); OWE(0); OWE(1); OWE(2); OWE(3) };
#else
  atomic {
    DRAINED(0) ->
    assert(CONTEXT(mem[W]) == context);
    word = MOVED(mem[W], ENTRY(context));
    mem[W] = word;
    OWE(0); OWE(1); OWE(2); OWE(3)
  };
#endif
#if !defined(K_BEFORE_W) && !defined(NO_LOOK_AT_ENTRY)
  k = mem[K];
#endif
  drain();
  assert(PAID(0)); assert(PAID(1)); assert(PAID(2)); assert(PAID(3))
}

proctype owner() {
  byte n, k, all, word;
  do
  :: n < ROUNDS || finished == 2 ->
     /* In kernel. */
#ifndef NO_LOOK_AT_EXIT
     k = mem[K];
     drain();
#endif
     if :: n >= ROUNDS -> n = 99 :: else -> n++ fi;
#ifdef HOUSEKEEPER
#ifdef LOOK_BEFORE_IDLE
     k = mem[K];
#endif
#ifdef IDLE_BY_STORE
     word = MOVED(word, EXIT(IDLE));
     STORE(0, W, word);
#else
     atomic { DRAINED(0) -> word = MOVED(mem[W], EXIT(IDLE)); mem[W] = word };
#endif
#if !defined(LOOK_BEFORE_IDLE) && !defined(NO_LOOK_BEFORE_SLEEP)
     k = mem[K];
#endif
     /* Asleep for good only if nobody will send any more and nothing is left. */
     if
     :: k == 0 -> (token || (finished == 2 && mem[K] == 0)); token = 0
     :: else -> k = 0
     fi;
     enter(IDLE);
#else
     /* What was promised while W said user has been read by now. */
     assert(seen[0] >= deferred[0] && seen[1] >= deferred[1]);
     assert(seen[2] >= deferred[2] && seen[3] >= deferred[3]);
     word = MOVED(word, EXIT(USER));
     STORE(0, W, word);
     enter(USER);
#endif
     if :: n == 99 -> break :: else fi
  od;
  assert(taken == newlySet);
  assert(mem[K] == 0);
  assert(called == pushed && mem[QUEUE] == 0)
}

proctype sender(byte s) {
  byte j, w, k, b;
  bool rings;
  do
  :: j < SENDS ->
     j++;
     b = 0;
#if TYPES == 2
     if :: b = 0 :: b = 1 fi;
#endif
#ifndef DATUM_LATE
     STORE(s, DATUM(s), j);
#endif
#ifdef CALLS
     rings = 1;
     if
     :: b == 1 ->
#ifdef RING_FIRST
        atomic {
          DRAINED(s) ->
          if :: mem[K] & 2 :: else -> newlySet++ fi;
          mem[K] = mem[K] | 2;
          rings = 0
        };
#endif
        atomic {
          DRAINED(s) ->
          pushed++;
          rings = (rings && mem[QUEUE] == 0);
          mem[QUEUE] = mem[QUEUE] + 1
        }
     :: else
     fi;
     if :: !rings -> goto sent :: else fi;
#endif
#ifdef MERGE
#ifndef PLAIN_MERGE
     DRAINED(s);
#endif
     atomic {
       k = mem[K] & BIT(b);
#ifdef ANY_CONTEXT
       if :: k -> deferred[CELL(b, s)] = j; k = 0; goto sent :: else fi
#endif
     };
     if
     :: k ->
        k = 0;
        atomic {
          w = mem[W];
          if :: CONTEXT(w) == USER -> deferred[CELL(b, s)] = j; w = 0; goto sent :: else fi
        }
     :: else
     fi;
#endif
#if defined(W_BEFORE_K) || defined(INVERTED)
     w = mem[W];
#endif
#ifdef INVERTED
     if :: CONTEXT(w) == USER -> deferred[CELL(b, s)] = j; goto sent :: else fi;
#endif
     atomic {
       DRAINED(s) ->
       if :: mem[K] & BIT(b) :: else -> newlySet++ fi;
       mem[K] = mem[K] | BIT(b)
     };
     atomic {
#ifndef W_BEFORE_K
       w = mem[W];
#endif
       if
       :: IS_CALL(b) /* promised is that it runs, not when */
       :: !IS_CALL(b) && CONTEXT(w) == USER -> deferred[CELL(b, s)] = j
       :: !IS_CALL(b) && CONTEXT(w) != USER -> queued[CELL(b, s)] = j
       fi
     };
#ifdef HOUSEKEEPER
     if :: CONTEXT(w) == IDLE -> token = 1 :: else fi;
#endif
sent:
#ifdef DATUM_LATE
     STORE(s, DATUM(s), j);
#endif
     w = 0
  :: else -> break
  od;
  DRAINED(s);
  finished++
}

init {
  atomic { run memory(0); run memory(1); run memory(2); run owner(); run sender(1); run sender(2) }
}
