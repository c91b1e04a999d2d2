// SPDX-License-Identifier: Apache-2.0

extension Coordinator {
  /// What an operation asks that is going to wait for CPUs: traps inside a handler.
  package func requireMayBegin(
    _ action: String, file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) {
    requireMayWait(action, file, line)
    try requireSameProcess()
    if isClosed { throw IsolationError(.closed, "cannot \(action): the coordinator is closed") }
  }

  /// Whether this is the child of a fork.
  package var wasForked: Bool { isForked }

  /// One step of a loop that waits for another thread: a caller that is a CPU runs what is pending
  /// for it, or the thread that it waits for might wait for that.
  package static func serveWhileWaiting() { CurrentThread.serveOwnCPU() }

  /// Whether a wait is over although what it is for has not happened: nil lets it go on. `cpus` are
  /// those that hold it up.
  func endOfWait(_ until: Deadline, _ cpus: @autoclosure () -> CPUMask) -> WaitOutcome? {
    if isForked { return .forked }
    if isClosed { return .closed(cpus()) }
    return until.hasPassed ? .timedOut(cpus()) : nil
  }

  /// The CPUs other than the caller's that are in kernel now: those that may hold a wait up.
  package var othersInKernel: CPUMask {
    let own = currentCPU
    return CPUMask(attached.filter { $0 != own && context(of: $0) == .kernel })
  }
}
