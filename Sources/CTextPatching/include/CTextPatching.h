// SPDX-License-Identifier: Apache-2.0
//
// What Swift cannot say about machine code: memory that is mapped twice, the trap handler, and the
// instruction that throws away what a processor has fetched ahead. Functions that can fail return 0
// or an errno value.

#ifndef CTEXTPATCHING_H
#define CTEXTPATCHING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// MARK: Memory

/// Where a mapping was refused.
enum ctp_step {
  ctp_step_none = 0,
  ctp_step_shadow_stack,  // the processor checks return addresses, which patched calls do not keep
  ctp_step_memfd,         // no memory file that may be executed
  ctp_step_size,
  ctp_step_writable,
  ctp_step_executable,
};

/// One piece of memory at two addresses: what is written at one is executed at the other, and no
/// address is both.
struct ctp_text {
  uint8_t *_Nullable writable;
  uint8_t *_Nullable executable;
  enum ctp_step refused;
};

/// Maps `bytes` (whole pages), close to the program's own text where there is room, so that
/// direct branches reach it. MFD_EXEC is no macro that Swift sees; `memfd_create` is GNU-only.
int ctp_map(size_t bytes, struct ctp_text *_Nonnull out);
void ctp_unmap(const struct ctp_text *_Nonnull text, size_t bytes);

// MARK: Instructions

/// Throws away what this processor has fetched or decoded ahead: the form of a work type's handler.
/// It may run in a signal handler.
void ctp_synchronize_core(void *_Nullable context, intptr_t cpu);

/// Writes single bytes, in the order of the calls: the compiler must neither join nor move them.
static inline void ctp_write_byte(uint8_t *_Nonnull at, uint8_t value) {
  *(volatile uint8_t *)at = value;
}

/// Writes one aligned instruction of four bytes at once.
static inline void ctp_write_word(uint8_t *_Nonnull at, uint32_t value) {
  *(volatile uint32_t *)(void *)at = value;
}

/// Makes what was written visible to instruction fetch, where the caches do not do so themselves.
void ctp_publish_code(uint8_t *_Nonnull executable, size_t bytes);

// MARK: Traps

/// What the trap handler knows of a text. It is never freed: a trap that is nobody's looks through all.
struct ctp_watch;

/// The words are the caller's, and outlive every thread that executes the text.
struct ctp_words {
  uint64_t *_Nonnull resume;      // per site, where a thread goes on that met its breakpoint
  uint64_t *_Nonnull traps;       // how many did
  uint64_t *_Nonnull admissions;  // zeroed in the child of a fork, `admission_stride` words apart
  size_t admission_count;
  size_t admission_stride;
};

/// Installs the process's trap handler if need be, and lets it know the text: a breakpoint
/// at `site_offset` in one of its slots of `slot_bytes` is ours.
/// NULL, with the reason in `error`, if memory is short or the handler cannot be installed.
struct ctp_watch *_Nullable ctp_watch_text(
    const uint8_t *_Nonnull executable, size_t bytes, size_t slot_bytes, size_t site_offset,
    struct ctp_words words, int *_Nonnull error);
void ctp_unwatch_text(struct ctp_watch *_Nonnull watch);

/// Whether a breakpoint would come to our handler: somebody may have installed another one since.
bool ctp_catches_traps(void);

/// Lets this thread take breakpoints, whatever signal mask it inherited: the kernel ends a process that
/// meets one while the signal is blocked.
void ctp_unblock_traps(void);

#endif
