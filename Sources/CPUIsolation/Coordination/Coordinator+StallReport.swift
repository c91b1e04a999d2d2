// SPDX-License-Identifier: Apache-2.0

extension Coordinator {
  /// Something that should have happened and has not, as the watchdog saw it.
  ///
  ///     configuration.watchdog?.report = { report in log.warning("\(report)") }
  ///
  /// - Progress: wait-free
  /// - Context: the watchdog's thread
  /// - Allocates: as its strings
  public struct StallReport: Hashable, Sendable, CustomStringConvertible {
    /// What is wrong.
    public enum Kind: Hashable, Sendable {
      /// A CPU is in kernel, and has not reached a safe point since the work was sent.
      case kernelWithoutSafePoint
      /// A CPU was kicked and has not looked.
      case kickUnanswered
      /// A handler or a cross call has been running for too long.
      case handlerRunning
      /// A helper has held a CPU's pin for too long: the CPU waits at entry if it comes.
      case helperHoldsPin
      /// What was reported last time has been resolved.
      case recovered
    }

    /// What is wrong.
    public let kind: Kind
    /// The CPU that it concerns.
    public let cpu: Int
    /// The context in which it was seen.
    public let context: CPUContext
    /// The name of the work, or "cross call".
    public let work: String
    /// For how long.
    public let age: Duration
    /// The file and line of the send that last set the bit, where it is known.
    public let sender: String?
    /// How often the same stall has been reported: the distance doubles each time.
    public let occurrence: Int
    /// Whether the watchdog kicked the CPU again.
    public let kickedAgain: Bool

    public var description: String {
      let milliseconds = age.wholeNanoseconds / 1_000_000
      let from = sender.map { ", sent from \($0)" } ?? ""
      let again = kickedAgain ? "; kicked again" : ""
      let what =
        switch kind {
        case .kernelWithoutSafePoint:
          "is in kernel and has reached no safe point for \(milliseconds) ms: \(work) waits"
        case .kickUnanswered: "was kicked \(milliseconds) ms ago and has not looked: \(work) waits"
        case .handlerRunning: "has been running \(work) for \(milliseconds) ms"
        case .helperHoldsPin: "has been pinned by a helper for \(milliseconds) ms"
        case .recovered: "has recovered after \(milliseconds) ms: \(work)"
        }
      return "CPUIsolation: CPU \(cpu) (\(context)) \(what)\(from)\(again) (#\(occurrence))"
    }
  }
}
