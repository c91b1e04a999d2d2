// SPDX-License-Identifier: Apache-2.0

/// What one half of the experiment found out.
struct ModeReport: Equatable, Sendable {
  var mode: Mode
  var callbacks: [CallbackCounts]
  /// Sends that no run covered, according to the witness.
  var lost: UInt64
  /// The greatest age of pending work that anybody met, exact to the watchdog's interval.
  var oldestPending: Duration
  /// One per isolated CPU.
  var noise: [Noise]
  /// Entries and exits of the isolated CPUs.
  var transitions: UInt64
  /// The IPIs once more, counted from the trace.
  var traced: IPICounts

  var ipis: UInt64 { callbacks.reduce(0) { $0 + $1.ipis } }
  var isBalanced: Bool { callbacks.allSatisfy(\.isBalanced) }
  var agreement: IPICounts.Agreement { traced.agreement(with: callbacks) }

  /// What the trace and the statistics disagree about; nil if they do not, or nobody can tell.
  var disagreement: String? {
    guard case .different(let counts) = agreement else { return nil }
    return "\(mode.rawValue): the trace and the statistics count different IPIs ("
      + counts.joined(separator: "; ") + ")"
  }
}
