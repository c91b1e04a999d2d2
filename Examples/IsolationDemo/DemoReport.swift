// SPDX-License-Identifier: Apache-2.0

/// Everything that a run found out.
struct DemoReport: Equatable, Sendable {
  var modes: [ModeReport]
  /// Nil if the run ended before it, or was broken on purpose.
  var badCase: BadCaseReport?

  /// Whether no send was lost, nothing illegal was seen, all counts add up, and the trace and
  /// the kernel tell the same ones.
  var isSound: Bool {
    modes.allSatisfy {
      $0.lost == 0 && $0.legality.violations == 0 && $0.isBalanced && $0.disagreement == nil
    }
  }
}

/// Nanoseconds per round trip of a loop that does nothing but enter and leave.
struct BadCaseReport: Equatable, Sendable {
  var idle: Double
  var storm: Double
}
