// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Counts from any thread, also in a signal handler.
final class Counter: Sendable {
  private let count = Atomic<Int>(0)

  var value: Int { count.load(ordering: .acquiring) }
  func increment() { count.wrappingAdd(1, ordering: .acquiringAndReleasing) }

  /// The C function form of a handler, for work that has to be interrupt-safe.
  static let function: @convention(c) (UnsafeMutableRawPointer?, Int) -> Void = { context, _ in
    unsafe Unmanaged<Counter>.fromOpaque(context!)._withUnsafeGuaranteedRef { $0.increment() }
  }

  /// The context of `function`; the counter has to outlive its work.
  var context: UnsafeMutableRawPointer { unsafe Unmanaged.passUnretained(self).toOpaque() }
}
