// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

extension Coordinator.Statistics {
  /// A thread of the library's own, and where it runs.
  ///
  ///     for thread in coordinator.statistics().serviceThreads where !thread.keepsOffIsolated {
  ///       log.warning("\(thread.name) may run on \(thread.processors)")
  ///     }
  ///
  /// It has all signals blocked and the ordinary scheduling class, whoever started it.
  ///
  /// - Progress: wait-free to read
  /// - Context: any thread
  /// - Allocates: never
  public struct ServiceThread: Hashable, Sendable {
    /// The name that `top -H` shows.
    public let name: String
    /// The system's number of the thread.
    public let threadID: Int32
    /// The processors that the system lets it run on now.
    public let processors: CPUMask
    /// Whether none of these is one that an isolated CPU of this coordinator is bound to.
    public let keepsOffIsolated: Bool
  }
}

extension Coordinator {
  /// Where the watchdog, the threads of callbacks and the process's reclaimer run, as the system
  /// says.
  func serviceThreads() -> [Statistics.ServiceThread] {
    let isolated = configuration.isolatedProcessors
    var threads = registry.withLock { $0.services.map { ($0.key, $0.value.name) } }
    if let watchdog = watchdog?.serviceThread {
      threads.append((watchdog.id, watchdog.thread.name))
    }
    if let reclaimer = HazardReclaimer.shared.serviceThread {
      threads.append((reclaimer.id, "hazard-reclaim"))
    }
    return threads.sorted { $0.0 < $1.0 }.compactMap { id, name in
      // A thread that has ended since is nowhere.
      guard let allowed = ProcessorSet.allowed(forThread: id) else { return nil }
      return Statistics.ServiceThread(
        name: name, threadID: id, processors: CPUMask(allowed.map(Int.init)),
        keepsOffIsolated: !allowed.contains(where: isolated.contains))
    }
  }
}
