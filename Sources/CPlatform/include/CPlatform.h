// SPDX-License-Identifier: Apache-2.0
//
// What Swift cannot say on Linux. `import Glibc` hides every GNU-only function and every macro
// (CPU_SET, SIGRTMIN), `syscall` is unavailable because it is variadic, and Swift has neither
// thread-local words of its own nor weak symbols. Nothing else belongs here: each declaration says
// why it exists, and returns 0 or an errno value unless it says otherwise.

#ifndef CPLATFORM_H
#define CPLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Keeps the code of this library in memory when the shared object that it is part of is unloaded: destructors of
/// thread-local keys, fork handlers and threads of its own would run into nothing. Called where the first of these is
/// made. RTLD_NODELETE is a macro under a GNU guard.
void cpi_stay_loaded(void);

// MARK: Thread-local words

/// What the library knows of the calling thread. One initial-exec thread-local structure: reading it
/// is one instruction, it needs no initialisation, and it may be read in a signal handler.
/// Swift has no thread-local storage that is safe there.
struct cpi_thread {
  void *_Nullable cpu;  // the CPU slot that this thread is attached to
  int32_t id;           // what the kernel calls it, once somebody has asked; else 0
  char name[16];        // its name when somebody asked first
  void *_Nullable helped; // the slot of the CPU on whose behalf it runs a handler
  uint32_t number;      // its small number, once somebody has asked; else 0
  uintptr_t fenced_cpu; // `cpu` if that is an isolated CPU, 1 if it is not, 0 while nobody has asked
};

extern _Thread_local struct cpi_thread cpi_this_thread
    __attribute__((tls_model("initial-exec")));

static inline void *_Nullable cpi_current_cpu(void) { return cpi_this_thread.cpu; }

static inline void *_Nullable cpi_helped_cpu(void) { return cpi_this_thread.helped; }
/// Says on whose behalf this thread runs a handler, or that it runs none. `on_exit` runs on this thread if the thread
/// ends meanwhile.
void cpi_set_helped_cpu(void *_Nullable cpu, void (*_Nonnull on_exit)(void *_Nonnull cpu));

/// What hazard pointers ask at every protection, in one word: whether this thread is an isolated CPU,
/// and which. Forgotten whenever the thread changes its CPU.
static inline uintptr_t cpi_fenced_cpu(void) { return cpi_this_thread.fenced_cpu; }
static inline void cpi_set_fenced_cpu(uintptr_t cpu) { cpi_this_thread.fenced_cpu = cpu; }

/// Binds the CPU slot to this thread. Where `on_exit` is given it runs on this thread if the thread
/// ends while still bound: a pthread key destructor, which Swift could create but not safely share
/// with the signal handler's view of the same word.
void cpi_set_current_cpu(void *_Nullable cpu, void (*_Nullable on_exit)(void *_Nonnull cpu));

// MARK: Closures

/// Calls a closure `(Int) -> Void` as Swift would, but without a reference of its own for that time: a thread that ends
/// inside would keep it for good.
static inline void cpi_call_closure(uintptr_t function, uintptr_t context, intptr_t argument) {
  typedef void closure(intptr_t, __attribute__((swift_context)) void *_Nullable) __attribute__((swiftcall));
  ((closure *)function)(argument, (void *)context);
}

// MARK: Locks

/// A mutex that lends its holder the priority of whoever waits, finds a thread that waits for itself, and outlives a
/// fork: all of them are taken before it, and made anew in the child, so that what they protect is whole there, but for
/// one whose holder does not let go in time.
struct cpi_lock;

int cpi_make_lock(struct cpi_lock *_Nullable *_Nonnull out);
void cpi_end_lock(struct cpi_lock *_Nonnull lock);
/// EDEADLK if the calling thread has it.
int cpi_take_lock(struct cpi_lock *_Nonnull lock);
int cpi_try_lock(struct cpi_lock *_Nonnull lock);
void cpi_release_lock(struct cpi_lock *_Nonnull lock);

// MARK: Instructions

/// One spin-loop hint. Swift has no intrinsic for it.
static inline void cpi_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory");  // `yield` is a no-op on the cores that servers use
#endif
}

/// Holds what the compiler does with memory in its order; no instruction. Swift has fences alone.
static inline void cpi_compiler_barrier(void) { __asm__ volatile("" ::: "memory"); }

/// The free-running cycle counter: constant rate, synchronised between processors on every machine
/// that Linux uses it as its clock. Swift has no intrinsic for it.
static inline uint64_t cpi_cycles(void) {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  uint64_t value;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
  return value;
#else
#error "CPUIsolation knows no cycle counter for this architecture"
#endif
}

