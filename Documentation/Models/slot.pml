/* SPDX-License-Identifier: Apache-2.0

   Detaching, and a slot that changes hands: sends and tickets across owners.

   Mirrors OwnerTransitions+Attachment (attach:O, attach:G, attach:A, entry:W, entry:K, leave:W,
   detach:K, withdraw:T, detach:R), SendPath.settle (a bit sent to nobody stays, and is dropped by
   whoever attaches next) and Ticket.state (ticket:A, ticket:W), for one slot, two threads that take
   it in turns, a sender that asks its ticket, and one that sends the same work without a ticket.

   Bound: ATTACHMENTS in all, by either thread in any order, each with up to one round trip; TICKETS
   tickets, of which all but the last may be given up at any moment; SENDS sends without ticket;
   DETACH_ROUNDS rounds of a thread on its way out (the library's are 8), so that a flood of sends
   gets bits dropped. The last thread may stay attached for ever, with a safe point after the last
   send.

   Asserted:
   - a ticket says `executed` only if a handler, of whichever owner, ran and read its datum; that
     somebody attached, and counts as having seen everything, is not a run;
   - one that says `covered`: when the owner that was seen is through with its next entry, it has
     read the datum, by a run or by having attached after it. The same holds for answers `deferred`
     and `queued` of sends;
   - each ticket settles;
   - each bit that was newly set is run or dropped, once, or still there;
   - nothing runs while W says offline.

   Forms, which have to hold:
     TICKETS=2, TWO_TICKETS (the other sender asks a ticket too), ATTACHMENTS=3
     ONE_OWNER   a single thread, with as many rounds as there are sends: what was accepted while it
                 was there has run when it has gone
     REACH_TICKET_GONE_THEN_RUN  no ticket says `gone` and is run after all
     UNREGISTER  the type is unregistered meanwhile, as Coordinator.unregister does; the promises
                 are taken back, what tickets say has to stay true. The generations of the slot are
                 then settled under the lock that attaching takes.

   Reached, which has to be possible (the assertion says that it is not), and what it means:
     REACH_DROPPED        a bit is dropped by a thread that detaches under a flood
     REACH_SPURIOUS       a run that nobody sent to this owner: handlers have to tolerate it
     REACH_GONE_THEN_RUN  a send that answered `gone`, and was run by the thread on its way out
     REACH_RUN_THEN_GONE  a ticket that had been executed says `gone` once another thread has
                          attached
     REACH_ACCEPTED_DROPPED  a send whose OR came before the thread attached and whose look came
                          afterwards: answered `deferred` or `queued`, and dropped. The thread attached
                          after the datum, so it holds nothing older.

   Broken forms, which have to fail:
     NO_ATTACH_GENERATION      attachGeneration is not written: tickets for dropped bits say
                               `executed`
     ATTACH_GENERATION_LATE    it is written after applied: they say so for a moment
     NO_APPLIED_AT_ATTACH      neither is: a ticket for a dropped bit never settles
     GENERATION_BEFORE_CLEAR   attach loads the generations before it clears K: a bit that comes
                               between is dropped, and its ticket never settles
     APPLIED_FOR_DROPPED       detach publishes the generation for the bits that it drops
     OFFLINE_IS_EXECUTED       a ticket takes offline for a run
     ONE_OWNER LOOK_BEFORE_OFFLINE  the last look at K comes before the publication
     ONE_OWNER OFFLINE_BY_STORE     "offline" waits in the store buffer while K is looked at
     ONE_OWNER W_BEFORE_K           the sender looks at W before its OR
     IGNORES_OWNER REACH_TICKET_GONE_THEN_RUN  a ticket takes a thread that is on its way out for
                               gone: it may go back in and run what the ticket is for
     TWO_IN_SLOT               isOwned is taken by load and store: two threads own the slot
     UNREGISTER SETTLE_WITHOUT_LOCK  the end of an unregistration and an attaching thread write
                               attachGeneration and applied at once, and leave one's with the
                               other's: a ticket whose bit was withdrawn says `executed` */

#define THREADS 5
#define WORDS 10
#include "tso.h"
#ifndef ATTACHMENTS
#ifdef ONE_OWNER
#define ATTACHMENTS 1
#else
#define ATTACHMENTS 2
#endif
#endif
#ifndef TICKETS
#define TICKETS 1
#endif
#ifndef SENDS
#define SENDS 1
#endif
#ifndef DETACH_ROUNDS
#ifdef ONE_OWNER
#define DETACH_ROUNDS (TICKETS + SENDS + 1)
#else
#define DETACH_ROUNDS 1
#endif
#endif

