/* SPDX-License-Identifier: Apache-2.0

   A CPU's lookup cache: an entry is found whole or not at all, wherever a signal arrives.

   Mirrors LookupSets.find and LookupSets.fill for one set, against the handler of a signal that does the
   same on the same thread. Nothing is shared with other threads, so there are no store buffers: a
   handler sees what its thread has done, step by step, and the thread finds all that the handler did. The
   handler runs as one step, between any two of the thread's. The compiler may move what stands between
   the two stores of the index; LATE_VALUE is such an order, and has to hold.

   Bound: a set of two ways, three keys, LOOKUPS of the thread, each with a fill if it found nothing, and
   SIGNALS whose handlers do the same; handlers are not interrupted themselves. The index has four bits,
   and comes round within no search but REACH_WRAP.

   Asserted:
   - what is found for a key is the key's value;
   - outside a fill no key has two entries.

   Possible:
     REACH_WRAP  so many fills interrupt one lookup that an index of so few bits comes round, and deceives
                 it; the library's has 32, and a handler makes few fills

   Broken forms, which have to fail:
     NO_SECOND_LOOK      a lookup believes what it found without the look at the index after it
     NO_MARK LATE_VALUE  a fill does not mark the set: its interrupter finds half an entry
     NO_MARK             the same in the kernel's order, tag, value, tag: the interrupter fills the same
                         way in the middle, and its key gets the thread's value
     FILLS_MARKED        a handler fills a set although it is marked
     FINDS_MARKED LATE_VALUE  a handler looks up in a set although it is marked
     INDEX_FIRST LATE_VALUE   the index is moved on before the entry is written
     NO_SEARCH           a fill does not look whether a handler has cached the key meanwhile */

#ifndef LOOKUPS
#define LOOKUPS 2
#endif
#ifndef SIGNALS
#define SIGNALS 2
#endif
#ifdef REACH_WRAP
#define CUT 3
#else
#define CUT 15
#endif

#define VALUE(key) ((key) + 4)

byte index, tag[2], value[2];
byte filling;

/* What find says is in `found`: 0 is nothing. */
inline find(key) {
  do
  :: before = index;
     way = (tag[1] == key -> 1 : 0);
     seen = tag[way];
     found = value[way];
#ifdef NO_SECOND_LOOK
     break
#else
     if
     :: index == before -> break
     :: else
     fi
#endif
  od;
  atomic {
    if
#ifdef FINDS_MARKED
    :: seen == key
#else
    :: seen == key && !(before & 1)
#endif
       -> assert(found == VALUE(key))
    :: else -> found = 0
    fi;
    seen = 0;
    way = 0;
    before = 0
  }
}

inline fill(key) {
  before = index;
  if
#ifndef FILLS_MARKED
  :: before & 1
#endif
  :: else ->
     filling++;
#ifdef INDEX_FIRST
     index = (before + 2) & CUT;
#else
#ifndef NO_MARK
     index = before | 1;
#endif
#endif
     way = (before >> 1) & 1;
#ifndef NO_SEARCH
     if
     :: tag[0] == key -> way = 0
     :: tag[1] == key -> way = 1
     :: else
     fi;
#endif
     tag[way] = 0;
#ifdef LATE_VALUE
     tag[way] = key;
     value[way] = VALUE(key);
#else
     value[way] = VALUE(key);
     tag[way] = key;
#endif
     atomic {
#ifndef INDEX_FIRST
       index = (before + 2) & CUT;
#endif
       filling--;
       assert(filling || !tag[0] || tag[0] != tag[1])
     }
  fi;
  atomic { before = 0; way = 0 }
}

inline choose(key) {
  if
  :: key = 1
  :: key = 2
  :: key = 3
  fi
}

inline lookUp(key) {
  find(key);
  if
  :: !found -> fill(key)
  :: else
  fi;
  found = 0
}

proctype owner() {
  byte n, k, before, way, seen, found;
  do
  :: n < LOOKUPS -> n++; choose(k); lookUp(k); k = 0
  :: else -> break
  od
}

proctype signals() {
  byte n, k, before, way, seen, found;
  do
  :: atomic { n < SIGNALS -> n++; choose(k); lookUp(k); k = 0 }
  :: else -> break
  od
}

init {
  atomic { run owner(); run signals() }
}
