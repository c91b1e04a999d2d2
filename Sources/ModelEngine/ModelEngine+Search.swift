// SPDX-License-Identifier: Apache-2.0

extension ModelEngine {
  /// In which order schedules are tried.
  public enum Search: Sendable {
    /// All of them, up to the bound on preemptions.
    case exhaustive
    /// The same by levels, each of which allows one preemption more and goes through those below
    /// again: most faults need few.
    case deepening
    /// So many of them, each decision drawn by lot, preemptions without bound.
    case random(seed: UInt64, executions: Int)
    /// So many of them by priorities that are drawn by lot and change at so many steps: a sample
    /// that favours the few switches at the right places which most faults need.
    case priorities(seed: UInt64, changes: Int, executions: Int)

    var strategy: Choices.Strategy {
      switch self {
      case .exhaustive, .deepening: .depthFirst
      case .random(let seed, _): .random(seed: seed)
      case .priorities(let seed, let changes, _): .priorities(seed: seed, changes: changes)
      }
    }

    var executions: Int {
      switch self {
      case .exhaustive, .deepening: .max
      case .random(_, let executions), .priorities(_, _, let executions): executions
      }
    }
  }
}