#define W 0
#define K 1
#define OWNED 2
#define GENERATION 3
#define APPLIED 4
#define AT_ATTACH 5
#define DATUM(s) (4 + (s)) /* of the threads 2 and 3, which send */
#define REGISTRATION 8     /* 0 while the type may be sent */
#define LIVE 9             /* 0 while its handler may run */

/* Of the threads 2 and 3, by their number less two. */
#define S(s) ((s) - 2)

/* What the runs have read; what the present owner holds, by a run or from when it attached; what it
   must hold when its next entry is through. */
byte ran[2], holds[2], promised[2];
/* The promises as they stood at the last addition to W. */
byte owed[2];
/* Bits that were newly set, less those that were run or dropped. */
byte pending;
byte attachments, finished, incarnation;
bool accepted[2], inside, stays;
#ifdef UNREGISTER
bool locked; /* the coordinator's lock */
#define LOCK atomic { !locked -> locked = 1 }
#define UNLOCK locked = 0
#else
#define LOCK skip
#define UNLOCK skip
#endif

/* What is noted only where something is to be reached: how often K had been cleared by a thread
   that attached, now and at the sender's OR; the incarnation that its last send found; those of
   which it heard that they had gone. */
#ifdef REACH_ACCEPTED_DROPPED
byte clears, clearsAtOr[2];
#define NOTE_CLEAR clears++
#define NOTE_OR clearsAtOr[S(s)] = clears
#define NOTE_ACCEPTED assert(clearsAtOr[S(s)] == clears)
#else
#define NOTE_CLEAR skip
#define NOTE_OR skip
#ifdef REACH_SPURIOUS
byte addressed[2];
#define NOTE_ACCEPTED addressed[S(s)] = incarnation
#else
#define NOTE_ACCEPTED skip
#endif
#endif
#ifdef REACH_RUN_THEN_GONE
#define NOTE_RUN_THEN_GONE assert(ran[S(s)] < j)
#else
#define NOTE_RUN_THEN_GONE skip
#endif
#ifdef REACH_GONE_THEN_RUN
byte left = 255;
#define NOTE_GONE left = incarnation
#else
#define NOTE_GONE skip
#endif
#ifdef REACH_TICKET_GONE_THEN_RUN
byte left = 255, looked;
#define NOTE_LOOK looked = incarnation
#define NOTE_TICKET_GONE left = looked
#else
#define NOTE_LOOK skip
#define NOTE_TICKET_GONE skip
#endif

inline handle() {
  assert(CONTEXT(mem[W]) == KERNEL);
  ran[0] = mem[DATUM(2)];
  ran[1] = mem[DATUM(3)];
  atomic { holds[0] = ran[0]; holds[1] = ran[1] };
#if defined(REACH_GONE_THEN_RUN) || defined(REACH_TICKET_GONE_THEN_RUN)
  assert(left != incarnation)
#endif
}

inline drain() {
  if
  :: k ->
     atomic { DRAINED(t) -> k = mem[K]; pending = pending - k; mem[K] = 0 };
     if
     :: k ->
#ifdef UNREGISTER
        if :: mem[LIVE] -> goto dropped :: else fi;
#endif
        g = mem[GENERATION];
        handle();
        STORE(t, APPLIED, g);
        g = 0
#ifdef UNREGISTER
dropped:
        skip
#endif
     :: else
     fi
  :: else
  fi;
  k = 0
}

inline abandonPending() {
#ifdef APPLIED_FOR_DROPPED
  atomic { DRAINED(t) -> k = mem[K]; pending = pending - k; mem[K] = 0 };
  if :: k -> g = mem[GENERATION]; STORE(t, APPLIED, g); g = 0 :: else fi;
  k = 0
#else
  atomic {
    DRAINED(t) ->
#ifdef REACH_DROPPED
    assert(!(incarnation && inside && mem[K]));
#endif
    pending = pending - mem[K];
    mem[K] = 0
  }
#endif
}

