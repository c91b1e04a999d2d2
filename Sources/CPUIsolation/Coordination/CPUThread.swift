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
  }
  private let state = Lock(State())

  init(cpu: Int) { self.cpu = cpu }

  deinit {
    let unjoined = state.withLock { $0.isJoining ? nil : $0.handle }
    if let unjoined { _ = cpi_detach_thread(unjoined) }
  }

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
    /// Locks the process's memory, present and future, so that the loop meets no page fault.
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
    ///   - locksMemory: whether the whole process's memory is locked, so that the loop meets no
    ///     page fault.
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

  /// Waits until the thread has ended. Several threads may join.
  ///
  /// - Progress: blocking
  /// - Context: any thread but this one
  /// - Allocates: never
  public func join() {
    let mine = state.withLock { state -> UInt64? in
      if state.isJoining { return nil }
      state.isJoining = true
      return state.handle
    }
    if let mine { _ = cpi_join_thread(mine) }
    waitUntilOver(Deadline(after: nil))
  }

  /// Waits until the thread's body has ended and its CPU is given back; false when the deadline
  /// came first.
  @discardableResult
  func waitUntilOver(_ deadline: Deadline) -> Bool {
    var backoff = Backoff()
    while !state.withLock({ $0.isOver }) {
      if deadline.hasPassed { return false }
      backoff.wait()
    }
    return true
  }

  func started(_ handle: UInt64) { state.withLock { $0.handle = handle } }
  func attached(_ result: Result<Void, IsolationError>, isPinned: Bool) {
    state.withLock {
      $0.result = result
      $0.isPinned = isPinned
    }
  }
  func ended() { state.withLock { $0.isOver = true } }

  /// Waits for the thread's word on whether it could attach.
  func waitUntilAttached() throws(IsolationError) {
    var backoff = Backoff()
    while true {
      if let result = state.withLock({ $0.result }) { return try result.get() }
      backoff.wait()
    }
  }
}
