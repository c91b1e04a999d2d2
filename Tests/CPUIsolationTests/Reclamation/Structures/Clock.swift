// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// One order of all begins and ends.
final class Clock: Sendable {
  private let time = Atomic<UInt64>(0)
  func tick() -> UInt64 { time.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue }
}
