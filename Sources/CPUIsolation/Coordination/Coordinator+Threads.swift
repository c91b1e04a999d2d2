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
    // Safety: the text is there for the call.
    _ = unsafe cpi_set_thread_name(options.name ?? "cpu/\(cpu)")
    // Threads that this one starts, the tasks' among them, must not run in its class: they would stand
    // in its way.
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

  /// Makes the calling thread, which somebody else made, this CPU: a SwiftNIO event loop, a
  /// pthread.
  ///
  ///     let cpu = try coordinator.attach(to: 3)
  ///     cpu.inUser { loop() }
  ///     cpu.detach()
  ///
  /// The thread is in kernel from here on. Its name, processor and scheduling stay its own. It has
  /// nothing pending and has seen everything that was sent before. A thread that ends without having
  /// detached, as by `pthread_exit`, is detached at its end.
  ///
  /// - Parameters:
  ///   - cpu: the number of a CPU of the coordinator; any other ends the process with a sentence.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: the CPU; `detach()`, or the end of this value, gives it back.
  /// - Throws: `cpuTaken`, `threadAlreadyAttached`, `closed`, `outOfMemory`, `forked`.
  /// - Progress: blocking
  /// - Context: any thread that is no CPU
  /// - Allocates: yes
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  public func attach(
    to cpu: Int, file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) -> LocalCPU {
    let attachment = Attachment(self)
    let path = try attachCurrentThread(to: cpu, attachment, hasValue: true, file, line)
    return LocalCPU(slot: core.slots[cpu], path: path, attachment: attachment)
  }

  /// Makes the calling thread this CPU for as long as the closure runs: the form for tasks too, which stay
  /// on one thread meanwhile.
  ///
  ///     try coordinator.attach(to: 3) { cpu in cpu.inUser { loop() } }
  ///
  /// - Parameters:
  ///   - cpu: the number of a CPU of the coordinator; any other ends the process with a sentence.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  ///   - body: what the thread does as this CPU; it ends in kernel.
  /// - Returns: what the closure returns.
  /// - Throws: as `attach(to:)`, and what the closure throws.
  /// - Progress: blocking
  /// - Context: any thread that is no CPU
  /// - Allocates: yes
  public func attach<Result: ~Copyable>(
    to cpu: Int, file: StaticString = #fileID, line: UInt = #line,
    _ body: (borrowing LocalCPU) throws -> Result
  ) throws -> Result {
    let local = try attach(to: cpu, file: file, line: line)
    return try body(local)
  }

  /// As `attach(to:)`, for threads whose code runs in callbacks: gives the copyable handle, and
  /// `CPUHandle.detach()` ends it.
  ///
  /// The coordinator stays until then.
  ///
  /// - Parameters:
  ///   - cpu: the number of a CPU of the coordinator; any other ends the process with a sentence.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: the handle, for the callbacks of this thread.
  /// - Throws: as `attach(to:)`.
  /// - Progress: blocking
  /// - Context: any thread that is no CPU
  /// - Allocates: yes
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  public func attachHandle(
    to cpu: Int, file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) -> CPUHandle {
    _ = try attachCurrentThread(to: cpu, Attachment(self), hasValue: false, file, line)
    return CPUHandle(slot: core.slots[cpu], core: core)
  }

  private func attachCurrentThread(
    to cpu: Int, _ attachment: Attachment, hasValue: Bool, _ file: StaticString, _ line: UInt
  ) throws(IsolationError) -> SendPath {
    requireCPU(cpu, file, line)
    try requireSameProcess()
    if let own = CurrentThread.slot {
      let other = OwnerTransitions.number(own)
      throw IsolationError(
        .threadAlreadyAttached, "this thread is CPU \(other) already, and cannot be CPU \(cpu)")
    }
    let slot = core.slots[cpu]
    let interrupter = configuration.interrupter(of: cpu)
    let reach = reach(of: cpu, thread: CurrentThread.id)
    // Safety: the name ends with a zero, and is the thread's own.
    let name = unsafe String(cString: cpi_known_thread_name())
    try own(slot, cpu)
    // A CPU keeps its sender slot: one thread at a time counts there.
    let known = slot.owner.sender.load(ordering: .relaxed)
    var fresh: SenderSlot? = nil
    let entry: ContextTracker.Entry
    var abandoned = AbandonedCalls()
    do {
      if known == 0 { fresh = try takeSenderSlot() }
      entry = try registry.withLock { state throws(IsolationError) in
        if state.isClosed { throw IsolationError(.closed, "the coordinator is closed") }
        if let fresh {
          slot.owner.sender.store(fresh.base.bits, ordering: .relaxed)
        }
        state.trace.name(thread: reach.threadID, name)
        state.attached.insert(cpu)
        OwnerTransitions.keep(attachment, isKeptByValue: hasValue, slot)
        return OwnerTransitions.attach(slot, core: core, reach: reach, &abandoned)
      }
    } catch {
      // Release — detach:R. Nothing was done with it.
      slot.state.isOwned.store(0, ordering: .releasing)
      if let fresh { giveBack(fresh) }
      throw error
    }
    watchdog?.notice()
    switch entry {
    case .clear: break
    case .taken(let bits): OwnerTransitions.drainTaken(slot, core, bits)
    case .special: OwnerTransitions.enterSlow(slot, from: .offline)
    }
    abandoned.end()
    let path = SendPath(core: core, sender: path.sender, isOutsideSignals: true)
    if !runAttachWork(on: cpu, by: path) {
      OwnerTransitions.detach(slot)
      throw IsolationError(.closed, "the coordinator was closed while CPU \(cpu) attached")
    }
    if interrupter == .signal { _ = cpi_unblock_signal(signal) }
    return path
  }

  /// The way to a CPU's thread, which is 0 before there is one.
  func reach(of cpu: Int, thread: Int32) -> Reach {
    Reach(
      threadID: thread, interrupter: configuration.interrupter(of: cpu),
      isHousekeeping: !configuration.isolated.contains(cpu), signal: signal)
  }

  /// Makes the calling thread the owner of a slot, once a thread that is on its way out has left.
  private func own(_ slot: CPUSlot, _ cpu: Int) throws(IsolationError) {
    var backoff = Backoff()
    // Acquire — attach:O. Everything the last owner did comes before. Pairs with detach:R.
    while slot.state.isOwned.exchange(1, ordering: .acquiring) != 0 {
      if context(of: cpu) != .offline {
        throw IsolationError(.cpuTaken, "CPU \(cpu) has a thread already")
      }
      backoff.wait()
    }
  }

  /// The end of a `LocalCPU`.
  @usableFromInline
  func detach(_ slot: CPUSlot) { OwnerTransitions.detach(slot) }
}
