// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// A condition that one thread makes true and others wait for.
final class Flag: Sendable {
  private let isSet = Atomic<Bool>(false)

  var isRaised: Bool { isSet.load(ordering: .acquiring) }
  func raise() { isSet.store(true, ordering: .releasing) }

  /// Waits, without a system call that a signal handler must not make; gives up after a minute.
  func wait() {
    let limit = ContinuousClock.now + .seconds(60)
    while !isRaised, ContinuousClock.now < limit { Flag.pause() }
  }

  /// Waits asleep: for who must not look busy. Does not give up.
  func sleepUntilRaised() {
    while !isRaised { usleep(1000) }
  }

  /// One step of a waiting loop: the machine may have fewer processors than the test has threads.
  static func pause() { sched_yield() }
}
