// SPDX-License-Identifier: Apache-2.0
//
// Memory of the library that is kept and used again while `cpi_keep_memory` says so.

#ifndef CPI_MAPPINGS_H
#define CPI_MAPPINGS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Zeroed memory that was kept; NULL if there is none of that size.
void *cpi_take_mapping(size_t bytes);
/// Makes a new mapping present where mappings are kept.
void cpi_populate_mapping(void *address, size_t bytes);
/// Keeps a mapping; false if it has to be given back.
bool cpi_keep_mapping(void *address, size_t bytes);

/// A stack for a thread that is to be made with these attributes (0 bytes: the usual size); NULL if the C library has to
/// make one.
struct stack *cpi_take_stack(size_t bytes, pthread_attr_t *attributes);
/// Says that the calling thread has this stack, if any.
void cpi_enter_stack(struct stack *stack);
/// Takes a stack back, if any, whose thread was not made.
void cpi_return_stack(struct stack *stack);
/// Says that the thread has been joined or detached: its stack is used again once the thread has ended.
void cpi_release_stack(uint64_t handle);

#endif
