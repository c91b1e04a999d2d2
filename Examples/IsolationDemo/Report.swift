// SPDX-License-Identifier: Apache-2.0

/// Everything that a run found out.
struct Report: Equatable, Sendable {
  var modes: [ModeReport]
  var badCase: BadCaseReport

  /// Whether no send was lost, all counts add up, and the trace tells the same ones.
  var isSound: Bool {
    modes.allSatisfy { $0.lost == 0 && $0.isBalanced && $0.disagreement == nil }
  }
}

/// Nanoseconds per round trip of a loop that does nothing but enter and leave.
struct BadCaseReport: Equatable, Sendable {
  var idle: Double
  var storm: Double
}
