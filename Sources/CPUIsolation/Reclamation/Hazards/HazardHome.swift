// SPDX-License-Identifier: Apache-2.0

/// What a domain of hazard pointers belongs to, and keeps: it has the CPUs.
protocol HazardHome: AnyObject, Sendable {
  /// Whether the CPUs may stay in kernel for good: nothing asks them to leave any more.
  var isClosed: Bool { get }
  /// Traps if the calling thread is inside a handler or a cross call, where it must not wait.
  func requireMayWait(_ action: String, _ file: StaticString, _ line: UInt)
  /// One step of a loop that waits for another thread.
  func serveWhileWaiting()
}
