// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// A thread that `Coordinator.launch` started.
///
///     let thread = try coordinator.launch(on: 2) { cpu in … }
///     stop.store(true, ordering: .relaxed)
///     thread.join()
///
/// - Progress: blocking to join
/// - Context: any thread
/// - Allocates: when it is started
public final class CPUThread: Sendable {
  /// The CPU that it was started on.
  public let cpu: Int

  /// Whether it is bound to a processor.
  public var isPinned: Bool { state.withLock { $0.isPinned } }

  private struct State {
    var handle: UInt64? = nil
    var isPinned = false
    var result: Result<Void, IsolationError>? = nil
    var isJoining = false
    var isOver = false
    var threadID: Int32 = 0
  }
  private let state = Lock(State())
  /// The fork since which the thread is there: it is not in a child.
  private let forks = cpi_fork_generation()

  init(cpu: Int) { self.cpu = cpu }

  deinit {
    let unjoined = state.withLock { $0.isJoining ? nil : $0.handle }
    if let unjoined, !isForked { _ = cpi_detach_thread(unjoined) }
  }

  private var isForked: Bool { forks != cpi_fork_generation() }

  /// How a thread is started.
  ///
  ///     try coordinator.launch(on: 2, options: .init(scheduling: .fifo(priority: 50), locksMemory: true)) {
  ///       cpu in …
  ///     }
  public struct Options: Sendable {
    /// The name that debuggers and `top -H` show, cut to 15 bytes; nil takes "cpu/" and the number.
    public var name: String?
    /// The size of the stack in bytes, at least `minimumStackSize`; nil takes the system's default.
    public var stackSize: Int?
    /// The scheduling class; nil keeps that of the starting thread.
    public var scheduling: Scheduling?
    /// Locks the whole process's memory, present and future: what is mapped is there at once, also the
    /// stacks of all threads that start later, and none of it is swapped out. The loop meets no page fault
    /// then, unless the process forks: each page that is written afterwards faults once more. Other
    /// threads interrupt the loop as before; against that there is `quietMemory`. The lock outlives
    /// the thread.
    public var locksMemory: Bool
    /// How late the kernel may fire this thread's timers; nil keeps the default of 50 µs, and zero
    /// asks for as little as it can.
    public var timerSlack: Duration?

    /// The smallest stack on which a CPU can attach, run handlers and be interrupted.
    public static let minimumStackSize = 64 << 10

    /// A thread like any other, but for what is named.
    ///
    ///     CPUThread.Options(stackSize: 1 << 20, timerSlack: .microseconds(1))
    ///
    /// - Parameters:
    ///   - name: what debuggers show, cut to 15 bytes; nil takes "cpu/" and the number.
    ///   - stackSize: in bytes, at least `minimumStackSize`: `launch` refuses less. Nil takes the
    ///     system's default.
    ///   - scheduling: the scheduling class; nil keeps that of the starting thread.
    ///   - locksMemory: whether the whole process's memory is locked, for as long as the process
    ///     lives: the loop meets no page fault unless the process forks.
    ///   - timerSlack: how late the kernel may fire this thread's timers; nil keeps its 50 µs.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public init(
      name: String? = nil, stackSize: Int? = nil, scheduling: Scheduling? = nil,
      locksMemory: Bool = false, timerSlack: Duration? = nil
    ) {
      self.name = name
      self.stackSize = stackSize
      self.scheduling = scheduling
      self.locksMemory = locksMemory
      self.timerSlack = timerSlack
    }

    func validate(for cpu: Int) throws(IsolationError) {
      if let stackSize, stackSize < Self.minimumStackSize {
        throw IsolationError(
          .invalidConfiguration,
          "the stack of CPU \(cpu) cannot be \(stackSize) bytes: it takes \(Self.minimumStackSize)")
      }
    }

    /// A scheduling class of `sched(7)`.
    public enum Scheduling: Hashable, Sendable {
      /// The default time-sharing class.
      case other
      /// Real time, first in first out, 1 to 99.
      case fifo(priority: Int)
      /// Real time in turns, 1 to 99.
      case roundRobin(priority: Int)
      /// Time-sharing for what computes and does not wait.
      case batch
      /// Only when nothing else runs.
      case idle

      var parts: (Int32, Int32) {
        switch self {
        case .other: (0, 0)
        case .fifo(let priority): (1, Int32(clamping: priority))
        case .roundRobin(let priority): (2, Int32(clamping: priority))
        case .batch: (3, 0)
        case .idle: (4, 0)
        }
      }
    }
  }

  /// Waits until the thread has ended, by its body's return or otherwise. Several threads may join.
  ///
  /// A caller that is a CPU serves its own work meanwhile. A thread that joins itself, or waits inside a
  /// handler, ends the process with a sentence. In the child of a fork, where the thread is not, the
  /// answer is `forked` at once.
  ///
  /// - Parameters:
  ///   - timeout: how long it waits; nil is for ever.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Returns: `settled` once it has ended, `timedOut` with its CPU, or `forked`.
  /// - Progress: blocking
  /// - Context: any thread but this one, outside handlers
  /// - Allocates: never
  @discardableResult
  public func join(
    timeout: Duration? = nil, file: StaticString = #fileID, line: UInt = #line
  ) -> WaitOutcome {
    if isForked { return .forked }
    CurrentThread.requireMayWait("join the thread of CPU \(cpu)", file, line)
    if state.withLock({ $0.threadID }) == CurrentThread.id {
      misuse("the thread of CPU \(cpu) cannot join itself", file, line)
    }
    return waitForEnd(Deadline(after: timeout))
  }

  func waitForEnd(_ until: Deadline) -> WaitOutcome {
    // Who has nothing to serve and all the time sleeps until the system says that the thread has ended.
    if CurrentThread.cpu == nil, until.remaining == .max { joinOnce() }
    var backoff = Backoff()
    while !state.withLock({ $0.isOver }) {
      if until.hasPassed { return .timedOut([cpu]) }
      Coordinator.serveWhileWaiting()
      backoff.wait()
    }
    // It has nothing left to do but to end.
    joinOnce()
    return .settled
  }

  /// Joins the system's thread, unless somebody has or does.
  private func joinOnce() {
    let mine = state.withLock { state -> UInt64? in
      if state.isJoining { return nil }
      state.isJoining = true
      return state.handle
    }
    if let mine { _ = cpi_join_thread(mine) }
  }

  func started(_ handle: UInt64) { state.withLock { $0.handle = handle } }
  func attached(_ result: Result<Void, IsolationError>, isPinned: Bool) {
    state.withLock {
      $0.result = result
      $0.isPinned = isPinned
      $0.threadID = CurrentThread.id
    }
  }
  /// The last thing that the thread does.
  func ended() {
    state.withLock { state in
      state.isOver = true
      guard state.result == nil else { return }
      state.result = .failure(
        IsolationError(.threadCreationFailed, "the thread of CPU \(cpu) ended while it attached"))
    }
  }

  /// Waits for the thread's word on whether it could attach.
  func waitUntilAttached() throws(IsolationError) {
    var backoff = Backoff()
    while true {
      if let result = state.withLock({ $0.result }) { return try result.get() }
      backoff.wait()
    }
  }
}
