// SPDX-License-Identifier: Apache-2.0

/// The functions of a probe that calls.
final class ProbeFunctions: Sendable {
  let onEntry: @Sendable (borrowing ProbeRegistry.Hit) -> Void
  let onReturn: (@Sendable (borrowing ProbeRegistry.Hit) -> Void)?

  init(
    onEntry: @escaping @Sendable (borrowing ProbeRegistry.Hit) -> Void,
    onReturn: (@Sendable (borrowing ProbeRegistry.Hit) -> Void)?
  ) {
    self.onEntry = onEntry
    self.onReturn = onReturn
  }
}
