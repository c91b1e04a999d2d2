// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Testing

/// Whether the system queues a signal for a thread of this user: the library's are of that kind.
enum QueuedSignals {
  static let areAllowed: Bool = {
    let pendingSignals: UInt32 = 11  // RLIMIT_SIGPENDING, which has no name in Swift
    var limit = rlimit()
    return unsafe getrlimit(__rlimit_resource_t(pendingSignals), &limit) == 0
      && limit.rlim_cur > 0
  }()

  /// The ways to reach a loop that can be tried.
  static let interrupters: [Interrupter] = areAllowed ? [.poll, .signal] : [.poll]
}

extension Trait where Self == ConditionTrait {
  /// For tests of what a signal does once it has come.
  static var needsQueuedSignals: Self {
    .enabled(if: QueuedSignals.areAllowed, "where signals may be queued")
  }
}
