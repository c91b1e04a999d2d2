// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "CHandlerWitness.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static _Thread_local struct {
  bool is_counting;
  struct chw_counts counts;
  struct rusage before;
  struct timespec began;
} witness __attribute__((tls_model("initial-exec")));

// The calls that count for the calling thread are refused to nobody: the clock is there since Linux 2.6.12.

void chw_begin(void) {
  witness.counts = (struct chw_counts){0};
  getrusage(RUSAGE_THREAD, &witness.before);
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &witness.began);
  witness.is_counting = true;
}

struct chw_counts chw_end(void) {
  witness.is_counting = false;
  struct timespec now;
  struct rusage after;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  getrusage(RUSAGE_THREAD, &after);
  struct chw_counts counts = witness.counts;
  counts.waits = (uint64_t)(after.ru_nvcsw - witness.before.ru_nvcsw);
  counts.faults = (uint64_t)(after.ru_minflt - witness.before.ru_minflt) +
                  (uint64_t)(after.ru_majflt - witness.before.ru_majflt);
  counts.processor_nanoseconds =
      (uint64_t)((now.tv_sec - witness.began.tv_sec) * 1000000000L + now.tv_nsec -
                 witness.began.tv_nsec);
  return counts;
}

void chw_allocate_once(void) {
  void *volatile memory = malloc(24);
  free(memory);
}

uint64_t chw_waits_of_this_thread(void) {
  struct rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  return (uint64_t)usage.ru_nvcsw;
}

