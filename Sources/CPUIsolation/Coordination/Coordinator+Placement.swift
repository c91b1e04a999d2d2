// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

extension Coordinator {
  /// Runs the body with the calling thread kept off the processors of isolated CPUs.
  ///
  ///     coordinator.keepingOffIsolatedProcessors {
  ///       while running { report(coordinator.statistics()); sleep(1) }
  ///     }
  ///
  /// A thread that sleeps may be woken on any processor that it may run on, and where that is another
  /// thread's, an interrupt makes room for it. Use it for the threads of the program that are no
  /// CPUs: the main thread, those that print and report. Threads that the body starts stay off as
  /// well. Afterwards the thread may run where it could before.
  ///
  /// Where isolated CPUs have all processors of the process, or the system refuses, nothing
  /// changes.
  ///
  /// - Parameter body: what the thread does meanwhile.
  /// - Returns: what the body returns.
  /// - Throws: what the body throws.
  /// - Progress: blocking
  /// - Context: any thread that is no CPU
  /// - Allocates: yes
  public func keepingOffIsolatedProcessors<Result, Failure: Error>(
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var before = cpi_affinity()
    // Safety: the structure is this function's.
    let isKnown = unsafe CurrentThread.cpu == nil && cpi_get_affinity(&before) == 0
    if isKnown { _ = ServiceThread.place(avoiding: configuration.isolatedProcessors) }
    defer { if isKnown { _ = unsafe cpi_set_affinity(&before) } }
    return try body()
  }
}