inline enter(context) {
  atomic {
    DRAINED(t) ->
    assert(CONTEXT(mem[W]) == context);
    word = MOVED(mem[W], ENTRY(context));
    mem[W] = word;
    owed[0] = promised[0];
    owed[1] = promised[1]
  };
  k = mem[K];
  drain();
#ifndef UNREGISTER /* which takes promised work back */
  assert(holds[0] >= owed[0] && holds[1] >= owed[1])
#endif
}

inline goOffline() {
#ifdef OFFLINE_BY_STORE
  word = MOVED(word, EXIT(OFFLINE));
  STORE(t, W, word)
#else
  atomic { DRAINED(t) -> word = MOVED(mem[W], EXIT(OFFLINE)); mem[W] = word }
#endif
}

inline attach() {
#ifdef TWO_IN_SLOT
  if :: mem[OWNED] == 0 -> skip :: stays -> break fi;
  STORE(t, OWNED, 1);
#else
  atomic {
    if
    :: DRAINED(t) && mem[OWNED] == 0 -> mem[OWNED] = 1
    :: stays -> break /* refused: the slot has a thread, which is not leaving */
    fi
  };
#endif
  LOCK;
#ifdef GENERATION_BEFORE_CLEAR
  g = mem[GENERATION];
#endif
  atomic { abandonPending(); NOTE_CLEAR };
#ifndef GENERATION_BEFORE_CLEAR
  g = mem[GENERATION];
#endif
#ifndef NO_APPLIED_AT_ATTACH
#ifdef ATTACH_GENERATION_LATE
  STORE(t, APPLIED, g);
  STORE(t, AT_ATTACH, g);
#else
#ifndef NO_ATTACH_GENERATION
  STORE(t, AT_ATTACH, g);
#endif
  STORE(t, APPLIED, g);
#endif
#endif
  g = 0;
  atomic {
    DRAINED(t) ->
    assert(!inside);
    assert(CONTEXT(mem[W]) == OFFLINE);
    inside = 1;
    incarnation++;
    word = MOVED(mem[W], ENTRY(OFFLINE));
    mem[W] = word;
    /* From here on the thread may look at, and hold on to, what is there. */
    holds[0] = mem[DATUM(2)];
    holds[1] = mem[DATUM(3)];
    promised[0] = 0;
    promised[1] = 0
  };
  k = mem[K];
  UNLOCK;
#ifdef REACH_SPURIOUS
  /* Both senders are through, and neither has met this owner. */
  assert(!(k && finished == 2 && addressed[0] != incarnation && addressed[1] != incarnation));
#endif
  drain()
}

inline detach() {
  k = mem[K];
  drain();
#ifdef LOOK_BEFORE_OFFLINE
  goOffline();
#else
  rounds = 0;
  do
  :: rounds < DETACH_ROUNDS ->
     rounds++;
     goOffline();
     k = mem[K];
     if
     :: k == 0 -> break
     :: else -> k = 0; enter(OFFLINE)
     fi
  :: else -> goOffline(); break
  od;
#endif
  rounds = 0;
  abandonPending();
  atomic { DRAINED(t) -> inside = 0 };
  STORE(t, OWNED, 0);
  DRAINED(t);
  word = 0
}

proctype owner(byte t) {
  byte k, g, word, rounds;
  do
  :: atomic { attachments < ATTACHMENTS -> attachments++ };
     attach();
     if
     :: skip
     :: k = mem[K];
        drain();
        word = MOVED(word, EXIT(USER));
        STORE(t, W, word);
        enter(USER)
     fi;
     if
     :: detach()
#ifndef UNREGISTER
     :: atomic { attachments == ATTACHMENTS && finished == 2 -> stays = 1 };
        /* Stays for ever, in kernel, with one more safe point. */
        k = mem[K];
        drain();
        break
#endif
     fi
  :: atomic { attachments == ATTACHMENTS -> break }
  od
}

/* send:O, send:L, settle. */
inline deliver() {
#ifdef ONE_OWNER
  incarnation == 1;
#endif
#ifdef W_BEFORE_K
  w = mem[W];
#endif
  atomic {
    DRAINED(s) ->
    if :: mem[K] :: else -> pending++ fi;
    mem[K] = 1;
    NOTE_OR
  };
  atomic {
#ifndef W_BEFORE_K
    w = mem[W];
#endif
    if
    :: CONTEXT(w) == OFFLINE -> NOTE_GONE; accepted[S(s)] = 0
    :: else ->
       NOTE_ACCEPTED;
       accepted[S(s)] = 1;
       promised[S(s)] = j
    fi;
    w = 0
  }
}

