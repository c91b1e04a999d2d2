// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// How the load reaches isolated CPUs: the two halves of the experiment.
enum Mode: String, CaseIterable, Sendable {
  /// Every send kicks its target by a signal: a kernel without deferral.
  case immediate
  /// What may be deferred waits for the target's next entry.
  case deferred

  var urgency: WorkType.Urgency {
    switch self {
    case .immediate: .immediate
    case .deferred: .deferrable
    }
  }
}
