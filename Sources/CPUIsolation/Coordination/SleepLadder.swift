// SPDX-License-Identifier: Apache-2.0

/// Growing pauses of a task that waits for something that nobody announces.
struct SleepLadder {
  private var microseconds = 20

  mutating func sleep() async throws {
    try await Task.sleep(for: .microseconds(microseconds))
    microseconds = min(microseconds * 2, 1_000)
  }
}
