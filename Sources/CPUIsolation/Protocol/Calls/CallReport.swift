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
  /// The deadline came first; the call was taken back, and will not run.
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

/// What became of an immediate call, per CPU: each target is in exactly one of the masks.
///
///     let report = coordinator.call(on: [1, 2], timeout: .milliseconds(5)) { cpu in print(cpu) }
///     if !report.timedOut.isEmpty { … }  // will not run there any more
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: never for CPUs below 128
public struct CallReport: Hashable, Sendable, CustomStringConvertible {
  /// See `CallOutcome.executed`.
  public internal(set) var executed = CPUMask()
  /// See `CallOutcome.queued`.
  public internal(set) var queued = CPUMask()
  /// See `CallOutcome.ranInline`.
  public internal(set) var ranInline = CPUMask()
  /// See `CallOutcome.timedOut`.
  public internal(set) var timedOut = CPUMask()
  /// See `CallOutcome.busy`.
  public internal(set) var busy = CPUMask()
  /// See `CallOutcome.skipped`.
  public internal(set) var skipped = CPUMask()
  /// See `CallOutcome.gone`.
  public internal(set) var gone = CPUMask()
  /// Whether the coordinator was closed, and nothing was called.
  public internal(set) var isClosed = false

  mutating func record(_ outcome: CallOutcome, for cpu: Int) {
    switch outcome {
    case .executed: executed.insert(cpu)
    case .queued: queued.insert(cpu)
    case .ranInline: ranInline.insert(cpu)
    case .timedOut: timedOut.insert(cpu)
    case .busy: busy.insert(cpu)
    case .skipped: skipped.insert(cpu)
    case .gone: gone.insert(cpu)
    case .closed: isClosed = true
    }
  }

  public var description: String {
    if isClosed { return "closed" }
    let parts = [
      ("executed", executed), ("queued", queued), ("ran inline", ranInline),
      ("timed out", timedOut),
      ("busy", busy), ("skipped", skipped), ("gone", gone),
    ]
    let text = parts.filter { !$0.1.isEmpty }.map { "\($0.0) \($0.1)" }
    return text.isEmpty ? "no target" : text.joined(separator: ", ")
  }
}
