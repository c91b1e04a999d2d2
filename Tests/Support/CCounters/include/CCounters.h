// SPDX-License-Identifier: Apache-2.0
//
// Counts what the calling thread allocates, retains and releases. The functions of the C library and of the Swift
// runtime are replaced for the whole test process, by symbol interposition, which Swift cannot do.

#ifndef CCOUNTERS_H
#define CCOUNTERS_H

#include <stdbool.h>
#include <stdint.h>

struct ccounters {
  uint64_t allocations;  // malloc, calloc, realloc, posix_memalign, aligned_alloc
  uint64_t retains;      // swift_retain and swift_bridgeObjectRetain, each object once
  uint64_t releases;     // likewise
};

/// Whether anything is counted: a sanitizer replaces the same functions, and then nothing is.
bool ccounters_are_available(void);

/// Begins to count on this thread, from zero.
void ccounters_begin(void);

/// Ends it, and tells what was counted.
struct ccounters ccounters_end(void);

#endif
