// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

extension Coordinator {
  /// The handle of the CPU that the calling thread is attached to, of this coordinator; nil if to none: for
  /// code deep in a server that was not handed it.
  ///
  ///     guard let cpu = coordinator.currentHandle else { return try await answerElsewhere() }
  ///     cpu.enterKernelIfNeeded()
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var currentHandle: CPUHandle? { ownSlot.map { CPUHandle(slot: $0, core: core) } }

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
  ///     let cpu = try coordinator.attachHandle(to: 1) { eventLoop.execute { tick() } }
  ///
  /// The coordinator stays until then. A thread that sleeps in epoll, in io_uring or on a condition variable
  /// brings a function that wakes it there, and says `beginIdle()` before it sleeps and `endIdle()` after. Then
  /// whatever ends `idle()` reaches it too: calls, immediate work, work that is too old, and `close`. Without
  /// such a function nothing reaches a thread that sleeps outside the library.
  ///
  /// - Parameters:
  ///   - cpu: the number of a CPU of the coordinator; any other ends the process with a sentence.
  ///   - wake: wakes the thread from its sleep, or keeps it from the next one; nil is for threads that sleep by
  ///     `idle()` alone. The thread that kicks calls it, once for each idle at most, and perhaps
  ///     inside a handler: it must not block, wait or end its thread. With the `.signal` interrupter, and where
  ///     what is interrupt-safe kicks this CPU, it runs in signal handlers: a write to an eventfd is allowed
  ///     there, a lock is not.
  ///     It is freed when the thread detaches.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: the handle, for the callbacks of this thread.
  /// - Throws: as `attach(to:)`.
  /// - Progress: blocking
  /// - Context: any thread that is no CPU
  /// - Allocates: yes
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  public func attachHandle(
    to cpu: Int, file: StaticString = #fileID, line: UInt = #line,
    wake: (@Sendable () -> Void)? = nil
  ) throws(IsolationError) -> CPUHandle {
    _ = try attachCurrentThread(to: cpu, Attachment(self), hasValue: false, file, line)
    let slot = core.slots[cpu]
    if let wake { slot.call.parker.setWakeFunction(WakeFunction(wake)) }
    return CPUHandle(slot: slot, core: core)
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
    let path = SendPath(core: core, sender: path.sender, inline: .all)
    if !runAttachWork(on: cpu, by: path) {
      OwnerTransitions.detach(slot)
      throw IsolationError(.closed, "the coordinator was closed while CPU \(cpu) attached")
    }
    // The signal has a handler, so that it is one that there is: it cannot be refused.
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
