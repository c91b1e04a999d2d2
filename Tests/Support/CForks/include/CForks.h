// SPDX-License-Identifier: Apache-2.0
//
// Forks while the other threads rest. The Swift runtime makes type metadata and looks conformances up under locks
// that know nothing of forks: a thread that holds one at that moment leaves it locked in the child for ever.

#ifndef CFORKS_H
#define CFORKS_H

#include <sys/types.h>

/// Forks as soon as no more than `awake` of the other threads run or want to; -1 if they do for minutes.
pid_t cfk_fork(int awake);
/// How the child ended, as `waitpid` says it; -1 if it did not within `seconds`, and had to be killed.
int cfk_end(pid_t child, int seconds);

#endif
