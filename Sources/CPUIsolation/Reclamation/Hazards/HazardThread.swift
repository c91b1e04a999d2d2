// SPDX-License-Identifier: Apache-2.0

// Public: what is inlined into a reader looks at two thread-local words, and a call would cost as
// much as all the rest.
public import CPlatform

#if ModelChecking
  internal import ModelEngine
#endif

/// What a protection has to know of the calling thread.
///
/// Both are one instruction, and allowed in a signal handler.
@usableFromInline
enum HazardThread {
  #if ModelChecking
    @usableFromInline static var number: Int {
      ModelEngine.current.map { Int($0.threadID) } ?? 0
    }
    @usableFromInline static var fencedCPU: UInt {
      isIsolatedCPU ? (CurrentThread.cpu?.bits ?? 0) : 0
    }
    @usableFromInline static func learnRole() {}
    static func takeNumber() -> Int { number }
    /// Bodies are few: three of them, and whoever checks.
    static var limit: Int { 4 }
    static func has(_ thread: Int32, number: Int) -> Bool { true }
  #else
    /// The thread's small number; 0 while it has none.
    @inlinable @inline(__always)
    static var number: Int { Int(truncatingIfNeeded: cpi_thread_number()) }

    /// The address of the CPU slot that the thread is attached to if that is an isolated CPU, as far
    /// as `learnRole` has been asked; else something that is no address.
    @inlinable @inline(__always)
    static var fencedCPU: UInt { cpi_fenced_cpu() }

    /// Finds out what `fencedCPU` is: a CPU's role is constant while a thread is attached.
    @inlinable @inline(__always)
    static func learnRole() {
      // Safety: thread-local words.
      if unsafe cpi_fenced_cpu() == 0 && cpi_current_cpu() != nil { learnRoleSlow() }
    }

    @usableFromInline @inline(never)
    static func learnRoleSlow() {
      cpi_set_fenced_cpu(isIsolatedCPU ? (CurrentThread.cpu?.bits ?? 0) : 1)
    }

    /// The same number, given out at the first call; 0 when there are no more.
    static func takeNumber() -> Int { Int(cpi_take_thread_number()) }

    /// One above the highest number that was ever given out. Sequentially consistent.
    static var limit: Int { Int(cpi_thread_number_limit()) }

    /// Whether the thread with this id is there, and has this number, or none for 0.
    static func has(_ thread: Int32, number: Int) -> Bool {
      number == 0
        ? CurrentThread.isAlive(thread) : cpi_numbered_thread(UInt32(number)) == thread
    }
  #endif

  /// Holds the compiler's stores and loads in their order; no instruction.
  @inlinable @inline(__always)
  static func compilerBarrier() { cpi_compiler_barrier() }

  /// Whether the calling thread is an isolated CPU of any coordinator, wherever it is now.
  static var isIsolatedCPU: Bool {
    guard let base = CurrentThread.cpu else { return false }
    // Relaxed: constant while this thread is attached.
    let reach = CPUSlot(base: base).state.reach.load(ordering: .relaxed)
    return !Reach(rawValue: reach).isHousekeeping
  }
}
