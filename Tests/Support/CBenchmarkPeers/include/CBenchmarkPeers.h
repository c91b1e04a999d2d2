// SPDX-License-Identifier: Apache-2.0
//
// What the library is measured against: the same protocols written by hand in C, and the system's
// own ways to reach another thread. Also the counters of allocations and reference counts, which
// have to replace C symbols.
//
// The peers promise less than the library: they keep no statistics, diagnose no mistake, and know
// nothing of cross calls, helpers, or types that come and go.

#ifndef CBENCHMARKPEERS_H
#define CBENCHMARKPEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// MARK: Time and processors

/// The cycle counter, read whenever the processor comes to it.
static inline uint64_t peer_cycles(void) {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  uint64_t value;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
  return value;
#else
#error "the benchmark knows no cycle counter for this architecture"
#endif
}

/// The cycle counter, after everything before it has executed and before anything after it starts.
/// Without the fences a processor may read it as early as its window reaches, and a short batch
/// measures too short.
static inline uint64_t peer_ordered_cycles(void) {
#if defined(__x86_64__)
  __builtin_ia32_lfence();
  uint64_t value = __builtin_ia32_rdtsc();
  __builtin_ia32_lfence();
  return value;
#elif defined(__aarch64__)
  uint64_t value;
  __asm__ volatile("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(value)::"memory");
  return value;
#else
#error "the benchmark knows no cycle counter for this architecture"
#endif
}

/// Writes the processors that this thread may run on, at most `capacity` of them; returns how many.
int32_t peer_allowed_processors(int32_t *_Nonnull processors, int32_t capacity);
/// Binds this thread to one processor. Returns 0 or an errno value.
int peer_pin(int32_t processor);

/// Runs `run(context)` on a thread of its own and waits for its end. Returns 0 or an errno value.
int peer_run_on_thread(
    void (*_Nonnull run)(void *_Nullable), void *_Nullable context);

/// One load that the compiler leaves where it is.
static inline uint64_t peer_plain_load(const uint64_t *_Nonnull word) {
  return *(const volatile uint64_t *)word;
}

// MARK: The protocol in C

/// One CPU: W and K on one line, the owner's words on another, as the library lays them out. It
/// begins in user.
struct peer_cpu;

/// The shape of the library's work handle, so that both sides walk equal arrays.
struct peer_work {
  uint64_t type;
  uint64_t registration;
  uint64_t flags;
};

/// A CPU whose types all have the same handler. Ends the process if there is no memory.
struct peer_cpu *_Nonnull peer_cpu_make(
    void (*_Nonnull function)(void *_Nullable context, intptr_t cpu), void *_Nullable context);
void peer_cpu_free(struct peer_cpu *_Nonnull cpu);

/// A handler that adds one to the word of its CPU: the first on the line number `cpu` after
/// `context`.
void peer_count_run(void *_Nullable context, intptr_t cpu);

/// Entry and exit, `count` times: one exchange with a counter in a register, one look at K, one
/// release store.
void peer_round_trips_exchange(struct peer_cpu *_Nonnull cpu, uint64_t count);
/// The same with the counter kept in the word: one exchanging addition.
void peer_round_trips_add(struct peer_cpu *_Nonnull cpu, uint64_t count);
/// Only the exchange and the store: what any such protocol costs before it protects anything.
void peer_round_trips_plain(struct peer_cpu *_Nonnull cpu, uint64_t count);

/// Entry and exit as functions, for callers that cannot inline them.
void peer_enter(void *_Nonnull cpu);
void peer_leave(void *_Nonnull cpu);
/// Calls a pair of them, `count` times.
void peer_call_round_trips(
    void (*_Nonnull enter)(void *_Nonnull), void (*_Nonnull leave)(void *_Nonnull),
    void *_Nonnull cpu, uint64_t count);

/// One work type sent `count` times: `lock or`, and a look at W. Returns how often the look said
/// user.
uint64_t peer_sends(struct peer_cpu *_Nonnull cpu, uint64_t type, uint64_t count);
/// The same after the store of a datum.
uint64_t peer_sends_datum(
    struct peer_cpu *_Nonnull cpu, uint64_t type, uint64_t *_Nonnull datum, uint64_t count);
/// The same asking whether the bit was set before: `lock bts` on x86-64. Returns how often it was.
uint64_t peer_sends_testing(struct peer_cpu *_Nonnull cpu, uint64_t type, uint64_t count);

/// Each of the works sent once.
uint64_t peer_send_each(
    struct peer_cpu *_Nonnull cpu, const struct peer_work *_Nonnull works, uint64_t count);
uint64_t peer_send_each_datum(
    struct peer_cpu *_Nonnull cpu, const struct peer_work *_Nonnull works,
    uint64_t *_Nonnull datum, uint64_t count);
uint64_t peer_send_each_testing(
    struct peer_cpu *_Nonnull cpu, const struct peer_work *_Nonnull works, uint64_t count);

/// One work type sent to every CPU of a mask, `count` times. CPU n is `cpus[n]`.
uint64_t peer_sends_masked(
    struct peer_cpu *_Nonnull const *_Nonnull cpus, uint64_t mask, uint64_t type, uint64_t count);
/// A generation drawn, then the send: two locked instructions.
uint64_t peer_sends_ticketed(struct peer_cpu *_Nonnull cpu, uint64_t type, uint64_t count);
/// The send, then a counter that other threads count in too: two locked instructions.
uint64_t peer_sends_counted(struct peer_cpu *_Nonnull cpu, uint64_t type, uint64_t count);

/// A send of a CPU in user to itself, entry with the drain of it, and exit, `count` times. Returns
/// how often the send saw user.
uint64_t peer_drains(struct peer_cpu *_Nonnull cpu, uint64_t type, uint64_t count);

/// One look at K for the bit that asks for attention, `count` times. Returns how often it was set.
uint64_t peer_polls(struct peer_cpu *_Nonnull cpu, uint64_t count);
/// A declared quiescent state: one addition to W, one look at K.
void peer_quiescent_states(struct peer_cpu *_Nonnull cpu, uint64_t count);
/// A grace period over CPUs in user: a fence, then a look at W and at the pin of each. Returns how many
/// passed.
uint64_t peer_grace_periods(
    struct peer_cpu *_Nonnull const *_Nonnull cpus, uint64_t cpu_count, uint64_t count);

// MARK: The system's ways to reach a thread

/// A thread on `processor` that computes without end, and counts the signals it gets. Returns 0 or
/// an errno value.
int peer_busy_thread_start(int32_t processor);
/// The mean time that `tgkill` to that thread takes, in cycles, over `count` signals. Each is
/// handled before the next.
double peer_busy_thread_signal(uint64_t count);
void peer_busy_thread_stop(void);

/// A thread on `processor` that sleeps on a futex. Returns 0 or an errno value.
int peer_parked_thread_start(int32_t processor);
/// The mean time that a wake takes that found it asleep, in cycles, over `count` wakes.
double peer_parked_thread_wake(uint64_t count);
void peer_parked_thread_stop(void);

// MARK: Tracing

/// What a turn of a bare loop does: it has its number, and no more.
static inline void peer_turn(uint64_t number) { __asm__ volatile("" : : "r"(number)); }

/// A ring of 4096 events that overwrites its oldest: a slot of eight words for each, with a stamp
/// that makes it a sequence lock, as in the library. Its event is on.
struct peer_ring;
/// Ends the process if there is no memory. It is never freed.
struct peer_ring *_Nonnull peer_ring_make(void);
/// Records an event of two words of payload, `count` times: a look at the switch, the cycle
/// counter, a position, and the slot. One thread at a time: no locked instruction.
void peer_records(struct peer_ring *_Nonnull ring, uint64_t count);
/// The same for many threads: a locked addition, and a compare-exchange on the stamp.
void peer_records_shared(struct peer_ring *_Nonnull ring, uint64_t count);
/// Entry and exit, `count` times, with an event recorded at either.
void peer_round_trips_recorded(
    struct peer_cpu *_Nonnull cpu, struct peer_ring *_Nonnull ring, uint64_t count);

// MARK: Pools

/// How a pool is kept.
enum peer_pool_kind {
  /// A list through the objects, which count who looks at them: the free list that the kernel's
  /// return probes had before `objpool`.
  peer_pool_list,
  /// An array of pointers that everybody scans from his own place on.
  peer_pool_array,
  /// A stack after a mutex.
  peer_pool_mutex,
  /// No pool: malloc and free.
  peer_pool_malloc,
};

struct peer_pool;
/// A pool of `capacity` objects, each on lines of its own. Ends the process if there is no memory.
struct peer_pool *_Nonnull peer_pool_make(
    enum peer_pool_kind kind, int32_t capacity, int32_t threads);
void peer_pool_free(struct peer_pool *_Nonnull pool);
/// Takes an object, keeps it for so many cycles and gives it back, `count` times. Returns how often
/// there was one.
uint64_t peer_pool_pairs(
    struct peer_pool *_Nonnull pool, int32_t thread, uint64_t count, uint64_t cycles);

/// A return probe as the kernel had it before `objpool`, `count` times: an object of a list, in which the
/// beginning is kept, the clock before and after a turn, the difference counted by its size on the
/// thread's own memory, and the object back into the list. Returns how often there was an object.
uint64_t peer_pool_scopes(
    struct peer_pool *_Nonnull pool, int32_t thread, uint64_t count, uint64_t cycles);

/// Keeps an object for so many cycles: 0 is not at all.
void peer_hold(void *_Nonnull object, uint64_t cycles);

/// What each thread of a crowd does.
struct peer_crowd {
  void *_Nullable context;
  /// On the thread, before the time begins; what it returns goes to the others.
  void *_Nullable (*_Nonnull begin)(void *_Nullable context, int32_t thread);
  uint64_t (*_Nonnull pairs)(
      void *_Nullable state, int32_t thread, uint64_t count, uint64_t cycles);
  void (*_Nonnull end)(void *_Nullable state);
  /// The turns that one thread takes, at least.
  uint64_t count;
  uint64_t cycles;
};

/// Runs so many threads until the first has had its turns. Returns the nanoseconds from the
/// beginning to the end over the pairs that all of them made together; not a number if a thread
/// could not be made.
double peer_crowd_run(
    const struct peer_crowd *_Nonnull what, int32_t threads,
    const int32_t *_Nonnull processors, int32_t processor_count);

// MARK: Counters

/// Whether a sanitizer is built in: it has an allocator of its own, which keeps what was freed.
bool peer_is_sanitized(void);
/// Whether this build counts at all: sanitizers bring their own allocator, and other C libraries
/// have no second name for theirs.
bool peer_counters_are_available(void);
/// Calls of malloc and its siblings by this thread so far.
uint64_t peer_allocations(void);
/// Retains and releases of Swift objects by this thread so far.
uint64_t peer_reference_counts(void);

// MARK: Readers

/// Runs `run(context, count)` on so many threads at once; the processor time that one round of one
/// of them took, in nanoseconds, which stays comparable where threads outnumber processors. Not a
/// number if a thread could not be made.
double peer_readers(
    int32_t threads, uint64_t count, void (*_Nonnull run)(void *_Nullable context, uint64_t count),
    void *_Nullable context);

/// Sections that read one shared object, `count` of them: under a reader-writer lock, under an
/// atomic count, and under nothing.
void peer_read_locked(void *_Nullable context, uint64_t count);
void peer_read_counted(void *_Nullable context, uint64_t count);
void peer_read_plainly(void *_Nullable context, uint64_t count);

// MARK: Probes

/// A table of probes by address: 512 chains, an allocation for each probe. NULL without memory.
struct peer_chains;
struct peer_chains *_Nullable peer_make_chains(const uint64_t *_Nonnull keys, uint64_t count);
uint64_t peer_find_chained(const struct peer_chains *_Nonnull table, uint64_t key);
/// Looks up `count` keys, from the beginning again after `mask`.
void peer_find_all_chained(
    const struct peer_chains *_Nonnull table, const uint64_t *_Nonnull keys, uint64_t mask,
    uint64_t count);

/// The same by open addressing, half full.
struct peer_open;
struct peer_open *_Nullable peer_make_open(const uint64_t *_Nonnull keys, uint64_t count);
uint64_t peer_find_open(const struct peer_open *_Nonnull table, uint64_t key);
void peer_find_all_open(
    const struct peer_open *_Nonnull table, const uint64_t *_Nonnull keys, uint64_t mask,
    uint64_t count);

/// The bucket of a value in a histogram with sixteen for each doubling, below 1024.
static inline uint64_t peer_bucket(uint64_t value) {
  if (value < 16) return value;
  int shift = 59 - __builtin_clzll(value);
  return (uint64_t)(shift + 1) * 16 + (value >> shift & 15);
}

/// Reads the clock before and after a turn, and counts the difference by its size, `count` times.
void peer_measure_turns(uint64_t count);

/// Probes `peer_probed_function` by the kernel, at its entry or its return, through tracefs. False: the
/// system does not let us.
bool peer_begin_kernel_probe(bool is_return);
void peer_end_kernel_probe(void);
/// Calls that function, whose body is five bytes that do nothing, `count` times.
void peer_call_probed(uint64_t count);

#endif
