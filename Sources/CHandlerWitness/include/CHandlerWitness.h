// SPDX-License-Identifier: Apache-2.0
//
// What a thread did while a handler ran on it. Swift can neither see `getrusage` for one thread
// (RUSAGE_THREAD is a GNU macro) nor replace the functions of the C library.

#ifndef CHANDLERWITNESS_H
#define CHANDLERWITNESS_H

#include <stdbool.h>
#include <stdint.h>

struct chw_counts {
  uint64_t allocations;  // malloc, calloc, realloc, aligned_alloc, memalign, posix_memalign
  uint64_t first_bytes;  // the size of the first one
  uint64_t waits;        // voluntary context switches: the thread gave the processor away
  uint64_t faults;       // page faults, each of which may wait inside the kernel
  uint64_t processor_nanoseconds;
};

/// Begins to count on this thread, from zero.
void chw_begin(void);
/// Ends it, and tells what was counted.
struct chw_counts chw_end(void);

/// Routes the allocating functions of everything that is loaded now through counters of ours, by
/// rewriting the entries through which loaded objects call them; once, for the rest of the process.
/// Outside `chw_begin` and `chw_end` a call pays one test of a thread-local flag. False where that
/// is impossible: under a sanitizer, which replaces the same functions, and in a static executable.
bool chw_watch_allocations(void);

/// Whether this was built for AddressSanitizer or ThreadSanitizer.
bool chw_is_sanitized(void);

/// Allocates and frees, out of sight of the optimizer.
void chw_allocate_once(void);

/// Voluntary context switches of this thread so far.
uint64_t chw_waits_of_this_thread(void);

/// Where another thread of this process stands.
struct chw_progress {
  char state;  // as the system says it: 'R' if it runs or wants to, 'S' if it sleeps until it is woken
  uint64_t waits;
  uint64_t processor_nanoseconds;
};
/// All zero if there is no such thread.
struct chw_progress chw_progress_of(int32_t thread_id);

/// Lets another thread of this process run only while a processor has nothing else to do.
void chw_set_idle_priority(int32_t thread_id);

#endif
