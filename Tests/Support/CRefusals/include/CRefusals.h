// SPDX-License-Identifier: Apache-2.0
//
// Makes the system refuse what a security policy refuses, by a system call filter: for processes that are about
// to end. `prctl` is variadic, and the filter's macros are not visible to Swift.

#ifndef CREFUSALS_H
#define CREFUSALS_H

/// From here on this process gets `error` for memory files; 0, or an errno value.
int crf_refuse_memory_files(int error);
/// From here on this process, and what it executes, gets `error` for membarriers; 0, or an errno value.
int crf_refuse_membarriers(int error);
/// From here on this process gets `error` for new executable mappings; 0, or an errno value.
int crf_refuse_executable_mappings(int error);
/// From here on no mapping may become executable that is writable, or was: what hardened services ask for.
int crf_refuse_execution_of_what_is_written(void);
/// Meets a breakpoint that is nobody's.
void crf_meet_breakpoint(void);

#endif
