// SPDX-License-Identifier: Apache-2.0

import Dispatch

/// Something that another thread does for a test, and what it returned.
final class Step<Result: Sendable>: Sendable {
  /// A step that did not end in the time that any machine needs.
  struct TookTooLong: Error {}

  private let result = Guarded<Result?>(nil)
  private let done = DispatchSemaphore(value: 0)

  /// Whether the step has ended.
  var isOver: Bool { result.withLock { $0 != nil } }

  /// What the step returned, once it has.
  func value(within timeout: DispatchTimeInterval = .seconds(120)) throws -> Result {
    guard done.wait(timeout: .now() + timeout) == .success else { throw TookTooLong() }
    done.signal()
    return result.withLock { $0! }
  }

  func finish(_ value: Result) {
    result.withLock { $0 = value }
    done.signal()
  }
}
