// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

/// The processor's cycle counter as a clock: about 8 ns a look, no system call.
///
///     let start = CycleClock.now
///     step()
///     let took = CycleClock.duration(ofCycles: CycleClock.now - start)
///
/// The rate is measured against the monotonic clock at first use, over about 12 ms; use it once
/// before a loop that must not be delayed. Good for intervals, not for the time of day.
///
/// - Progress: wait-free after the first use
/// - Context: any thread; not in a signal handler before the first use
/// - Allocates: never
package enum CycleClock {
  /// The counter now.
  package static var now: UInt64 { cpi_cycles() }

  /// Ticks per second.
  package static var frequency: UInt64 { cpi_cycles_per_second() }

  /// How long so many ticks take.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  package static func duration(ofCycles cycles: UInt64) -> Duration {
    .nanoseconds(Int64(clamping: UInt128(cycles) * 1_000_000_000 / UInt128(frequency)))
  }

  /// How many ticks a duration takes.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  package static func cycles(of duration: Duration) -> UInt64 {
    let whole = UInt128(duration.wholeNanoseconds)
    return UInt64(clamping: whole * UInt128(frequency) / 1_000_000_000)
  }
}
