// SPDX-License-Identifier: Apache-2.0

extension Coordinator {
  /// What an operation asks that is going to wait for CPUs: traps inside a handler.
  package func requireMayBegin(_ action: String) throws(IsolationError) {
    requireMayWait(action)
    try requireSameProcess()
    if isClosed { throw IsolationError(.closed, "cannot \(action): the coordinator is closed") }
  }

  /// Whether this is the child of a fork.
  package var wasForked: Bool { isForked }

  /// One step of a loop that waits for another thread: a caller that is a CPU runs what is pending
  /// for it, or the thread that it waits for might wait for that.
  package static func serveWhileWaiting() { serveOwnCPU() }
}
