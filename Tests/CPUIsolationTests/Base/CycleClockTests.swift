// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("CycleClock")
struct CycleClockTests {
  @Test("the counter does not run backwards on a thread")
  func ascends() {
    var last = CycleClock.now
    for _ in 0..<10_000 {
      let now = CycleClock.now
      #expect(now >= last)
      last = now
    }
  }

  @Test("the rate is one that processors have, and stays")
  func frequency() {
    let frequency = CycleClock.frequency
    #expect(frequency > 1_000_000)
    #expect(frequency < 20_000_000_000)
    #expect(CycleClock.frequency == frequency)
  }

  @Test("the rate agrees with the monotonic clock")
  func agrees() {
    // A preemption between the two clocks spoils a measurement; among many one is clean.
    let isClean = eventually {
      let (start, cycles) = (ContinuousClock.now, CycleClock.now)
      while ContinuousClock.now - start < .milliseconds(10) {}
      let measured = CycleClock.duration(ofCycles: CycleClock.now - cycles)
      return abs(measured / (ContinuousClock.now - start) - 1) < 0.02
    }
    #expect(isClean)
  }

  @Test(
    "durations survive the way to cycles and back",
    arguments: [
      Duration.zero, .nanoseconds(100), .microseconds(1), .milliseconds(10), .seconds(1),
      .seconds(86_400) + .nanoseconds(1),
    ])
  func conversion(duration: Duration) {
    let back = CycleClock.duration(ofCycles: CycleClock.cycles(of: duration))
    #expect(back <= duration)
    #expect(back >= duration - .microseconds(1))
  }

  @Test("what is negative takes no cycles", arguments: [Duration.seconds(-1), .nanoseconds(-1)])
  func negative(duration: Duration) {
    #expect(CycleClock.cycles(of: duration) == 0)
  }

  @Test("what is too long is clamped")
  func clamped() {
    #expect(CycleClock.cycles(of: .seconds(Int64.max)) == .max)
    #expect(CycleClock.duration(ofCycles: .max) > .seconds(86_400))
  }
}
