// SPDX-License-Identifier: Apache-2.0

/// What became of one send to one CPU.
///
///     switch sender.send(flush, to: 3) {
///     case .deferred, .merged: break  // runs before CPU 3 can see anything stale
///     case .queued: …  // CPU 3 is in kernel: runs at its next safe point
///     case .gone: …  // nobody is there
///     default: break
///     }
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: never
public enum SendOutcome: Hashable, Sendable {
  /// The bit was set, the target is outside kernel: it runs the work before it can observe anything
  /// older.
  case deferred
  /// The work was pending already; that run covers this send.
  case merged
  /// The target is in kernel: it runs the work at its next safe point, exit or entry. To know when,
  /// use a ticket.
  case queued
  /// The bit was set and the target was kicked.
  case interrupted
  /// The target is the caller, in kernel: the work has run. What is sent through a `LocalCPU` or a
  /// `Sender` does; through a coordinator or a handle, which a signal handler may have, only what is
  /// interrupt-safe.
  case ranInline
  /// The target is outside kernel, and the caller ran the work for it.
  case ranOnBehalf
  /// The predicate said no.
  case skipped
  /// Nobody is attached to the target, or it detached meanwhile, in which case the work may have
  /// run.
  case gone
  /// Nothing was sent, to anybody.
  case rejected(Rejection)

  /// Why nothing was sent.
  public enum Rejection: Hashable, Sendable {
    /// The coordinator is closed.
    case closed
    /// The work type has been unregistered, or belongs to another coordinator.
    case unregistered
  }
}

extension SendOutcome: TargetOutcome {
  static let names = [
    "deferred", "merged", "queued", "interrupted", "ran inline", "ran on behalf", "skipped", "gone",
  ]

  var place: Int? {
    switch self {
    case .deferred: 0
    case .merged: 1
    case .queued: 2
    case .interrupted: 3
    case .ranInline: 4
    case .ranOnBehalf: 5
    case .skipped: 6
    case .gone: 7
    case .rejected: nil
    }
  }

  var refusalText: String {
    guard case .rejected(let reason) = self else { return "" }
    return "rejected (\(reason))"
  }
}

extension WorkType {
  /// How soon a send has to take effect.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public enum Urgency: Hashable, Sendable {
    /// When the target enters kernel: the reason for this library.
    case deferrable
    /// At once: the target is kicked whatever its context; the sender itself runs its own work inline
    /// in kernel, and at its next entry elsewhere. That is a kernel without deferral, kept to compare
    /// with.
    case immediate
    /// At once and without disturbing the target: if it is outside kernel, the caller runs the work
    /// for it, where the type allows that. Else as `deferrable`.
    case onBehalf
  }
}
