// SPDX-License-Identifier: Apache-2.0

extension Coordinator {
  /// What has been counted so far. CPUs are not disturbed: their counters are read where they are.
  ///
  /// - Progress: blocking for the list of senders; wait-free for every CPU
  /// - Context: any thread
  /// - Allocates: yes
  public func statistics() -> Statistics {
    let (senders, known, registered) = registry.withLock {
      (
        $0.senders.map(\.slot).filter(\.isUsed), $0.freshTypes,
        $0.workTypes.map { ($0.name, $0.type.bit) }
      )
    }
    var statistics = Statistics(
      core, senders: senders, types: known, hasWatchdog: configuration.watchdog != nil)
    statistics.registered = registered
    statistics.serviceThreads = serviceThreads()
    return statistics
  }
}
