// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

// For loops that sleep where the library does not: in epoll, in io_uring, on a condition variable.
extension CPUHandle {
  /// Whether the calling thread is this CPU: true from its attachment until it detaches. A callback that may
  /// still come after that asks this, and does nothing.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var isCurrent: Bool { isCallers }

  /// Says that this thread is about to sleep outside the library, and has nothing to do.
  ///
  ///     while !cpu.beginIdle() {}  // what came has run
  ///     epoll_wait(poll, &events, 64, -1)
  ///     cpu.endIdle()
  ///
  /// While the CPU is idle, whatever would end a sleep in `idle()` calls the function that the thread
  /// brought to `attachHandle(to:wake:)`, also if it comes before the thread sleeps. That function has to keep the
  /// thread from sleeping then, as a write to an eventfd does. Between this and `endIdle()` the thread looks
  /// at nothing that housekeepers maintain.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: true if the CPU is idle now. False if something was pending, or came: it has run, the CPU is in
  ///   kernel, and the thread looks again whether it has something to do.
  /// - Progress: wait-free when nothing is pending; else as the pending handlers
  /// - Context: owner that has a wake function, in kernel, outside handlers and nested sections
  /// - Allocates: never
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  public func beginIdle(file: StaticString = #fileID, line: UInt = #line) -> Bool {
    OwnerTransitions.requireOwner(slot, CallSite(file, line))
    return OwnerTransitions.beginIdle(slot, CallSite(file, line))
  }

  /// Says that this thread is awake again: enters kernel, and runs what was deferred meanwhile.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Progress: wait-free when nothing is pending; else as the pending handlers
  /// - Context: owner, after `beginIdle()` has returned true
  /// - Allocates: never
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  public func endIdle(file: StaticString = #fileID, line: UInt = #line) {
    OwnerTransitions.requireOwner(slot, CallSite(file, line))
    OwnerTransitions.endIdle(slot, CallSite(file, line))
  }

  /// Enters kernel unless the CPU is there already: what the callbacks of a tick call before they look at what
  /// housekeepers maintain. The first of them enters, from user, guest or `beginIdle()`.
  ///
  ///     func onReadable() { cpu.enterKernelIfNeeded(); serve() }
  ///     func tickEnded() { cpu.enterUser() }
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: whether it has entered.
  /// - Progress: wait-free when nothing is pending; else as the pending handlers
  /// - Context: owner
  /// - Allocates: never
  @available(*, noasync, message: "a task may go on on another thread: use attach(to:_:)")
  @discardableResult
  public func enterKernelIfNeeded(file: StaticString = #fileID, line: UInt = #line) -> Bool {
    OwnerTransitions.requireOwner(slot, CallSite(file, line))
    return OwnerTransitions.enterIfNeeded(slot, CallSite(file, line))
  }
}
