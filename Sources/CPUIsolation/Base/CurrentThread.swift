// SPDX-License-Identifier: Apache-2.0
//
// The seam between the protocols and the system's threads: what the ModelChecking trait simulates
// besides memory.

// Public: what is inlined into an owner looks at a thread-local word.
public import CPlatform

#if ModelChecking
  internal import ModelEngine
#endif

/// What the calling thread is, and how it waits.
///
/// Reading the words is one instruction and allowed in a signal handler.
@usableFromInline
enum CurrentThread {
  /// The base address of the CPU slot that this thread is attached to.
  // Safety: what is bound to a thread is the address of a slot, or none.
  static var cpu: Address? {
    #if ModelChecking
      if let engine = ModelEngine.current {
        return unsafe engine.threadLocal.map { unsafe Address($0) }
      }
    #endif
    return unsafe cpi_current_cpu().map { unsafe Address($0) }
  }

  /// Binds this thread to a CPU slot, or to none; `onExit` runs here if the thread ends while
  /// bound.
  // Safety: the caller has a slot; the thread lets go of it before the slot ends.
  static func bind(
    to cpu: Address?,
    onExit: (@convention(c) (UnsafeMutableRawPointer) -> Void)?
  ) {
    #if ModelChecking
      if let engine = ModelEngine.current {
        unsafe engine.threadLocal = cpu?.pointer
        return
      }
    #endif
    unsafe cpi_set_current_cpu(cpu?.pointer, onExit)
  }

  /// Whether this thread runs a handler on behalf of another CPU.
  #if ModelChecking
    @usableFromInline static var isHelping: Bool {
      if let engine = ModelEngine.current { return engine.isHelping }
      return unsafe cpi_helped_cpu() != nil
    }
  #else
    @inlinable @inline(__always)
    static var isHelping: Bool { unsafe cpi_helped_cpu() != nil }
  #endif

  /// Whether this thread runs a handler on behalf of that CPU.
  static func isHelping(_ cpu: Address) -> Bool {
    #if ModelChecking
      if let engine = ModelEngine.current { return engine.isHelping }
    #endif
    return unsafe cpi_helped_cpu().map { unsafe Address($0) } == cpu
  }

  /// Says on whose behalf this thread runs a handler, or that it runs none. `onExit` runs here if the
  /// thread ends meanwhile. Returns on whose behalf it ran one so far.
  // Safety: what the thread helps is a slot, which its pin holds.
  static func setHelped(
    _ cpu: Address?, onExit: @convention(c) (UnsafeMutableRawPointer) -> Void
  ) -> Address? {
    #if ModelChecking
      if let engine = ModelEngine.current {
        engine.isHelping = cpu != nil
        return nil
      }
    #endif
    let before = unsafe cpi_helped_cpu().map { unsafe Address($0) }
    unsafe cpi_set_helped_cpu(cpu?.pointer, onExit)
    return before
  }

  /// Runs the body; where `pthread_exit` leaves it, `ended` runs, while the caller's frame is there.
  // Safety: the context is the caller's, for both.
  static func guarding(
    _ context: UnsafeMutableRawPointer,
    _ body: @convention(c) (UnsafeMutableRawPointer?) -> Void,
    ifThreadEnds ended: @convention(c) (UnsafeMutableRawPointer?) -> Void
  ) {
    #if ModelChecking
      if ModelEngine.current != nil { return unsafe body(context) }
    #endif
    unsafe cpi_run_guarded(body, ended, context)
  }

  /// The kernel's number of this thread.
  static var id: Int32 {
    #if ModelChecking
      if let engine = ModelEngine.current { return engine.threadID }
    #endif
    return cpi_thread_id()
  }

  /// The same, remembered for the thread: no system call but the first time.
  static var knownID: Int32 {
    #if ModelChecking
      if let engine = ModelEngine.current { return engine.threadID }
    #endif
    return cpi_known_thread_id()
  }

  /// The name of this thread, remembered with its number; a zero ends it early.
  static var knownName: UnsafeRawBufferPointer {
    // Safety: the name has 16 bytes, and is the thread's own.
    unsafe UnsafeRawBufferPointer(start: cpi_known_thread_name(), count: 16)
  }

  /// The name of a thread of this process; nil if it is not there.
  static func name(of id: Int32) -> String? {
    var name = [UInt8](repeating: 0, count: 17)
    // Safety: the name has 16 bytes.
    let count = unsafe name.withUnsafeMutableBufferPointer {
      unsafe cpi_thread_name(id, $0.baseAddress.unsafelyUnwrapped, 16)
    }
    return count > 0 ? String(decoding: name[..<Int(count)], as: UTF8.self) : nil
  }

  /// Whether a thread of this process is there; a number that has been given to another thread is.
  static func isAlive(_ id: Int32) -> Bool {
    #if ModelChecking
      if ModelEngine.current != nil { return true }
    #endif
    let noSuchProcess: Int32 = 3
    return cpi_interrupt_thread(id, 0) != noSuchProcess
  }

  /// Interrupts another thread by a signal; the system's error number, or 0. `handler` is what the
  /// signal's handler runs there: the model calls it itself.
  static func interrupt(
    _ id: Int32, signal: Int32, cpu: Address,
    handler: @convention(c) (UnsafeMutableRawPointer) -> Void
  ) -> Int32 {
    #if ModelChecking
      if let engine = ModelEngine.current {
        // Safety: the handler takes a slot, as in the system's signal.
        engine.interrupt(threadID: id) { unsafe handler(cpu.pointer) }
        return 0
      }
    #endif
    return cpi_interrupt_thread(id, signal)
  }
}

/// Sleeping on a word.
enum Futex {
  /// Sleeps while the word is `expected`, for at most so many nanoseconds.
  static func wait(_ word: UnsafePointer<UInt32>, expected: UInt32, nanoseconds: UInt64) {
    #if ModelChecking
      if let engine = ModelEngine.current {
        _ = engine.futexWait(
          UInt(bitPattern: word), expected: expected, hasDeadline: nanoseconds != .max)
        return
      }
    #endif
    // Safety: the caller's word is there for as long as it waits.
    let error = unsafe cpi_futex_wait(word, expected, nanoseconds)
    if error != 0, !cpi_is_end_of_sleep(error) {
      misuse("the system refuses to let a thread sleep: \(IsolationError.describe(error))")
    }
  }

  /// Wakes one sleeper.
  static func wake(_ word: UnsafePointer<UInt32>) {
    #if ModelChecking
      if let engine = ModelEngine.current {
        engine.futexWake(UInt(bitPattern: word))
        return
      }
    #endif
    // How many it woke: the sleeper may have gone.
    // Safety: the address is not looked into.
    _ = unsafe cpi_futex_wake(word, 1)
  }
}
