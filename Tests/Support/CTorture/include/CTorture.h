// SPDX-License-Identifier: Apache-2.0
//
// What a torture run does to its own process, and Swift cannot say: forks, signals to one thread, threads that end in the
// middle, and system calls that are refused to one thread.

#ifndef CTORTURE_H
#define CTORTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/// Forks; the child dies with this process where `dies` says so. -1 with `errno` where no fork is possible.
pid_t ctr_fork(bool dies);
/// The id of the calling thread.
int32_t ctr_thread_id(void);
/// Sends a signal to one thread of this process; 0, or an errno value.
int ctr_signal_thread(int32_t thread, int signal);
/// Ends the calling thread, whatever it is in.
_Noreturn void ctr_end_thread(void);

/// SIGINT and SIGTERM only set a flag from here on, and are passed on to `child` where that is no 0.
void ctr_take_stop_signals(pid_t child);
/// The signal that asked this process to stop; 0 is none.
int ctr_stop_signal(void);

/// The signal that disturbs a thread.
int ctr_disturbance(void);
/// What the handler of that signal does: it holds its thread up for so many microseconds at most, gives the processor away, and
/// calls the function.
void ctr_take_disturbances(int longest, bool yields, void (*function)(void *), void *context);
/// How often threads were disturbed.
uint64_t ctr_disturbances(void);

/// System calls that can be refused to the calling thread, and to those that it starts, for good.
enum {
  ctr_affinity = 1,
  ctr_membarrier = 2,
  ctr_signals = 4,
  ctr_memory = 8,
  ctr_threads = 16,
};
/// Refuses them, each with the error that the kernel has for it; 0, or an errno value.
int ctr_refuse(unsigned calls);

/// How many signals of this user may be queued, for the whole process: -1 for as many as before; 0, or an errno value.
int ctr_limit_queued_signals(long count);

#endif
