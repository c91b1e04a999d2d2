// SPDX-License-Identifier: Apache-2.0

extension Coordinator {
  /// What has been counted so far. CPUs are not disturbed: their counters are read where they are.
  ///
  /// - Progress: blocking for the list of senders; wait-free for every CPU
  /// - Context: any thread
  /// - Allocates: yes
  public func statistics() -> Statistics {
    let senders = registry.withLock { $0.senders.map(\.slot) }
    var statistics = Statistics(
      core, senders: senders, hasWatchdog: configuration.watchdog != nil)
    statistics.serviceThreads = serviceThreads()
    return statistics
  }
}
