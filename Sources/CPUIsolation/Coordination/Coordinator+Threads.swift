// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// What a new thread is handed.
private final class Start: Sendable {
  let coordinator: Coordinator
  let thread: CPUThread
  let options: CPUThread.Options
  let body: @Sendable (borrowing LocalCPU) -> Void
  /// The stack on which the thread is interrupted.
  let interruptStack = Lock<Address?>(nil)

  init(
    _ coordinator: Coordinator, _ thread: CPUThread, _ options: CPUThread.Options,
    _ body: @escaping @Sendable (borrowing LocalCPU) -> Void
  ) {
    self.coordinator = coordinator
    self.thread = thread
    self.options = options
    self.body = body
  }
}

/// The size of the stack on which launched threads are interrupted.
private let alternateStackBytes = 64 * 1024

extension Coordinator {
  /// Starts a thread that is this CPU: named, bound to its processor as configured, attached, in
  /// kernel.
  ///
  ///     let thread = try coordinator.launch(on: 2) { cpu in
  ///       while running { cpu.inUser { step() } }
  ///     }
  ///
  /// Returns when the thread has attached. The thread detaches when the body returns.
  ///
  /// - Parameters:
  ///   - cpu: the number of a CPU of the coordinator; any other ends the process with a sentence.
  ///   - options: name, stack, scheduling, memory and timers of the thread.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  ///   - body: the thread's whole work, on the thread; it begins in kernel.
  /// - Returns: the thread, to join.
  /// - Throws: `cpuTaken`, `closed`, `invalidConfiguration` for options outside their limits, `threadCreationFailed`, `pinningRefused`, `schedulingRefused`,
  ///   `memoryLockRefused`, `outOfMemory`, `forked`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  @discardableResult
  public func launch(
    on cpu: Int, options: CPUThread.Options = .init(), file: StaticString = #fileID,
    line: UInt = #line, _ body: @escaping @Sendable (borrowing LocalCPU) -> Void
  ) throws(IsolationError) -> CPUThread {
    requireCPU(cpu, file, line)
    try requireSameProcess()
    try options.validate(for: cpu)
    let thread = CPUThread(cpu: cpu)
    // Safety: one reference, which the thread takes over, or this function if there is none.
    let start = unsafe Unmanaged.passRetained(Start(self, thread, options, body))
    var handle: UInt64 = 0
    let error = unsafe cpi_start_thread(
      options.stackSize ?? 0, { unsafe Coordinator.threadMain($0) },
      { unsafe Coordinator.threadEnded($0) }, start.toOpaque(), &handle)
    if error != 0 {
      unsafe start.release()
      throw IsolationError(
        .threadCreationFailed, errno: error,
        hint: "RLIMIT_NPROC, the cgroup's pids.max and the memory for its stack limit threads",
        "cannot start the thread of CPU \(cpu)")
    }
    thread.started(handle)
    do {
      try thread.waitUntilAttached()
    } catch {
      _ = thread.waitForEnd(Deadline(after: nil))
      throw error
    }
    return thread
  }

  /// The frame owns nothing: `pthread_exit` in the body, or in what runs there, skips it.
  private static func threadMain(_ context: UnsafeMutableRawPointer?) {
    // Safety: the reference that `launch` has passed, until `threadEnded` gives it back.
    unsafe Unmanaged<Start>.fromOpaque(context.unsafelyUnwrapped)._withUnsafeGuaranteedRef {
      start in
      let thread = start.thread
      do throws(IsolationError) {
        let isPinned = try start.coordinator.prepareThread(thread.cpu, start.options)
        start.coordinator.installInterruptStack(start)
        let local = try start.coordinator.attach(to: thread.cpu)
        thread.attached(.success(()), isPinned: isPinned)
        start.body(local)
        local.detach()
      } catch {
        thread.attached(.failure(error), isPinned: false)
      }
    }
  }

  /// The end of every launched thread, also of one whose body did not return.
  private static func threadEnded(_ context: UnsafeMutableRawPointer?) {
    // Safety: the reference that `launch` has passed.
    let start = unsafe Unmanaged<Start>.fromOpaque(context.unsafelyUnwrapped).takeRetainedValue()
    if let slot = CurrentThread.slot { OwnerTransitions.threadExits(slot) }
    if let stack = start.interruptStack.withLock({ $0 }) {
      // Safety: it is the one that was installed, and this thread is not on it.
      unsafe cpi_remove_alternate_stack(stack.pointer, alternateStackBytes)
    }
    start.thread.ended()
  }

  /// Gives a thread that is to be interrupted a stack for it: an interrupt must not overflow a small
  /// or nearly full one. Without it, which takes a lack of memory, the handler runs on the thread's own.
  private func installInterruptStack(_ start: Start) {
    guard configuration.interrupter(of: start.thread.cpu) == .signal else { return }
    var error: Int32 = 0
    // Safety: the error is this function's; the stack is the thread's until it is removed.
    let stack = unsafe cpi_install_alternate_stack(alternateStackBytes, &error).map {
      unsafe Address($0)
    }
    start.interruptStack.withLock { $0 = stack }
  }

  /// Names, binds and schedules the calling thread; tells whether it is bound.
  private func prepareThread(_ cpu: Int, _ options: CPUThread.Options) throws(IsolationError)
    -> Bool
  {
    // A name that is refused is missed by `top` alone.
    // Safety: the text is there for the call.
    _ = unsafe cpi_set_thread_name(options.name ?? "cpu/\(cpu)")
    // Threads that this one starts, the tasks' among them, must not run in its class: they would stand
    // in its way. Where a filter refuses it, they do: no CPU should start any.
    _ = cpi_reset_scheduling_on_fork()
    let isPinned = try pin(cpu)
    if let (kind, priority) = options.scheduling?.parts {
      let error = cpi_set_scheduling(kind, priority)
      if error != 0 {
        throw IsolationError(
          .schedulingRefused, errno: error,
          hint: error == 1 ? "real-time classes need CAP_SYS_NICE or RLIMIT_RTPRIO" : nil,
          "cannot give CPU \(cpu) the scheduling class \(options.scheduling!)")
      }
    }
    if let slack = options.timerSlack {
      // To the system 0 means its default; a nanosecond is the least slack that there is.
      let error = cpi_set_timer_slack(max(1, slack.wholeNanoseconds))
      if error != 0 {
        throw IsolationError(
          .schedulingRefused, errno: error, "cannot set the timer slack of CPU \(cpu)")
      }
    }
    if options.locksMemory {
      let error = cpi_lock_memory()
      if error != 0 {
        throw IsolationError(
          .memoryLockRefused, errno: error,
          hint: "locking memory needs CAP_IPC_LOCK or a higher RLIMIT_MEMLOCK",
          "cannot lock the memory for CPU \(cpu)")
      }
    }
    return isPinned
  }

  private func pin(_ cpu: Int) throws(IsolationError) -> Bool {
    guard let processor = configuration.processor(of: cpu) else {
      unbind()
      return false
    }
    let error = cpi_pin_to_processor(processor)
    if error == 0 { return true }
    if configuration.pinning == .wherePossible {
      unbind()
      return false
    }
    throw IsolationError(
      .pinningRefused, errno: error,
      hint: "the processor has to be online, in the process's cpuset, and below 1024",
      "cannot bind CPU \(cpu) to processor \(processor)")
  }

  /// A thread that is bound to no processor is not bound to its starter's either.
  private func unbind() {
    var mask = ProcessorSet.given.mask
    // Safety: the C function reads the mask. Where it is refused, the thread stays where it is.
    _ = unsafe cpi_set_affinity(&mask)
  }
}
