// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import Glibc
internal import Synchronization

/// A wait that a task makes, for a thread.
enum TaskWait {
  private final class Answer: Sendable {
    let outcome = Mutex<WaitOutcome?>(nil)
  }

  static func run(_ body: @escaping @Sendable () async throws -> WaitOutcome) -> WaitOutcome {
    let answer = Answer()
    Task.detached {
      let outcome = (try? await body()) ?? .closed([])
      answer.outcome.withLock { $0 = outcome }
    }
    while true {
      if let outcome = answer.outcome.withLock({ $0 }) { return outcome }
      usleep(100)
    }
  }
}