struct chw_progress chw_progress_of(int32_t thread_id) {
  struct chw_progress progress = {0};
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/status", (int)thread_id);
  FILE *file = fopen(path, "r");
  if (!file) return progress;
  char line[256], state = 0;
  unsigned long long waits = 0;
  while (fgets(line, sizeof line, file)) {
    sscanf(line, "State: %c", &state);
    if (sscanf(line, "voluntary_ctxt_switches: %llu", &waits) == 1) break;
  }
  fclose(file);
  progress.state = state;
  progress.waits = waits;
  // How Linux numbers the processor clocks of threads: the id's complement, above three bits of which
  // one says thread and two say which of its clocks.
  struct timespec time;
  if (clock_gettime((clockid_t)(~(unsigned)thread_id << 3 | 6), &time) == 0)
    progress.processor_nanoseconds = (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_nsec;
  return progress;
}

void chw_set_idle_priority(int32_t thread_id) {
  struct sched_param none = {0};
  // Refused, or the thread gone: it runs as before, and what waits for its end waits longer.
  (void)sched_setscheduler(thread_id, SCHED_IDLE, &none);
}

// MARK: Allocations

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED 1
#endif

#ifdef IS_SANITIZED
bool chw_is_sanitized(void) { return true; }
#else
bool chw_is_sanitized(void) { return false; }
#endif

#if defined(IS_SANITIZED) || (!defined(__x86_64__) && !defined(__aarch64__))

bool chw_watch_allocations(void) { return false; }

#else

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#define IS_CALL_ENTRY(type) ((type) == R_X86_64_JUMP_SLOT || (type) == R_X86_64_GLOB_DAT)
#else
#define IS_CALL_ENTRY(type) ((type) == R_AARCH64_JUMP_SLOT || (type) == R_AARCH64_GLOB_DAT)
#endif

static struct {
  void *(*malloc)(size_t);
  void *(*calloc)(size_t, size_t);
  void *(*realloc)(void *, size_t);
  void *(*aligned_alloc)(size_t, size_t);
  void *(*memalign)(size_t, size_t);
  int (*posix_memalign)(void **, size_t, size_t);
} real;

static inline void note(size_t bytes) {
  if (!witness.is_counting) return;
  if (witness.counts.allocations++ == 0) witness.counts.first_bytes = bytes;
}

static void *counted_malloc(size_t size) {
  note(size);
  return real.malloc(size);
}

static void *counted_calloc(size_t count, size_t size) {
  note(count * size);
  return real.calloc(count, size);
}

static void *counted_realloc(void *memory, size_t size) {
  note(size);
  return real.realloc(memory, size);
}

static void *counted_aligned_alloc(size_t alignment, size_t size) {
  note(size);
  return real.aligned_alloc(alignment, size);
}

static void *counted_memalign(size_t alignment, size_t size) {
  note(size);
  return real.memalign(alignment, size);
}

static int counted_posix_memalign(void **result, size_t alignment, size_t size) {
  note(size);
  return real.posix_memalign(result, alignment, size);
}

static const struct {
  const char *name;
  void **real;
  void *counted;
} replaced[] = {
    {"malloc", (void **)&real.malloc, (void *)counted_malloc},
    {"calloc", (void **)&real.calloc, (void *)counted_calloc},
    {"realloc", (void **)&real.realloc, (void *)counted_realloc},
    {"aligned_alloc", (void **)&real.aligned_alloc, (void *)counted_aligned_alloc},
    {"memalign", (void **)&real.memalign, (void *)counted_memalign},
    {"posix_memalign", (void **)&real.posix_memalign, (void *)counted_posix_memalign},
};
enum { REPLACED = sizeof replaced / sizeof replaced[0] };

/// The functions after ours. In an executable at a fixed address the answer may be a jump of its
/// own, through the entry that we are about to rewrite: ours would call themselves.
static bool find_real_functions(void) {
  for (int index = 0; index < REPLACED; index++) {
    void *function = dlsym(RTLD_DEFAULT, replaced[index].name);
    Dl_info info;
    ElfW(Sym) *symbol = NULL;
    if (!function || !dladdr1(function, &info, (void **)&symbol, RTLD_DL_SYMENT)) return false;
    if (symbol && symbol->st_shndx == SHN_UNDEF) return false;
    *replaced[index].real = function;
  }
  return true;
}

/// Rewrites one entry. Where relocations are write-protected its page is opened for that moment;
/// nobody loses the right to read it.
static bool rewrite(
    uintptr_t entry, void *function, uintptr_t protected_from, uintptr_t protected_to) {
  uintptr_t size = (uintptr_t)sysconf(_SC_PAGESIZE);
  void *page = (void *)(entry & ~(size - 1));
  bool is_protected = entry >= protected_from && entry < protected_to;
  if (is_protected && mprotect(page, size, PROT_READ | PROT_WRITE) != 0) return false;
  atomic_store_explicit((_Atomic(void *) *)entry, function, memory_order_release);
  if (is_protected) mprotect(page, size, PROT_READ);
  return true;
}

static int rewrite_object(struct dl_phdr_info *object, size_t size, void *context) {
  (void)size;
  bool *is_complete = context;
  const ElfW(Dyn) *dynamic = NULL;
  uintptr_t protected_from = 0, protected_to = 0;
  for (int index = 0; index < object->dlpi_phnum; index++) {
    const ElfW(Phdr) *header = &object->dlpi_phdr[index];
    if (header->p_type == PT_DYNAMIC) dynamic = (const void *)(object->dlpi_addr + header->p_vaddr);
    if (header->p_type == PT_GNU_RELRO) {
      protected_from = object->dlpi_addr + header->p_vaddr;
      protected_to = protected_from + header->p_memsz;
    }
  }
  // The kernel's own object is not relocated, and calls nothing.
  if (!dynamic || (object->dlpi_name && strstr(object->dlpi_name, "linux-vdso"))) return 0;
  const ElfW(Sym) *symbols = NULL;
  const char *names = NULL;
  const ElfW(Rela) *tables[2] = {NULL, NULL};
  size_t bytes[2] = {0, 0};
  for (; dynamic->d_tag != DT_NULL; dynamic++) {
    switch (dynamic->d_tag) {
      case DT_SYMTAB: symbols = (const void *)dynamic->d_un.d_ptr; break;
      case DT_STRTAB: names = (const void *)dynamic->d_un.d_ptr; break;
      case DT_JMPREL: tables[0] = (const void *)dynamic->d_un.d_ptr; break;
      case DT_PLTRELSZ: bytes[0] = dynamic->d_un.d_val; break;
      case DT_RELA: tables[1] = (const void *)dynamic->d_un.d_ptr; break;
      case DT_RELASZ: bytes[1] = dynamic->d_un.d_val; break;
      default: break;
    }
  }
  if (!symbols || !names) return 0;
  for (int table = 0; table < 2; table++) {
    if (!tables[table]) continue;
    for (size_t index = 0; index < bytes[table] / sizeof(ElfW(Rela)); index++) {
      const ElfW(Rela) *relocation = &tables[table][index];
      if (!IS_CALL_ENTRY(ELF64_R_TYPE(relocation->r_info))) continue;
      const char *name = names + symbols[ELF64_R_SYM(relocation->r_info)].st_name;
      for (int function = 0; function < REPLACED; function++) {
        if (strcmp(name, replaced[function].name) != 0) continue;
        *is_complete &= rewrite(
            object->dlpi_addr + relocation->r_offset, replaced[function].counted, protected_from,
            protected_to);
      }
    }
  }
  return 0;
}

static bool is_watching;

static void begin_watching(void) {
  if (!find_real_functions()) return;
  bool is_complete = true;
  dl_iterate_phdr(rewrite_object, &is_complete);
  is_watching = is_complete;
}

bool chw_watch_allocations(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, begin_watching);
  return is_watching;
}

#endif
