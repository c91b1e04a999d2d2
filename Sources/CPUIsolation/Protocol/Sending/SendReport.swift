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
  /// The target is the caller, in kernel: the work has run.
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

/// What became of a send, per CPU: each target is in exactly one of the masks.
///
///     let report = coordinator.send(flush, to: coordinator.isolated)
///     print(report)  // deferred 2-3, merged 4
///
/// Never one Bool: the kernel's sixth version of this protocol had the meaning of its Bool
/// inverted, lost all deferred work, and had perfect statistics.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: never for CPUs below 128
public struct SendReport: Hashable, Sendable, CustomStringConvertible {
  /// See `SendOutcome.deferred`.
  public internal(set) var deferred = CPUMask()
  /// See `SendOutcome.merged`.
  public internal(set) var merged = CPUMask()
  /// See `SendOutcome.queued`.
  public internal(set) var queued = CPUMask()
  /// See `SendOutcome.interrupted`.
  public internal(set) var interrupted = CPUMask()
  /// See `SendOutcome.ranInline`.
  public internal(set) var ranInline = CPUMask()
  /// See `SendOutcome.ranOnBehalf`.
  public internal(set) var ranOnBehalf = CPUMask()
  /// See `SendOutcome.skipped`.
  public internal(set) var skipped = CPUMask()
  /// See `SendOutcome.gone`.
  public internal(set) var gone = CPUMask()
  /// Why nothing was sent; nil if it was.
  public internal(set) var rejection: SendOutcome.Rejection? = nil

  init(deferred: CPUMask = CPUMask()) { self.deferred = deferred }

  mutating func record(_ outcome: SendOutcome, for cpu: Int) {
    switch outcome {
    case .deferred: deferred.insert(cpu)
    case .merged: merged.insert(cpu)
    case .queued: queued.insert(cpu)
    case .interrupted: interrupted.insert(cpu)
    case .ranInline: ranInline.insert(cpu)
    case .ranOnBehalf: ranOnBehalf.insert(cpu)
    case .skipped: skipped.insert(cpu)
    case .gone: gone.insert(cpu)
    case .rejected(let reason): rejection = reason
    }
  }

  /// The CPUs that run the work, or have run it.
  public var covered: CPUMask {
    deferred.union(merged).union(queued).union(interrupted).union(ranInline).union(ranOnBehalf)
  }

  public var description: String {
    if let rejection { return "rejected (\(rejection))" }
    let parts = [
      ("deferred", deferred), ("merged", merged), ("queued", queued), ("interrupted", interrupted),
      ("ran inline", ranInline), ("ran on behalf", ranOnBehalf), ("skipped", skipped),
      ("gone", gone),
    ]
    let text = parts.filter { !$0.1.isEmpty }.map { "\($0.0) \($0.1)" }
    return text.isEmpty ? "no target" : text.joined(separator: ", ")
  }
}

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
