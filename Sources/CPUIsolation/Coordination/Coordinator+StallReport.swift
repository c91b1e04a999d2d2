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
    /// Of a pin that is held: by which thread.
    public internal(set) var thread: Thread? = nil
    /// Of a kick that is not answered: the number of the error with which the system refuses the
    /// signal, such as `EAGAIN` where too many of the user's signals are pending; 0 if it does not.
    public internal(set) var kickError: Int32 = 0
    /// Of a kick that is not answered: the signal, if the program has put another handler in the place
    /// of the library's.
    public internal(set) var foreignSignal: Int32? = nil

    /// A thread, by the system's number and its name.
    public struct Thread: Hashable, Sendable, CustomStringConvertible {
      /// The system's number of it.
      public let id: Int32
      /// Its name; nil if it has ended.
      public let name: String?

      public var description: String { "thread \(id)" + (name.map { " (\($0))" } ?? "") }
    }

    public var description: String {
      let milliseconds = age.wholeNanoseconds / 1_000_000
      let from = sender.map { ", sent from \($0)" } ?? ""
      let again = kickedAgain ? "; kicked again" : ""
      let holder = thread?.description ?? "a helper"
      let what =
        switch kind {
        case .kernelWithoutSafePoint:
          "is in kernel and has reached no safe point for \(milliseconds) ms: \(work) waits"
        case .kickUnanswered: "was kicked \(milliseconds) ms ago and has not looked: \(work) waits"
        case .handlerRunning: "has been running \(work) for \(milliseconds) ms"
        case .helperHoldsPin: "has been pinned by \(holder) for \(milliseconds) ms"
        case .recovered: "has recovered after \(milliseconds) ms: \(work)"
        }
      return
        "CPUIsolation: CPU \(cpu) (\(context)) \(what)\(from)\(again)\(cause) (#\(occurrence))"
    }

    /// Why a kick cannot be answered, as far as that can be seen.
    private var cause: String {
      let refusal =
        kickError == 0
        ? ""
        : "; the system refuses the signal: \(IsolationError.describe(kickError))"
          + (kickError == 11 ? " (RLIMIT_SIGPENDING limits the user's pending signals)" : "")
      return refusal
        + (foreignSignal.map { "; signal \($0) has a handler that is not this library's" } ?? "")
    }
  }
}