/// Adds to a word that one thread and its signal handlers write, and returns what was there. On
/// x86-64 one addition without the lock prefix, which no signal can divide: Swift's atomics have no
/// such form.
static inline uint64_t cpi_add_between_signals(void *_Nonnull word, uint64_t operand) {
#if defined(__x86_64__)
  __asm__ volatile("xaddq %0, %1" : "+r"(operand), "+m"(*(uint64_t *)word)::"memory", "cc");
  return operand;
#else
  return __atomic_fetch_add((uint64_t *)word, operand, __ATOMIC_RELAXED);
#endif
}

/// Ticks per second of `cpi_cycles`: read from the architecture where it says so, else measured once
/// against the monotonic clock over about 10 ms. 0 if the clock does not move.
uint64_t cpi_cycles_per_second(void);

/// Nanoseconds of CLOCK_MONOTONIC. `clock_gettime` is visible to Swift; this spares each caller the
/// struct and keeps the clock's choice in one place.
uint64_t cpi_monotonic_nanoseconds(void);
/// The processor time that the calling thread has used, in nanoseconds; 0 if the system does not tell.
uint64_t cpi_thread_nanoseconds(void);

// MARK: Memory

/// Zeroed, page-aligned memory that costs nothing until it is touched. Swift allocates aligned memory,
/// but zeroing it would touch every page of a table of which most is never used.
void *_Nullable cpi_map_zeroed(size_t bytes);
/// Whether there is memory at this address; a system call.
bool cpi_is_mapped(const void *_Nonnull address);
void cpi_unmap(void *_Nonnull address, size_t bytes);

/// Locks the pages that the process has now and will have. MCL_* are macros that Swift does not see
/// with glibc's feature set.
int cpi_lock_memory(void);

// MARK: Quiet memory

/// Has malloc keep what it got: no mapping of its own for a block, nothing given back, and one arena for the threads
/// that have none yet, if wanted. M_* are macros of a header that `Glibc` has not. EOPNOTSUPP where another allocator
/// answers.
int cpi_keep_heap(bool has_one_arena);
/// By how much the heap grows at a time.
int cpi_set_heap_growth(int32_t bytes);
/// Puts back what `cpi_keep_heap` and `cpi_set_heap_growth` have set, and gives back what is free.
int cpi_release_heap(void);
/// Takes so many bytes from malloc, writes every page, and frees them.
int cpi_populate_heap(size_t bytes);
/// Makes every page of the data of the program and its libraries the process's own, as writing it would; `bytes` is how
/// much that is. `dl_iterate_phdr` is GNU-only. Returns the first refusal; the other parts are done all the same.
int cpi_populate_images(size_t *_Nonnull bytes);
/// Locks the pages that the process has now. MCL_* are macros under a GNU guard.
int cpi_lock_current_memory(void);
int cpi_unlock_memory(void);
/// Has the library keep the mappings and stacks that it would give back, and use them again; or give back what it has.
/// EOPNOTSUPP in a sanitized build.
int cpi_keep_memory(bool is_wanted);
/// Has `is_late` asked before each fork, on the thread that forks; one for the process. `pthread_atfork` wants C
/// functions that are there for good.
int cpi_watch_late_forks(bool (*_Nonnull is_late)(void));
/// How often it said so.
uint64_t cpi_late_forks(void);

// MARK: Witnesses of a gap

/// Announces to the kernel that it should take something back when it has preempted, moved or signalled this thread:
/// a restartable sequence that is never entered, in the area that glibc has registered. No system call. False where
/// there is no such area. Another user of the area may put an announcement of its own in that place.
bool cpi_watch_preemption(void);
/// Whether the kernel has taken it back since. No system call.
bool cpi_was_preempted(void);

/// What the kernel has counted for the calling thread: RUSAGE_THREAD is a macro under a GNU guard.
struct cpi_usage {
  uint64_t preemptions, sleeps, faults;
};
bool cpi_thread_usage(struct cpi_usage *_Nonnull out);

/// The time between two ticks of the kernel, 0 if it does not tell. CLOCK_MONOTONIC_COARSE is a macro.
uint64_t cpi_tick_nanoseconds(void);

// MARK: Errors

/// The name of an error number, `EPERM`, and its meaning; null for one that no call of this library gives.
const char *_Nullable cpi_error_name(int32_t error);
const char *_Nullable cpi_error_text(int32_t error);

/// Whether a processor raises the signal for what the code at hand did: no signal to interrupt a thread by.
bool cpi_signal_is_fault(int32_t signal);

