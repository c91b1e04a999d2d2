// SPDX-License-Identifier: Apache-2.0

extension Coordinator.StallReport {
  /// How bad it is, in the words of logging systems.
  public enum Severity: Hashable, Sendable {
    /// It is over.
    case notice
    /// Work waits that should have run.
    case warning
    /// A thread is stuck in a handler, and holds a CPU up.
    case error
  }

  /// How bad it is.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var severity: Severity {
    switch kind {
    case .recovered: .notice
    case .kernelWithoutSafePoint, .kickUnanswered: .warning
    case .handlerRunning, .helperHoldsPin: .error
    }
  }

  /// What the description says, by key, for structured logs: `kind`, `cpu`, `context`, `work`, `age_ms` and
  /// `occurrence`, and where they are known `sender`, `thread`, `kicked_again`, `kick_error` and `foreign_signal`.
  ///
  ///     logger.log(level: …, "stall", metadata: report.metadata.mapValues { .string($0) })
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: a dictionary
  public var metadata: [String: String] {
    var metadata = [
      "kind": "\(kind)", "cpu": "\(cpu)", "context": context.description, "work": work,
      "age_ms": "\(age.wholeNanoseconds / 1_000_000)", "occurrence": "\(occurrence)",
    ]
    metadata["sender"] = sender
    metadata["thread"] = thread?.description
    if kickedAgain { metadata["kicked_again"] = "true" }
    if kickError != 0 { metadata["kick_error"] = IsolationError.describe(kickError) }
    metadata["foreign_signal"] = foreignSignal.map { "\($0)" }
    return metadata
  }
}
