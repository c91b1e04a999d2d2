// SPDX-License-Identifier: Apache-2.0

extension Coordinator {
  /// Holds the coordinator until the task is cancelled, or somebody closes it; then closes it, and waits for its
  /// threads.
  ///
  ///     try await coordinator.run(closingWithin: .seconds(2))
  ///
  /// For frameworks that run services. ServiceLifecycle's asks for one line:
  ///
  ///     extension Coordinator: @retroactive Service {
  ///       public func run() async throws { try await cancelWhenGracefulShutdown { try await self.run(closingWithin: nil) } }
  ///     }
  ///
  /// The task looks 20 times a second whether the coordinator was closed: nobody wakes it, so that no CPU pays for it.
  ///
  /// - Parameters:
  ///   - timeout: how long to wait for the threads; nil waits for ever, and zero looks once.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Throws: `timedOut` with the CPUs whose threads have not left; `forked`. Not `CancellationError`: that is how it is
  ///   told to end.
  /// - Progress: suspends
  /// - Context: any task that runs on no CPU of this coordinator
  /// - Allocates: as `Task.sleep`
  public func run(
    closingWithin timeout: Duration?, file: StaticString = #fileID, line: UInt = #line
  ) async throws {
    while !isClosed, (try? await Task.sleep(for: .milliseconds(50))) != nil {}
    // A task of its own: the sleeps of one that is cancelled are over at once.
    let closing = Task {
      let until = Deadline(after: timeout)
      var outcome = close(timeout: .zero, file: file, line: line)
      var pause = SleepLadder()
      while case .timedOut = outcome, !until.hasPassed {
        try await pause.sleep()
        outcome = close(timeout: .zero, file: file, line: line)
      }
      return outcome
    }
    try await closing.value.get("close the coordinator")
  }
}
