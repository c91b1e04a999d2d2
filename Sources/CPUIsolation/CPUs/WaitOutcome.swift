// SPDX-License-Identifier: Apache-2.0

/// How a wait ended: of a ticket, a grace period, a barrier, a retirement, or a close.
///
///     switch ticket.wait(until: .covered, timeout: .milliseconds(10)) {
///     case .settled: reuse(pages)
///     case .timedOut(let stragglers): log("CPUs \(stragglers) have not passed")
///     case .closed, .forked: return
///     }
///
/// What was waited for has happened in one of the cases alone: a caller that frees something looks
/// for `.settled`.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: never for CPUs below 128
public enum WaitOutcome: Hashable, Sendable, CustomStringConvertible {
  /// What was waited for has happened.
  case settled
  /// The time was over before it had: these CPUs held it up. The mask is empty where no CPU did, but
  /// another thread.
  case timedOut(CPUMask)
  /// The coordinator was closed before it had; these CPUs held it up.
  case closed(CPUMask)
  /// The process was forked since: the threads that were waited for are not in this child.
  case forked

  /// The CPUs that held it up.
  public var stragglers: CPUMask {
    switch self {
    case .timedOut(let cpus), .closed(let cpus): cpus
    case .settled, .forked: CPUMask()
    }
  }

  /// Throws unless what was waited for has happened: for code that has nothing else to do about it.
  ///
  ///     try coordinator.synchronize(timeout: .seconds(1)).get()
  ///     node.free()
  ///
  /// - Throws: `timedOut`, `closed`, `forked`, with the CPUs that held it up in the message.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the message
  public func get() throws(IsolationError) { try get("wait") }

  /// The same for a named action.
  package func get(_ action: String) throws(IsolationError) {
    switch self {
    case .settled: return
    case .timedOut: throw IsolationError(.timedOut, errno: 110, "cannot \(action): \(self)")
    case .closed: throw IsolationError(.closed, "cannot \(action): \(self)")
    case .forked: throw IsolationError(.forked, "cannot \(action): \(self)")
    }
  }

  public var description: String {
    switch self {
    case .settled: "settled"
    case .timedOut(let cpus) where cpus.isEmpty: "another thread has not come through in time"
    case .timedOut(let cpus): "CPUs \(cpus) held it up for the whole time"
    case .closed(let cpus) where cpus.isEmpty: "the coordinator is closed"
    case .closed(let cpus): "the coordinator is closed, and CPUs \(cpus) hold it up"
    case .forked: "the process was forked: the coordinator's threads are not in the child"
    }
  }
}
