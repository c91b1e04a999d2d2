// SPDX-License-Identifier: Apache-2.0

/// How a CPU is told that something cannot wait.
///
///     configuration.isolatedInterrupter = .signal
///
/// - Progress: wait-free to kick; `.park` and `.signal` make one system call
/// - Context: any thread
/// - Allocates: never
public enum Interrupter: Hashable, Sendable {
  /// The CPU sleeps when it has nothing to do: a kick wakes it, and costs nothing if it does not
  /// sleep. For housekeeping CPUs.
  case park
  /// The hot loop calls `poll()`, one load. The default for isolated CPUs: nothing is taken from
  /// the loop but that load, and the kick takes effect at the next one.
  case poll
  /// A real interrupt by a signal: about 6 µs for the sender and 7 µs taken from the target. Only
  /// work and calls that declare themselves interrupt-safe run in the handler; the rest waits for
  /// the next safe point.
  ///
  /// System calls that the signal finds sleeping restart by themselves or return EINTR, as
  /// `signal(7)` lists.
  case signal
}

extension Interrupter {
  /// Its number in `Reach`.
  var number: UInt64 {
    switch self {
    case .park: 0
    case .poll: 1
    case .signal: 2
    }
  }

  init(number: UInt64) {
    self =
      switch number {
      case 0: .park
      case 2: .signal
      default: .poll
      }
  }
}