proctype flood(byte s) {
  byte j, w;
  do
  :: j < SENDS ->
     j++;
     STORE(s, DATUM(s), j);
     deliver()
  :: else -> break
  od;
  finished++
}

proctype asker(byte s) {
  byte j, w, g, applied, atAttach;
  do
  :: j < TICKETS ->
     j++;
     STORE(s, DATUM(s), j);
     atomic { DRAINED(s) -> g = mem[GENERATION] + 1; mem[GENERATION] = g };
#ifdef UNREGISTER
     if :: mem[REGISTRATION] -> finished++; break :: else fi;
#endif
     deliver();
     if :: j == TICKETS -> finished++ :: else fi;
     do
     :: !accepted[S(s)] -> break
     :: j < TICKETS -> break
     :: else ->
        applied = mem[APPLIED];
        if
        :: applied >= g ->
           atAttach = mem[AT_ATTACH];
           if
           :: atAttach < g -> assert(ran[S(s)] >= j)
           :: else ->
              NOTE_RUN_THEN_GONE
           fi;
           break
        :: else
        fi;
        atomic {
          w = mem[W];
          NOTE_LOOK;
          if :: CONTEXT(w) == USER -> promised[S(s)] = j; break :: else fi
        };
        applied = 0;
#ifndef IGNORES_OWNER
        /* A thread on its way out may go back in for our bit: not gone while the slot is owned. */
        if :: CONTEXT(w) == OFFLINE -> applied = mem[OWNED] :: else fi;
#endif
        if
        :: CONTEXT(w) == OFFLINE && !applied ->
           applied = mem[APPLIED];
           atAttach = mem[AT_ATTACH];
           if
           :: applied >= g && atAttach < g -> assert(ran[S(s)] >= j)
           :: else ->
#ifdef OFFLINE_IS_EXECUTED
              assert(ran[S(s)] >= j);
#endif
              NOTE_TICKET_GONE
           fi;
           break
        :: else ->
           w = 0;
           applied = 0;
           /* Pending: waits until a look would say something else, so that a ticket which never
              settles is an invalid end state. */
           (mem[APPLIED] >= g || CONTEXT(mem[W]) == USER ||
              (CONTEXT(mem[W]) == OFFLINE && mem[OWNED] == 0))
        fi
     od;
     atomic { w = 0; g = 0; applied = 0; atAttach = 0 }
  :: else -> break
  od
}

#ifdef UNREGISTER
/* Coordinator.unregister: graceperiod.pml has it by itself. */
inline gracePeriod() {
  w = mem[W];
  if :: CONTEXT(w) == KERNEL -> mem[W] != w :: else fi;
  w = 0
}

inline withdraw() {
  atomic { DRAINED(4) -> pending = pending - mem[K]; mem[K] = 0 }
}

proctype unregister() {
  byte w, g;
  STORE(4, REGISTRATION, 1);
  DRAINED(4);
  w = mem[W];
  if :: CONTEXT(w) != KERNEL -> withdraw() :: else fi;
  gracePeriod();
  atomic { DRAINED(4) -> mem[LIVE] = 1 };
  gracePeriod();
  withdraw();
#ifndef SETTLE_WITHOUT_LOCK
  LOCK;
#endif
  g = mem[GENERATION];
  if
  :: mem[APPLIED] < g ->
     STORE(4, AT_ATTACH, g);
     STORE(4, APPLIED, g)
  :: else
  fi;
  DRAINED(4);
#ifndef SETTLE_WITHOUT_LOCK
  UNLOCK;
#endif
  g = 0
}
#endif

init {
  atomic {
    mem[W] = OFFLINE;
    run memory(0); run memory(1); run memory(2); run memory(3); run memory(4);
#ifdef UNREGISTER
    run unregister();
#endif
    run owner(0);
#ifndef ONE_OWNER
    run owner(1);
#endif
#ifdef TWO_TICKETS
    run asker(2);
#else
    run flood(2);
#endif
    run asker(3)
  };
  /* The memories remain. */
  _nr_pr == 6;
  assert(pending == mem[K]);
#ifdef ONE_OWNER
  assert(!accepted[0] || ran[0] == SENDS);
  assert(!accepted[1] || ran[1] == TICKETS);
#endif
}