/// The number of processors of the machine, those included that the process may not use.
int32_t cpi_configured_processors(void);

// MARK: Threads

/// The kernel's id of this thread: `gettid` is GNU-only.
int32_t cpi_thread_id(void);

/// The same, asked for once: allowed in signal handlers.
static inline int32_t cpi_known_thread_id(void) {
  if (cpi_this_thread.id == 0) cpi_this_thread.id = cpi_thread_id();
  return cpi_this_thread.id;
}

/// The same if somebody has asked already, else 0: no call.
static inline int32_t cpi_noted_thread_id(void) { return cpi_this_thread.id; }

/// Numbers of threads, dense and small: what tables per thread are indexed by. `pthread_self` and the
/// kernel's ids are neither. A number goes back when its thread ends, and another thread gets it.
#define CPI_THREAD_NUMBERS 16384

/// This thread's number, 1 and up; 0 while it has none. Allowed in signal handlers.
static inline uint32_t cpi_thread_number(void) { return cpi_this_thread.number; }
/// The same, and gives it one at the first call; 0 when all are given out.
uint32_t cpi_take_thread_number(void);
/// One above the highest number that was ever given out: sequentially consistent, as the giving is.
uint32_t cpi_thread_number_limit(void);
/// The kernel's id of the thread that has the number; 0 if none has.
int32_t cpi_numbered_thread(uint32_t number);
/// Whether the number was that of a thread which a fork left behind: it is not in this child, and
/// the number is never given out again.
bool cpi_thread_is_lost(uint32_t number);

/// Names this thread. At most 15 bytes are used, a longer name is cut: the kernel refuses it whole.
int cpi_set_thread_name(const char *_Nonnull name);

/// The calling thread's name, up to a zero or 16 bytes: asked for once, and allowed in signal
/// handlers. `prctl` is variadic.
const char *_Nonnull cpi_known_thread_name(void);

/// Copies the name of a thread of this process, without its end; the number of bytes, 0 if there is
/// no such thread. `/proc` is the only place that tells another thread's name by its id.
int cpi_thread_name(int32_t id, uint8_t *_Nonnull out, int capacity);

/// Binds this thread to one processor: `sched_setaffinity` and CPU_SET are GNU-only.
int cpi_pin_to_processor(int32_t processor);

/// Puts back what the thread was allowed before `cpi_pin_to_processor`: an opaque copy of its mask.
struct cpi_affinity {
  uint64_t words[16];
};
int cpi_get_affinity(struct cpi_affinity *_Nonnull out);
int cpi_set_affinity(const struct cpi_affinity *_Nonnull mask);
/// The same of another thread.
int cpi_get_affinity_of(int32_t thread_id, struct cpi_affinity *_Nonnull out);

/// The processors that the process was given when the library was loaded, whatever the calling thread is bound to.
int cpi_given_processors(struct cpi_affinity *_Nonnull out);

/// The number of processors this process may run on.
int32_t cpi_processor_count(void);

/// Scheduling class of this thread: 0 other, 1 FIFO, 2 round robin, 3 batch, 4 idle; `priority` counts for 1
/// and 2 alone. Threads that it starts have the ordinary class. SCHED_* are macros under a GNU guard.
int cpi_set_scheduling(int32_t scheduling_class, int32_t priority);

/// Keeps this thread's class; threads that it starts have the ordinary one.
int cpi_reset_scheduling_on_fork(void);

/// How late the kernel may fire this thread's timers, in nanoseconds: `prctl` is variadic.
int cpi_set_timer_slack(uint64_t nanoseconds);

/// Starts a thread with a stack of `stack_bytes` (0: the default). The function runs with `context`, and after it, also
/// where `pthread_exit` leaves it, `ended` does.
int cpi_start_thread(
    size_t stack_bytes, void (*_Nonnull run)(void *_Nullable), void (*_Nonnull ended)(void *_Nullable),
    void *_Nullable context, uint64_t *_Nonnull handle);
/// Runs the function with `context`; where `pthread_exit` leaves it, `ended` runs, while the caller's frame is there.
void cpi_run_guarded(
    void (*_Nonnull run)(void *_Nullable), void (*_Nonnull ended)(void *_Nullable), void *_Nullable context);
/// Starts a thread of the library's own: all signals blocked, the ordinary class, and the processors of the process less
/// `avoided`, whatever its starter has. `placement` is 0, or why it is not so: ENODEV where no processor would be
/// left, and it runs on all of them; else the errno of what the system refused.
int cpi_start_service(
    const struct cpi_affinity *_Nonnull avoided, void (*_Nonnull run)(void *_Nullable),
    void *_Nullable context, uint64_t *_Nonnull handle, int *_Nonnull placement);
