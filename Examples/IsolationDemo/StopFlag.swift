// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Tells threads to end.
final class StopFlag: Sendable {
  private let flag = Atomic<Bool>(false)
  private let kept = Atomic<UInt64>(0)

  @inline(__always)
  var isSet: Bool { flag.load(ordering: .relaxed) }

  func set() { flag.store(true, ordering: .relaxed) }

  /// Uses the result of a loop, which the optimiser would delete otherwise.
  func keep(_ value: UInt64) { kept.wrappingAdd(value, ordering: .relaxed) }
}
