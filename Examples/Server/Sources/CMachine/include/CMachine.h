// SPDX-License-Identifier: Apache-2.0

#pragma once

#include <poll.h>
#include <stdint.h>
#include <sys/types.h>

// What Swift does not see of Linux: calls that the headers declare for GNU sources alone.

/// The processors that the process may use, in ascending order; how many there are, of which `most` at most are written.
int machine_processors(int *processors, int most);
/// Binds a thread, 0 being the calling one, to these processors; 0, or an errno.
int machine_bind(pid_t thread, const int *processors, int count);
/// Gives the calling thread the processor only when nobody else wants it; 0, or an errno.
int machine_run_when_idle(void);
/// Has the calling thread's sleeps end on time, and not up to 50 microseconds later; 0, or an errno.
int machine_wake_on_time(void);
/// Waits for files for so many nanoseconds at most; how many are ready, or minus an errno.
int machine_poll(struct pollfd *files, int count, int64_t nanoseconds);
/// A pipe whose ends no program inherits: where it is read, and where it is written; 0, or an errno.
int machine_pipe(int ends[2]);
