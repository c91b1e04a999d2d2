// SPDX-License-Identifier: Apache-2.0

#if !defined(__linux__)
#error "CPUIsolation supports Linux; nothing else has been compiled"
#endif

#define _GNU_SOURCE
#include "CTextPatching.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

// Of Linux 6.3, 4.17 and 6.6: the headers may be older than the kernel.
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef ARCH_SHSTK_STATUS
#define ARCH_SHSTK_STATUS 0x5005
#endif

// MARK: Memory

static bool has_shadow_stack(void) {
#if defined(__x86_64__)
  unsigned long features = 0;
  return syscall(SYS_arch_prctl, ARCH_SHSTK_STATUS, &features) == 0 && (features & 1) != 0;
#else
  return false;
#endif
}

static int open_text(void) {
  int file = memfd_create("patch sites", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  // A kernel that does not know the flag makes every memory file executable.
  if (file < 0 && errno == EINVAL)
    file = memfd_create("patch sites", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  return file;
}

// Direct branches reach 2 GiB on x86-64 and 128 MiB on arm64: below the program's text there is most often
// room, and nothing that grows into it.
static void *map_executable(int file, size_t bytes) {
  const uintptr_t step = (uintptr_t)16 << 20;
  const uintptr_t text = (uintptr_t)&ctp_map & ~(step - 1);
#if defined(__aarch64__)
  const int attempts = 7;
#else
  const int attempts = 96;
#endif
  for (int attempt = 1; attempt <= attempts && text > (uintptr_t)attempt * step; attempt++) {
    void *wanted = (void *)(text - (uintptr_t)attempt * step);
    void *got = mmap(
        wanted, bytes, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_POPULATE | MAP_FIXED_NOREPLACE,
        file, 0);
    if (got == wanted) return got;
    // An older kernel takes the address for a hint.
    if (got != MAP_FAILED) munmap(got, bytes);
    // A policy answers the same everywhere.
    else if (errno != EEXIST && errno != EPERM && errno != ENOMEM) return MAP_FAILED;
  }
  return mmap(NULL, bytes, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_POPULATE, file, 0);
}

static int refuse(struct ctp_text *out, enum ctp_step step, int file) {
  int error = errno;
  if (file >= 0) close(file);
  out->refused = step;
  return error;
}

int ctp_map(size_t bytes, struct ctp_text *out) {
  *out = (struct ctp_text){0};
  if (has_shadow_stack()) {
    errno = EPERM;
    return refuse(out, ctp_step_shadow_stack, -1);
  }
  int file = open_text();
  if (file < 0) return refuse(out, ctp_step_memfd, file);
  if (ftruncate(file, (off_t)bytes) != 0) return refuse(out, ctp_step_size, file);
  void *writable = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
  if (writable == MAP_FAILED) return refuse(out, ctp_step_writable, file);
  void *executable = map_executable(file, bytes);
  if (executable == MAP_FAILED) {
    int error = errno;
    munmap(writable, bytes);
    errno = error;
    return refuse(out, ctp_step_executable, file);
  }
  // The pages are shared: a child of a fork would execute what its parent patches, out of the parent's sight.
  if (madvise(writable, bytes, MADV_DONTFORK) != 0 || madvise(executable, bytes, MADV_DONTFORK) != 0) {
    int error = errno;
    munmap(executable, bytes);
    munmap(writable, bytes);
    errno = error;
    return refuse(out, ctp_step_executable, file);
  }
  // Nobody resizes it below a thread that executes it, and nobody maps it again. One more bar, where the kernel has it:
  // nobody else has the file.
  (void)fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  close(file);  // the mappings stay
  out->writable = writable;
  out->executable = executable;
  return 0;
}

void ctp_unmap(const struct ctp_text *text, size_t bytes) {
  // Whole mappings of a file: nothing is cut in two, which is all that could be refused.
  munmap(text->executable, bytes);
  munmap(text->writable, bytes);
}

void ctp_publish_code(uint8_t *executable, size_t bytes) {
  // On arm64 the instruction cache is cleaned by address, on every processor; on x86-64 it snoops.
  __builtin___clear_cache((char *)executable, (char *)executable + bytes);
}

// MARK: Instructions

#if defined(__x86_64__)

// Chosen before the first thread can be told to synchronize.
static bool has_serialize;

__attribute__((constructor)) static void look_for_serialize(void) {
  unsigned a, b, c, d;
  has_serialize = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 14 & 1);
}

void ctp_synchronize_core(void *context, intptr_t cpu) {
  (void)context;
  (void)cpu;
  if (has_serialize) {
    __asm__ volatile(".byte 0x0f, 0x01, 0xe8" ::: "memory");  // serialize
    return;
  }
  // IRET to the next instruction: CPUID is serializing too, but a hypervisor takes microseconds for it.
  // The frame stands below the red zone, and IRET puts the stack pointer back.
  unsigned long stack, segment;
  __asm__ volatile(
      "movq %%rsp, %0\n\t"
      "leaq -128(%%rsp), %%rsp\n\t"
      "movq %%ss, %1\n\t"
      "pushq %1\n\t"
      "pushq %0\n\t"
      "pushfq\n\t"
      "movq %%cs, %1\n\t"
      "pushq %1\n\t"
      "leaq 1f(%%rip), %1\n\t"
      "pushq %1\n\t"
      "iretq\n\t"
      "1:"
      : "=&r"(stack), "=&r"(segment)
      :
      : "cc", "memory");
}

#elif defined(__aarch64__)

void ctp_synchronize_core(void *context, intptr_t cpu) {
  (void)context;
  (void)cpu;
  __asm__ volatile("isb" ::: "memory");
}

#else
#error "CPUIsolation knows no way to synchronize instructions on this architecture"
#endif
