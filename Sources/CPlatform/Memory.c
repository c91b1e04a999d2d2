// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "CPlatform.h"

#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

// MARK: The allocator

int cpi_keep_heap(bool has_one_arena) {
  // The threshold alone would turn the one for mappings of its own from a moving into a fixed one: then each block
  // above 128 KiB is a mapping, and its end an interrupt.
  return mallopt(M_MMAP_MAX, 0) == 1 && mallopt(M_TRIM_THRESHOLD, -1) == 1 &&
                 (!has_one_arena || mallopt(M_ARENA_MAX, 1) == 1)
             ? 0
             : EOPNOTSUPP;
}

int cpi_set_heap_growth(int32_t bytes) { return mallopt(M_TOP_PAD, bytes) == 1 ? 0 : EOPNOTSUPP; }

int cpi_release_heap(void) {
  // What was set cannot be asked for, and the moving threshold does not come back: these are glibc's own numbers, and
  // for the two thresholds the highest to which it would have moved them.
  const int highest = 32 << 20;
  const long processors = sysconf(_SC_NPROCESSORS_ONLN);
  const bool is_set = mallopt(M_MMAP_MAX, 65536) == 1 && mallopt(M_MMAP_THRESHOLD, highest) == 1 &&
                      mallopt(M_TRIM_THRESHOLD, 2 * highest) == 1 && mallopt(M_TOP_PAD, 128 << 10) == 1 &&
                      mallopt(M_ARENA_MAX, 8 * (int)(processors > 0 ? processors : 1)) == 1;
  malloc_trim(0);  // whether there was anything to give back
  return is_set ? 0 : EOPNOTSUPP;
}

int cpi_populate_heap(size_t bytes) {
  // In pieces that fit into the heap of any arena: larger ones may have a mapping of their own whatever is set.
  const size_t piece = 16 << 20;
  void *blocks[64];
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  size_t count = 0;
  int error = 0;
  while (bytes > 0 && error == 0 && count < sizeof blocks / sizeof *blocks) {
    const size_t size = bytes < piece ? bytes : piece;
    void *block = malloc(size);
    if (!block) {
      error = ENOMEM;
      break;
    }
    blocks[count++] = block;
    bytes -= size;
    const uintptr_t begin = ((uintptr_t)block + page - 1) & -page, end = ((uintptr_t)block + size) & -page;
    if (begin < end && madvise((void *)begin, end - begin, MADV_POPULATE_WRITE) != 0) error = errno;
  }
  while (count > 0) free(blocks[--count]);
  return error;
}

// MARK: The program's data

struct image_pages {
  uintptr_t page;
  size_t bytes;
  int error;
};

static void populate(struct image_pages *pages, uintptr_t begin, uintptr_t end) {
  begin &= -pages->page;
  end = (end + pages->page - 1) & -pages->page;
  if (begin >= end) return;
  if (madvise((void *)begin, end - begin, MADV_POPULATE_WRITE) == 0) {
    pages->bytes += end - begin;
    return;
  }
  // A library may have made a part of its data read-only: nothing is written there any more.
  for (uintptr_t address = begin; address < end; address += pages->page) {
    if (madvise((void *)address, pages->page, MADV_POPULATE_WRITE) == 0)
      pages->bytes += pages->page;
    else if (errno != EINVAL && pages->error == 0)
      pages->error = errno;
  }
}

static int populate_image(struct dl_phdr_info *image, size_t size, void *context) {
  (void)size;
  struct image_pages *pages = context;
  // What is written while the program is linked and not after it is read-only by now.
  uintptr_t sealed = 0, seal = 0;
  for (int i = 0; i < image->dlpi_phnum; i++) {
    const ElfW(Phdr) *part = &image->dlpi_phdr[i];
    if (part->p_type != PT_GNU_RELRO) continue;
    sealed = (image->dlpi_addr + part->p_vaddr) & -pages->page;
    seal = (image->dlpi_addr + part->p_vaddr + part->p_memsz) & -pages->page;
  }
  for (int i = 0; i < image->dlpi_phnum; i++) {
    const ElfW(Phdr) *part = &image->dlpi_phdr[i];
    if (part->p_type != PT_LOAD || !(part->p_flags & PF_W)) continue;
    const uintptr_t begin = image->dlpi_addr + part->p_vaddr, end = begin + part->p_memsz;
    if (seal <= begin || end <= sealed) {
      populate(pages, begin, end);
    } else {
      populate(pages, begin, sealed);
      populate(pages, seal, end);
    }
  }
  return 0;
}

int cpi_populate_images(size_t *bytes) {
  struct image_pages pages = {.page = (uintptr_t)sysconf(_SC_PAGESIZE)};
  dl_iterate_phdr(populate_image, &pages);
  *bytes = pages.bytes;
  // An older kernel knows of no such advice.
  return pages.bytes == 0 && pages.error == 0 ? EINVAL : pages.error;
}

// MARK: Locking

int cpi_lock_current_memory(void) { return mlockall(MCL_CURRENT) == 0 ? 0 : errno; }

int cpi_unlock_memory(void) { return munlockall() == 0 ? 0 : errno; }

// MARK: Forks

static bool (*_Atomic fork_is_late)(void);
static _Atomic uint64_t late_forks;
static pthread_once_t late_once = PTHREAD_ONCE_INIT;
static int late_error;

static void look_before_fork(void) {
  bool (*is_late)(void) = atomic_load_explicit(&fork_is_late, memory_order_relaxed);
  // Relaxed: a count.
  if (is_late && is_late()) atomic_fetch_add_explicit(&late_forks, 1, memory_order_relaxed);
}

static void watch(void) {
  cpi_stay_loaded();
  late_error = pthread_atfork(look_before_fork, NULL, NULL);
}

int cpi_watch_late_forks(bool (*is_late)(void)) {
  atomic_store_explicit(&fork_is_late, is_late, memory_order_relaxed);
  pthread_once(&late_once, watch);
  return late_error;
}

uint64_t cpi_late_forks(void) { return atomic_load_explicit(&late_forks, memory_order_relaxed); }
