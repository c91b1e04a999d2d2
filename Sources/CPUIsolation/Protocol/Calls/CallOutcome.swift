// SPDX-License-Identifier: Apache-2.0

/// What became of an immediate call on one CPU.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: never
public enum CallOutcome: Hashable, Sendable {
  /// The function has returned there.
  case executed
  /// The call is in the CPU's queue, and nobody waits for it. A thread that leaves runs what is
  /// queued; only what a flood of calls adds after eight rounds of that is given back unrun.
  case queued
  /// The caller is the CPU, and the function has run.
  case ranInline
  /// The time was over first; the call was taken back, and will not run.
  case timedOut
  /// The record is in flight still, or all of a pool are: nothing was sent.
  case busy
  /// The predicate said no.
  case skipped
  /// Nobody is attached, or the CPU left before it ran the call. Of a call that nobody waits for it
  /// may be said although a thread ran it on its way out or in.
  case gone
  /// The coordinator is closed.
  case closed
}

extension CallOutcome: TargetOutcome {
  static let names = [
    "executed", "queued", "ran inline", "timed out", "busy", "skipped", "gone",
  ]

  var place: Int? {
    switch self {
    case .executed: 0
    case .queued: 1
    case .ranInline: 2
    case .timedOut: 3
    case .busy: 4
    case .skipped: 5
    case .gone: 6
    case .closed: nil
    }
  }

  var refusalText: String { "closed" }
}
