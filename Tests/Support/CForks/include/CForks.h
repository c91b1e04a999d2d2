// SPDX-License-Identifier: Apache-2.0
//
// Forks while the other threads rest. The Swift runtime makes type metadata and looks conformances up under locks
// that know nothing of forks: a thread that holds one at that moment leaves it locked in the child for ever.

#ifndef CFORKS_H
#define CFORKS_H

#include <sys/types.h>

/// Forks once all other threads are seen asleep; -1 with `errno` if they are not for minutes, or no fork is possible.
pid_t cfk_fork(void);
/// How the child ended, as `waitpid` says it; -1 if there is none, or it did not within `seconds` and was killed.
int cfk_end(pid_t child, int seconds);

#endif
