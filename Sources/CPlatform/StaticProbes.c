// SPDX-License-Identifier: Apache-2.0
//
// The library's events as static probes: for each an instruction that does nothing, and a note that says where it is,
// what it is called, which registers hold its arguments, and which half word tells whether it is watched. Debuggers,
// perf, bpftrace and the kernel's uprobes find them there.
//
// The note (`.note.stapsdt`, owner "stapsdt", type 3) holds three addresses, as they are at link time: of the
// instruction, of `.stapsdt.base` (a reader learns from it by how much the program was moved), and of the half word;
// after them three strings: provider, name, arguments. An argument is its size in bytes, `@`, and a register.

#include "CPlatform.h"

// The kernel adds one to a half word for each watcher that is attached to its probe.
__attribute__((section(".probes"), visibility("hidden"), used))
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
__attribute__((no_sanitize("address")))
#endif
#endif
volatile uint16_t cpi_probe_watchers[CPI_STATIC_PROBES] = {0};

uint64_t cpi_watched_probes(void) {
  uint64_t watched = 0;
  for (int probe = 0; probe < CPI_STATIC_PROBES; probe++) {
    watched |= (uint64_t)(cpi_probe_watchers[probe] != 0) << probe;
  }
  return watched;
}

// Refers to the section that the notes name and no code does, so that the linker keeps it.
#if defined(__x86_64__)
#define KEEPS_BASE ".reloc 990b, R_X86_64_NONE, _.stapsdt.base\n"
#elif defined(__aarch64__)
#define KEEPS_BASE ".reloc 990b, R_AARCH64_NONE, _.stapsdt.base\n"
#endif

// One in each object file; the linker keeps one in each program, whoever else has probes.
__asm__(
    ".pushsection .stapsdt.base, \"aG\", %progbits, .stapsdt.base, comdat\n"
    ".weak _.stapsdt.base\n"
    ".hidden _.stapsdt.base\n"
    "_.stapsdt.base: .space 1\n"
    ".size _.stapsdt.base, 1\n"
    ".popsection\n");

#define ONE "8@%[first]"
#define TWO ONE " 8@%[second]"
#define THREE TWO " 8@%[third]"
#define FOUR THREE " 8@%[fourth]"

// The empty flags of the section say that it is not loaded: a note costs a running program nothing.
#define PLACE(number, name, arguments)                                                       \
  case number:                                                                               \
    __asm__ volatile(                                                                        \
        "990: nop\n" KEEPS_BASE                                                              \
        ".pushsection .note.stapsdt, \"\", %%note\n"                                         \
        ".balign 4\n"                                                                        \
        ".4byte 992f - 991f, 994f - 993f, 3\n"                                               \
        "991: .asciz \"stapsdt\"\n"                                                          \
        "992: .balign 4\n"                                                                   \
        "993: .8byte 990b, _.stapsdt.base, cpi_probe_watchers + 2 * %c[half]\n"              \
        ".asciz \"cpu_isolation\"\n"                                                         \
        ".asciz \"" name "\"\n"                                                              \
        ".asciz \"" arguments "\"\n"                                                         \
        "994: .balign 4\n"                                                                   \
        ".popsection\n"                                                                      \
        :                                                                                    \
        : [half] "i"(number), [first] "r"(first), [second] "r"(second), [third] "r"(third),  \
          [fourth] "r"(fourth)                                                               \
        : "memory");                                                                         \
    break

__attribute__((noinline)) void cpi_hit_probe(
    int32_t probe, uint64_t first, uint64_t second, uint64_t third, uint64_t fourth) {
  switch (probe) {
    PLACE(0, "ipi_send_cpu", THREE);
    PLACE(1, "ipi_send_cpumask", FOUR);
    PLACE(2, "csd_queue_cpu", FOUR);
    PLACE(3, "csd_function_entry", TWO);
    PLACE(4, "csd_function_exit", TWO);
    PLACE(5, "deferred_work_set", THREE);
    PLACE(6, "deferred_work_merge", THREE);
    PLACE(7, "deferred_work_drain", THREE);
    PLACE(8, "context_user_enter", ONE);
    PLACE(9, "context_user_exit", ONE);
    PLACE(10, "grace_period", FOUR);
    PLACE(11, "tlb_flush", FOUR);
    PLACE(12, "text_poke", THREE);
  }
}