/// Places the calling thread, which is one of those, anew.
int cpi_place_service(const struct cpi_affinity *_Nonnull avoided);
/// Neither is refused for the handle of a thread that is joined or detached once.
int cpi_join_thread(uint64_t handle);
/// Lets a thread that nobody will join give its memory back by itself.
int cpi_detach_thread(uint64_t handle);

/// Sleeps; a signal ends it early.
void cpi_sleep_nanoseconds(uint64_t nanoseconds);

/// Gives the processor away.
void cpi_yield(void);

// MARK: Futex

/// Sleeps while `*word == expected`, for at most `timeout_ns` (UINT64_MAX: for ever). The futex system call
/// has no wrapper in glibc. Returns 0 when woken, else EAGAIN, EINTR or ETIMEDOUT.
int cpi_futex_wait(const uint32_t *_Nonnull word, uint32_t expected, uint64_t timeout_ns);
/// Whether a sleep ends like this where nothing is wrong.
bool cpi_is_end_of_sleep(int32_t error);
/// Wakes up to `count` sleepers; returns how many.
int cpi_futex_wake(const uint32_t *_Nonnull word, int32_t count);

// MARK: membarrier

/// The commands that this kernel offers, as its bit mask, or minus the errno: ENOSYS, or EPERM under a filter.
int cpi_membarrier_query(void);
/// Registers and issues the private expedited barrier: an IPI to every processor that runs this process.
int cpi_membarrier_register(void);
int cpi_membarrier_private(void);

// MARK: Signals

/// The first real-time signal that glibc leaves to programs: SIGRTMIN is a function call in disguise.
int32_t cpi_default_interrupt_signal(void);

/// Installs the handler that runs `run(cpu)` on the interrupted thread if that thread has a CPU slot. errno
/// is saved around it. SA_RESTART and SA_ONSTACK are set. EBUSY when the signal has a handler that is not
/// ours, EINVAL for a number that cannot be caught. `sigaction` has a union Swift cannot fill.
int cpi_install_interrupt_handler(int32_t signal, void (*_Nonnull run)(void *_Nonnull cpu));
/// Puts the default action back, if the handler is still ours.
int cpi_remove_interrupt_handler(int32_t signal);
/// Whether the signal's handler is that one.
bool cpi_interrupt_handler_is_ours(int32_t signal);
/// Lets this thread take the signal, whatever mask it inherited.
int cpi_unblock_signal(int32_t signal);

/// Sends the signal to one thread of this process: `tgkill` is GNU-only.
int cpi_interrupt_thread(int32_t thread_id, int32_t signal);

/// Gives this thread an alternate signal stack of `bytes`, unless it has one. The library's handler runs there,
/// so that an interrupt cannot overflow a small or nearly full stack. NULL when the thread had one of its own.
void *_Nullable cpi_install_alternate_stack(size_t bytes, int *_Nonnull error);
void cpi_remove_alternate_stack(void *_Nonnull stack, size_t bytes);

// MARK: Process

/// Counts the forks that this process descends from since the first call. Handlers of `pthread_atfork` are the only
/// way to know, and they must be C functions that touch nothing but a word.
uint32_t cpi_fork_generation(void);

/// Writes to standard error without stdio, so that it works in a signal handler.
void cpi_write_error(const uint8_t *_Nullable bytes, size_t count);

// MARK: Static probes

/// How many there are. A probe's number is its place in the list of the library's events.
#define CPI_STATIC_PROBES 13

/// The probes that some tool watches, a bit each. The kernel counts the watchers in words of this process, which C alone
/// can place in a section of a name. Wait-free.
uint64_t cpi_watched_probes(void);
extern volatile uint16_t cpi_probe_watchers[CPI_STATIC_PROBES] __attribute__((visibility("hidden")));
/// Whether some tool watches this one.
static inline bool cpi_probe_is_watched(int32_t probe) { return cpi_probe_watchers[probe] != 0; }
/// Passes a probe: an instruction that a tool may have replaced. Allowed in signal handlers.
void cpi_hit_probe(int32_t probe, uint64_t first, uint64_t second, uint64_t third, uint64_t fourth);

// MARK: RealtimeSanitizer

/// Declares what follows on this thread a real-time context, until the matching exit, if that runtime is linked
/// into the process. Weak symbols do not exist in Swift.
void cpi_realtime_enter(void);
void cpi_realtime_exit(void);
/// Whether that runtime is linked.
bool cpi_realtime_sanitizer_is_linked(void);

#endif
