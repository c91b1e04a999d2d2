// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "CBenchmarkPeers.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// What lookups found: kept, so that they are made.
static volatile uint64_t peer_found;

// MARK: Tables of probes

// The table that the seed's cache stands before: 512 chains, with the hash that Linux has for
// addresses.
struct chained {
  struct chained *next;
  uint64_t key;
  uint64_t value;
};

struct peer_chains {
  struct chained *heads[512];
};

static unsigned chain_of(uint64_t key) { return (unsigned)((key * 0x61c8864680b583ebULL) >> 55); }

struct peer_chains *peer_make_chains(const uint64_t *keys, uint64_t count) {
  struct peer_chains *table = calloc(1, sizeof *table);
  if (!table) return NULL;
  for (uint64_t i = 0; i < count; i++) {
    // One allocation each, as probes are: they do not stand beside each other.
    struct chained *entry = calloc(1, 128);
    if (!entry) return NULL;
    unsigned chain = chain_of(keys[i]);
    entry->key = keys[i];
    entry->value = i + 1;
    entry->next = table->heads[chain];
    table->heads[chain] = entry;
  }
  return table;
}

uint64_t peer_find_chained(const struct peer_chains *table, uint64_t key) {
  for (const struct chained *entry = table->heads[chain_of(key)]; entry; entry = entry->next)
    if (entry->key == key) return entry->value;
  return 0;
}

void peer_find_all_chained(
    const struct peer_chains *table, const uint64_t *keys, uint64_t mask, uint64_t count) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < count; i++) sum += peer_find_chained(table, keys[i & mask]);
  peer_found = sum;
}

// The best table that we know for this: open addressing at half load, key and value beside each
// other, so that most lookups read one line.
struct peer_open {
  uint64_t mask;
  int shift;
  uint64_t entries[][2];
};

struct peer_open *peer_make_open(const uint64_t *keys, uint64_t count) {
  int bits = 1;
  while ((1ULL << bits) < 2 * count) bits++;
  struct peer_open *table = NULL;
  size_t bytes = sizeof *table + ((size_t)16 << bits);
  if (posix_memalign((void **)&table, 64, bytes) != 0) return NULL;
  memset(table, 0, bytes);
  table->mask = (1ULL << bits) - 1;
  table->shift = 64 - bits;
  for (uint64_t i = 0; i < count; i++) {
    uint64_t at = (keys[i] * 0x9e3779b97f4a7c15ULL) >> table->shift;
    while (table->entries[at][1]) at = (at + 1) & table->mask;
    table->entries[at][0] = keys[i];
    table->entries[at][1] = i + 1;
  }
  return table;
}

uint64_t peer_find_open(const struct peer_open *table, uint64_t key) {
  uint64_t at = (key * 0x9e3779b97f4a7c15ULL) >> table->shift;
  while (table->entries[at][1]) {
    if (table->entries[at][0] == key) return table->entries[at][1];
    at = (at + 1) & table->mask;
  }
  return 0;
}

void peer_find_all_open(
    const struct peer_open *table, const uint64_t *keys, uint64_t mask, uint64_t count) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < count; i++) sum += peer_find_open(table, keys[i & mask]);
  peer_found = sum;
}

// MARK: A measurement

void peer_measure_turns(uint64_t count) {
  static uint64_t buckets[1024];
  for (uint64_t i = 0; i < count; i++) {
    uint64_t start = peer_cycles();
    __asm__ volatile("" : : "r"(i) : "memory");
    buckets[peer_bucket(peer_cycles() - start)]++;
  }
  __asm__ volatile("" : : "r"(buckets) : "memory");
}

// MARK: A probe of the kernel

// The place that is probed: five bytes that do nothing, after them the return.
__attribute__((noinline, used, visibility("default"))) void peer_probed_function(void) {
#if defined(__x86_64__)
  __asm__ volatile(".byte 0x0f, 0x1f, 0x44, 0x00, 0x00" ::: "memory");
#else
  __asm__ volatile("nop" ::: "memory");
#endif
}

void peer_call_probed(uint64_t count) {
  for (uint64_t i = 0; i < count; i++) peer_probed_function();
}

static const char *tracefs(void) {
  static const char *const places[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};
  for (int i = 0; i < 2; i++) {
    char path[128];
    snprintf(path, sizeof path, "%s/uprobe_events", places[i]);
    if (access(path, W_OK) == 0) return places[i];
  }
  return NULL;
}

// The function's place in the program's file: its address without where the program was loaded, by
// the segment that it is in.
static int find_offset(struct dl_phdr_info *info, size_t size, void *out) {
  (void)size;
  uintptr_t address = (uintptr_t)peer_probed_function;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
    uintptr_t start = info->dlpi_addr + segment->p_vaddr;
    if (segment->p_type == PT_LOAD && address >= start && address < start + segment->p_memsz) {
      *(uint64_t *)out = address - start + segment->p_offset;
      return 1;
    }
  }
  return 0;
}

// The event that stands in the kernel now, and is taken away however the program ends but by SIGKILL. Its
// name has the process's number, so that two programs do not meet; all texts are made before it is set.
static struct {
  volatile sig_atomic_t is_set;
  char events[128];
  char enable[192];
  char removal[64];
} probe;

static bool write_path(const char *path, const char *text, int flags) {
  int file = open(path, O_WRONLY | O_CLOEXEC | flags);
  if (file < 0) return false;
  bool done = write(file, text, strlen(text)) == (ssize_t)strlen(text);
  close(file);
  return done;
}

// Safe in a signal handler.
void peer_end_kernel_probe(void) {
  if (!probe.is_set) return;
  write_path(probe.enable, "0", 0);
  write_path(probe.events, probe.removal, O_APPEND);
  probe.is_set = 0;
}

static void end_by_signal(int number) {
  peer_end_kernel_probe();
  signal(number, SIG_DFL);
  raise(number);
}

bool peer_begin_kernel_probe(bool is_return) {
  static bool is_guarded;
  const char *folder = tracefs();
  uint64_t offset = 0;
  char program[512], line[704];
  ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
  if (!folder || length <= 0 || !dl_iterate_phdr(find_offset, &offset)) return false;
  program[length] = 0;
  char name[48];
  snprintf(name, sizeof name, "cpuisolation_%d/probed", (int)getpid());
  snprintf(probe.events, sizeof probe.events, "%s/uprobe_events", folder);
  snprintf(probe.enable, sizeof probe.enable, "%s/events/%s/enable", folder, name);
  snprintf(probe.removal, sizeof probe.removal, "-:%s\n", name);
  snprintf(
      line, sizeof line, "%c:%s %s:0x%llx\n", is_return ? 'r' : 'p', name, program,
      (unsigned long long)offset);
  if (!is_guarded) {
    is_guarded = true;
    atexit(peer_end_kernel_probe);
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (int i = 0; i < 3; i++) signal(numbers[i], end_by_signal);
  }
  // Before it stands: the removal of what does not stand is refused, and does no harm.
  probe.is_set = 1;
  if (write_path(probe.events, line, O_APPEND) && write_path(probe.enable, "1", 0)) return true;
  peer_end_kernel_probe();
  return false;
}
