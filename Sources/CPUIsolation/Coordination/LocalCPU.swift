// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// The CPU that this thread is: its transitions, its safe points, its sends.
///
///     try coordinator.launch(on: 2) { cpu in
///       cpu.inUser {
///         while !stop.load(ordering: .relaxed) {
///           work()  // touches nothing that housekeepers maintain
///           cpu.poll()  // cross calls: one load
///           if mustLook { cpu.inKernel { routes.lookUp(key) } }  // everything deferred has run by now
///         }
///       }
///     }
///
/// The value cannot be copied or sent to another thread: it is the thread's licence to make
/// transitions. When it ends, the thread has detached. A thread is in kernel when it attaches, and
/// has to be in kernel when it detaches.
///
/// A task may go on, after an `await`, on another thread: transitions do not compile in asynchronous
/// functions. A task that is to be a CPU for a while uses `Coordinator.attach(to:_:)`, whose closure
/// stays on one thread. A value that ends on another thread than its own ends the process with a
/// sentence.
///
/// A mistake (leaving twice, entering twice, leaving inside a handler or a nested section) ends the
/// process with a sentence.
///
/// - Progress: as each member says
/// - Context: owner
/// - Allocates: never
@frozen @safe
public struct LocalCPU: ~Copyable, WorkSender {
  @usableFromInline let slot: CPUSlot
  /// The way of its sends: the library's own.
  public let path: WorkType.SendPath
  @usableFromInline let home: Unmanaged<Attachment>

  init(slot: CPUSlot, path: SendPath, attachment: Attachment) {
    self.slot = slot
    self.path = path
    // Safety: one reference, which `deinit` gives back, or the end of the thread where that skips it.
    unsafe home = unsafe Unmanaged.passRetained(attachment)
  }

  deinit {
    // A thread that has ended without this has given the reference back.
    OwnerTransitions.requireOwnEnd(slot)
    // Safety: the reference of `init`.
    unsafe home.takeUnretainedValue().coordinator.detach(slot)
    unsafe home.release()
  }

  /// The coordinator that it is a CPU of.
  // Safety: the reference of `init`.
  public var coordinator: Coordinator { unsafe home.takeUnretainedValue().coordinator }

  /// Gives the CPU back: what is pending runs first, what comes later is `gone`.
  ///
  ///     let cpu = try coordinator.attach(to: 3)
  ///     cpu.inUser { loop() }
  ///     cpu.detach()
  ///
  /// The same happens when the value goes out of scope.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Progress: blocking, while a helper holds the CPU
  /// - Context: owner, in kernel, outside handlers
  /// - Allocates: never
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  public consuming func detach(file: StaticString = #fileID, line: UInt = #line) {
    // The end of the value, which detaches, knows no caller.
    OwnerTransitions.requireOwnEnd(slot, CallSite(file, line))
    OwnerTransitions.requirePlainKernel(slot, "detach", CallSite(file, line))
  }

  /// The number of this CPU.
  public var number: Int { OwnerTransitions.number(slot) }

  /// The copyable handle of this CPU, for code that cannot hold a `~Copyable` value.
  @inlinable
  public var handle: CPUHandle { CPUHandle(slot: slot, core: path.core) }

  /// Where this CPU is.
  public var context: CPUContext {
    ContextWord(rawValue: ContextTracker(slot).ownContext).context ?? .kernel
  }
}

// The licence stays with its thread.
@available(*, unavailable)
extension LocalCPU: Sendable {}

// MARK: - Transitions

extension LocalCPU {
  /// Runs `body` in user: a section that looks at nothing that housekeepers maintain.
  ///
  ///     cpu.inUser { spinOnTheRing() }
  ///
  /// The same as `enterUser()`, `body`, `enterKernel()`, on every path out. What was deferred
  /// meanwhile has run when it returns.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  ///   - body: runs once, on this thread.
  /// - Returns: what `body` returned.
  /// - Throws: what `body` throws; the CPU is back in kernel then, too.
  /// - Progress: wait-free when nothing is pending; else as the pending handlers
  /// - Context: owner, in kernel, outside handlers and nested sections
  /// - Allocates: never
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  @inlinable @inline(__always)
  public func inUser<Result: ~Copyable, Failure: Error>(
    file: StaticString = #fileID, line: UInt = #line,
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    enterUser(file: file, line: line)
    defer { enterKernel(file: file, line: line) }
    return try body()
  }

  /// Runs `body` in kernel: when it begins, everything that was deferred has run.
  ///
  ///     let route = cpu.inKernel { table.lookUp(address) }
  ///
  /// A section inside a section makes no transition. Whatever it was entered from, a section is left at
  /// its end and nowhere else: in it the CPU cannot leave kernel, become idle, declare a quiescent state
  /// or wait for a grace period, and trying ends the process with a sentence.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  ///   - body: runs once, on this thread.
  /// - Returns: what `body` returned.
  /// - Throws: what `body` throws; the section has ended then, too.
  /// - Progress: wait-free when nothing is pending; else as the pending handlers
  /// - Context: owner
  /// - Allocates: never
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  @inlinable @inline(__always)
  public func inKernel<Result: ~Copyable, Failure: Error>(
    file: StaticString = #fileID, line: UInt = #line,
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    if ContextTracker(slot).ownContext == UInt64(CPUContext.user.rawValue) {
      OwnerTransitions.enter(
        slot, path.core, from: .user, forSection: true, CallSite(file, line))
      defer {
        OwnerTransitions.leave(slot, to: .user, fromSection: true, CallSite(file, line))
      }
      return try body()
    }
    let outside = OwnerTransitions.beginSection(slot, CallSite(file, line))
    defer { OwnerTransitions.endSection(slot, outside) }
    return try body()
  }

