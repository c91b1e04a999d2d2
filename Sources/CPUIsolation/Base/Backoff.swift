// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

#if ModelChecking
  internal import ModelEngine
#endif

/// A bounded ladder for waiting loops: spin, then give the processor away, then sleep a little
/// longer each time.
///
/// Spinning alone would never let the awaited thread run where CPUs outnumber processors; sleeping
/// at once would turn a wait of 100 ns into one of 60 µs.
package struct Backoff {
  private var step: UInt32 = 0

  package init() {}

  /// The last step that spins; step n spins 2ⁿ times.
  private static let lastSpin: UInt32 = 7
  /// The last step that yields.
  private static let lastYield: UInt32 = 27
  /// The longest sleep: a waiter notices within this time.
  private static let longestSleep: UInt64 = 1_000_000

  /// Waits a little, longer than the time before.
  package mutating func wait() {
    #if ModelChecking
      if let engine = ModelEngine.current { return engine.wait() }
    #endif
    if step <= Self.lastSpin {
      for _ in 0..<(1 << step) { cpi_pause() }
    } else if step <= Self.lastYield {
      cpi_yield()
    } else {
      let doublings = min(step - Self.lastYield, 8)
      cpi_sleep_nanoseconds(min(10_000 << UInt64(doublings), Self.longestSleep))
    }
    if step < Self.lastYield + 8 { step += 1 }
  }
}

/// A point in monotonic time up to which a wait lasts.
struct Deadline {
  private let nanoseconds: UInt64

  /// `duration` from now; nil never comes.
  init(after duration: Duration?) {
    guard let duration else {
      nanoseconds = .max
      return
    }
    // At most 292 years: the sum is a number, and for ever.
    nanoseconds = cpi_monotonic_nanoseconds() &+ duration.wholeNanoseconds
  }

  /// Whether the point has come.
  var hasPassed: Bool {
    nanoseconds != .max && cpi_monotonic_nanoseconds() >= nanoseconds
  }

  /// How long until then, in nanoseconds; 0 if it has come and `.max` if it never does.
  var remaining: UInt64 {
    guard nanoseconds != .max else { return .max }
    let now = cpi_monotonic_nanoseconds()
    return now >= nanoseconds ? 0 : nanoseconds - now
  }
}
