// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// A CPU as two pointers: for callbacks, event loops and classes that cannot hold a ``LocalCPU``.
///
///     final class Handler {
///       let cpu: CPUHandle
///       func onReadable() { cpu.enterKernel(); defer { cpu.enterUser() }; serve() }
///     }
///
/// A `~Copyable` value stored in a class costs 4–18 ns an access, a pointer nothing. In exchange
/// each call checks at run time what the compiler checks for ``LocalCPU``: that it is made by the
/// CPU's own thread. A call from another thread ends the process with a sentence. Where a
/// ``LocalCPU`` can be held, hold that.
///
/// The coordinator stays for as long as a thread is attached; after that, and once nobody refers to it, the
/// handle must not be used. It may be sent anywhere: what is the owner's is refused elsewhere.
///
/// - Progress: as each member says
/// - Context: owner
/// - Allocates: never
@frozen
public struct CPUHandle: Hashable, WorkSender {
  @usableFromInline let slot: CPUSlot
  @usableFromInline let core: CoordinatorCore

  @inlinable
  init(slot: CPUSlot, core: CoordinatorCore) {
    self.slot = slot
    self.core = core
  }

  /// The number of this CPU.
  @inlinable
  public var number: Int { OwnerTransitions.number(slot) }

  /// The context of this CPU, as anybody sees it: it may have changed when the caller looks at the
  /// answer.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var context: CPUContext {
    // Relaxed — a hint.
    let word = slot.state.word.load(ordering: .relaxed)
    return ContextWord(rawValue: word).context ?? .kernel
  }

  /// The coordinator that it is a CPU of.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var coordinator: Coordinator {
    // Safety: the handle is not used after its coordinator is gone, which has put its address there.
    unsafe Unmanaged<Coordinator>.fromOpaque(
      UnsafeRawPointer(
        bitPattern: core.line.coordinator.load(ordering: .relaxed)
      ).unsafelyUnwrapped
    ).takeUnretainedValue()
  }

  /// The way of its sends: the library's own.
  public var path: WorkType.SendPath {
    OwnerTransitions.requireOwner(slot)
    return coordinator.path
  }

  /// Sends deferrable work to one CPU.
  ///
  ///     handle.send(flush, to: 3)
  ///
  /// - Parameters:
  ///   - work: a type that the coordinator has registered; of any other nothing is sent.
  ///   - cpu: its number. Any that is no CPU of the coordinator ends the process with a sentence.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: what became of the send.
  /// - Progress: wait-free
  /// - Context: owner, also inside a handler
  /// - Allocates: never
  @discardableResult
  public func send(
    _ work: WorkType, to cpu: Int, file: StaticString = #fileID, line: UInt = #line
  ) -> SendOutcome {
    path.deliver(work, to: cpu, from: CallSite(file, line))
  }

  /// See `LocalCPU.enterUser()`.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Progress: wait-free when nothing is pending; else as the pending handlers
  /// - Context: owner, in kernel, outside handlers and nested sections
  /// - Allocates: never
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  @inlinable
  public func enterUser(file: StaticString = #fileID, line: UInt = #line) {
    OwnerTransitions.requireOwner(slot, CallSite(file, line))
    OwnerTransitions.leave(slot, to: .user, CallSite(file, line))
  }

  /// See `LocalCPU.enterKernel()`.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Progress: wait-free when nothing is pending; else as the pending handlers
  /// - Context: owner, in user
  /// - Allocates: never
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  @inlinable
  public func enterKernel(file: StaticString = #fileID, line: UInt = #line) {
    OwnerTransitions.requireOwner(slot, CallSite(file, line))
    OwnerTransitions.enter(slot, core, from: .user, CallSite(file, line))
  }

  /// See `LocalCPU.poll()`.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Progress: wait-free when nobody asks; else as the pending handlers
  /// - Context: owner, in user or kernel
  /// - Allocates: never
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  @inlinable
  public func poll(file: StaticString = #fileID, line: UInt = #line) {
    if ContextTracker(slot).isAttentionWanted {
      OwnerTransitions.requireOwner(slot, CallSite(file, line))
      OwnerTransitions.pollSlow(slot, CallSite(file, line))
    }
  }

  /// See `LocalCPU.safePoint()`.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Progress: wait-free when nothing is pending; else as the pending handlers
  /// - Context: owner, in kernel; inside a handler it does nothing
  /// - Allocates: never
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  public func safePoint(file: StaticString = #fileID, line: UInt = #line) {
    OwnerTransitions.requireOwner(slot, CallSite(file, line))
    OwnerTransitions.safePoint(slot, CallSite(file, line))
  }

  /// See `LocalCPU.declareQuiescent()`.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Progress: wait-free when nothing is pending; else as the pending handlers
  /// - Context: owner, in kernel, outside handlers and nested sections
  /// - Allocates: never
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  public func declareQuiescent(file: StaticString = #fileID, line: UInt = #line) {
    OwnerTransitions.requireOwner(slot, CallSite(file, line))
    OwnerTransitions.quiescent(slot, CallSite(file, line))
  }

  /// See `LocalCPU.idle(for:)`.
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
    OwnerTransitions.requireOwner(slot, CallSite(file, line))
    OwnerTransitions.idle(slot, until: Deadline(after: duration), CallSite(file, line))
  }

  /// Gives the CPU back, for threads that were attached by `Coordinator.attachHandle(to:)`.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Progress: blocking, while a helper holds the CPU
  /// - Context: owner, in kernel, outside handlers and nested sections
  /// - Allocates: never
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  public func detach(file: StaticString = #fileID, line: UInt = #line) {
    OwnerTransitions.requireOwner(slot, CallSite(file, line))
    OwnerTransitions.detach(slot, CallSite(file, line))
  }
}
