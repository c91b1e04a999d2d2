// SPDX-License-Identifier: Apache-2.0

/// An outcome as a report files it.
protocol TargetOutcome: Hashable, Sendable {
  /// What the outcomes are called, by their places.
  static var names: [String] { get }
  /// Which of the report's masks is this one's; nil for a refusal, which concerns all targets.
  var place: Int? { get }
  /// What a report says that was refused.
  var refusalText: String { get }
}
