// SPDX-License-Identifier: Apache-2.0

import Glibc

/// How long a stress case runs.
enum StressDuration {
  /// The seconds that the environment asks for.
  static let requested: Double? = unsafe getenv("CPUISOLATION_STRESS_SECONDS")
    .flatMap { unsafe Double(String(cString: $0)) }

  /// The time of a case that takes `share` seconds where nobody asks for more: half of that in debug
  /// builds, of which the continuous integration runs three.
  static func ofCase(_ share: Double) -> Duration {
    #if DEBUG
      .seconds(requested ?? share / 2)
    #else
      .seconds(requested ?? share)
    #endif
  }

  /// A number of rounds that grows with the time asked for.
  static func rounds(_ usual: Int) -> Int { usual * max(1, Int(requested ?? 1)) }

  /// What a condition may take that has to come true in the end, on a loaded machine and under a sanitizer.
  static let generous = Duration.seconds(120)

  static var limitInMinutes: Int { 10 + Int(requested ?? 0) / 4 }

  /// Whether ThreadSanitizer watches: it slows everything down by a factor of ten, and holds signals back until the
  /// thread makes a call that it intercepts.
  static var isThreadSanitized: Bool {
    #if CPUISOLATION_THREAD_SANITIZER
      true
    #else
      false
    #endif
  }
}

/// A point in time at which a loop ends.
struct Until {
  private let end: ContinuousClock.Instant

  init(_ duration: Duration) { end = .now + duration }

  var isOver: Bool { ContinuousClock.now >= end }
}

/// Waits for a condition, giving the processor away; false if it has not come true in a generous time.
func eventually(within limit: Duration = StressDuration.generous, _ condition: () -> Bool) -> Bool {
  let until = Until(limit)
  while !condition() {
    if until.isOver { return condition() }
    sched_yield()
  }
  return true
}
