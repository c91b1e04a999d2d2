/* SPDX-License-Identifier: Apache-2.0

   The memory of x86-64 (total store order), and the words that all models share.

   Each thread has a buffer of stores that others do not see yet, first in first out. A store goes
   into it, a `memory` process writes it out at any later moment, a load reads memory, and a
   read-modify-write or a fence waits until the thread's own buffer is empty. Loads of a word for
   which the same thread may have a store in its buffer would have to look there first; the models
   avoid them, or, like signal.pml, keep such a word's value at hand.

   A model defines THREADS and WORDS, and may define WRITTEN(a, v): what is asserted whenever the
   value v leaves a buffer for the word a. */

byte mem[WORDS];
chan buffer[THREADS] = [2] of { byte, byte };

#define STORE(t, a, v) buffer[t]!a, v
/* Executable once the thread has no store left in its buffer: before a read-modify-write
   inside its atomic step, or alone, as a fence. */
#define DRAINED(t) empty(buffer[t])

#ifndef WRITTEN
#define WRITTEN(a, v) skip
#endif

proctype memory(byte t) {
  byte a, v;
  end: do
  :: atomic { buffer[t]?a, v -> WRITTEN(a, v); mem[a] = v; a = 0; v = 0 }
  od
}

/* The state word W: two bits of context below a counter of two bits, so that it wraps within
   every search. A transition is one addition, as in ContextWord.swift; it is cut off by hand. */
#define KERNEL 0
#define USER 1
#define IDLE 2
#define OFFLINE 3
#define CONTEXT(w) ((w) & 3)
#define ENTRY(c) (4 - (c))
#define EXIT(c) (4 + (c))
#define MOVED(w, step) (((w) + (step)) & 15)

#define MAX(a, b) ((a) > (b) -> (a) : (b))