  /// Leaves kernel: from here on this thread looks at nothing that housekeepers maintain.
  ///
  /// For loops that `inUser` cannot hold. What is pending runs first, once; what arrives then waits
  /// for the next entry.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Progress: wait-free when nothing is pending; else as the pending handlers
  /// - Context: owner, in kernel, outside handlers and nested sections
  /// - Allocates: never
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  @inlinable @inline(__always)
  public func enterUser(file: StaticString = #fileID, line: UInt = #line) {
    OwnerTransitions.leave(slot, to: .user, CallSite(file, line))
  }

  /// Enters kernel: when it returns, everything that was deferred has run.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Progress: wait-free when nothing is pending; else as the pending handlers
  /// - Context: owner, in user
  /// - Allocates: never
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  @inlinable @inline(__always)
  public func enterKernel(file: StaticString = #fileID, line: UInt = #line) {
    OwnerTransitions.enter(slot, path.core, from: .user, CallSite(file, line))
  }

  /// Runs `body` in guest: code that is not this program's own, such as a plug-in, and touches
  /// nothing maintained.
  ///
  ///     cpu.inGuest { plugin.run() }
  ///
  /// It differs from `inUser` in the name that traces and statistics show.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  ///   - body: runs once, on this thread.
  /// - Returns: what `body` returned.
  /// - Throws: what `body` throws; the CPU is back in kernel then, too.
  /// - Progress: wait-free when nothing is pending; else as the pending handlers
  /// - Context: owner, in kernel, outside handlers and nested sections
  /// - Allocates: never
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  @inlinable
  public func inGuest<Result: ~Copyable, Failure: Error>(
    file: StaticString = #fileID, line: UInt = #line,
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    OwnerTransitions.leave(slot, to: .guest, CallSite(file, line))
    defer { OwnerTransitions.enter(slot, path.core, from: .guest, CallSite(file, line)) }
    return try body()
  }

  /// Serves what cannot wait, if there is any: one load in a hot loop.
  ///
  ///     cpu.inUser { while running { step(); cpu.poll() } }
  ///
  /// If there is, it enters kernel, drains everything, and leaves again: while the word says user
  /// nothing runs, or grace periods would pass it.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Progress: wait-free when nobody asks; else as the pending handlers
  /// - Context: owner, in user or kernel
  /// - Allocates: never
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  @inlinable @inline(__always)
  public func poll(file: StaticString = #fileID, line: UInt = #line) {
    if ContextTracker(slot).isAttentionWanted {
      OwnerTransitions.pollSlow(slot, CallSite(file, line))
    }
  }

  /// Runs what is pending, in the middle of a kernel section: a safe point.
  ///
  /// A housekeeping loop calls it between two pieces of its own work.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Progress: wait-free when nothing is pending; else as the pending handlers
  /// - Context: owner, in kernel; inside a handler it does nothing
  /// - Allocates: never
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  @inlinable @inline(__always)
  public func safePoint(file: StaticString = #fileID, line: UInt = #line) {
    OwnerTransitions.safePoint(slot, CallSite(file, line))
  }

  /// A safe point at which this CPU also holds nothing that a grace period protects: waiters pass
  /// it.
  ///
  ///     while let request = next() { serve(request); cpu.declareQuiescent() }
  ///
  /// Costs one locked instruction. A CPU that leaves kernel now and then does not need it.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Progress: wait-free when nothing is pending; else as the pending handlers
  /// - Context: owner, in kernel, outside handlers and nested sections
  /// - Allocates: never
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  @inlinable @inline(__always)
  public func declareQuiescent(file: StaticString = #fileID, line: UInt = #line) {
    OwnerTransitions.quiescent(slot, CallSite(file, line))
  }

  /// Has nothing to do: sleeps until work or a call arrives, or the time is over.
  ///
  ///     cpu.idle(for: .seconds(1))
  ///
  /// If something is pending already it runs that and returns at once, so that a loop which waits
  /// for what a handler does may call it over and over. A housekeeping CPU is woken by everything
  /// that is sent to it; an isolated one by what is immediate, and by what a helper ran for it. It
  /// runs what was deferred when it returns. Returns in kernel, with everything drained. It may return for nothing; but a
  /// signal that is not the library's ends only a sleep with a time, or one whose handler was
  /// installed without `SA_RESTART`.
  ///
  /// - Parameters:
  ///   - duration: how long to sleep at most; nil is until something arrives, zero is not at all.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Progress: blocking
  /// - Context: owner, in kernel, outside handlers and nested sections
  /// - Allocates: never
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  public func idle(
    for duration: Duration? = nil, file: StaticString = #fileID, line: UInt = #line
  ) {
    OwnerTransitions.idle(slot, until: Deadline(after: duration), CallSite(file, line))
  }
}
