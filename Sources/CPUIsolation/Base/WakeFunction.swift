// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

/// How a thread is woken that sleeps where no futex reaches it.
final class WakeFunction: Sendable {
  private let function: @Sendable () -> Void
  /// The fork since which the thread is there: it is not in a child.
  private let forks = cpi_fork_generation()

  init(_ function: @escaping @Sendable () -> Void) { self.function = function }

  var isForked: Bool { forks != cpi_fork_generation() }

  func call() {
    if !isForked { function() }
  }
}
