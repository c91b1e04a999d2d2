// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("Backoff")
struct BackoffTests {
  @Test("a waiting loop lets the awaited thread run, whatever it has waited already")
  func givesWay() throws {
    let flag = Flag()
    let step = PlainThread.start {
      var backoff = Backoff()
      var waits = 0
      while !flag.isRaised {
        backoff.wait()
        waits += 1
      }
      return waits
    }
    flag.raise()
    #expect(try step.value() >= 0)
  }

  @Test("the ladder ends in sleep, and no single wait is long")
  func isBounded() {
    var backoff = Backoff()
    for _ in 0..<60 { backoff.wait() }
    let start = ContinuousClock.now
    for _ in 0..<5 { backoff.wait() }
    let elapsed = ContinuousClock.now - start
    // The last step sleeps a millisecond; a sleep is never short, and only the machine makes it
    // long.
    #expect(elapsed >= .milliseconds(5))
    #expect(elapsed < .seconds(5))
  }

  @Test("the first waits only spin")
  func spinsFirst() {
    // The best of many: another thread may have the processor during any of them.
    let best = (0..<50).map { _ in
      var backoff = Backoff()
      let start = ContinuousClock.now
      for _ in 0..<4 { backoff.wait() }
      return ContinuousClock.now - start
    }.min()
    #expect(best! < .milliseconds(1))
  }
}

@Suite("Deadline")
struct DeadlineTests {
  @Test("no deadline never comes")
  func never() {
    let deadline = Deadline(after: nil)
    #expect(!deadline.hasPassed)
    #expect(deadline.remaining == .max)
  }

  @Test("a deadline of nothing, or in the past, has come", arguments: [0, -1, -1_000_000])
  func past(seconds: Int) {
    let deadline = Deadline(after: .seconds(seconds))
    #expect(deadline.hasPassed)
    #expect(deadline.remaining == 0)
  }

  @Test("negative fractions are in the past too")
  func negativeFraction() {
    #expect(Deadline(after: .nanoseconds(-1)).hasPassed)
    #expect(Deadline(after: .seconds(1) - .milliseconds(1_001)).hasPassed)
  }

  @Test(
    "the remaining time is what was asked for, less what has passed",
    arguments: [
      Duration.milliseconds(1_000_500), .seconds(1_000), .seconds(86_400),
      .seconds(1_000) + .nanoseconds(1),
    ])
  func remaining(duration: Duration) {
    let deadline = Deadline(after: duration)
    let first = deadline.remaining
    let second = deadline.remaining
    #expect(!deadline.hasPassed)
    #expect(.nanoseconds(Int64(first)) <= duration)
    #expect(.nanoseconds(Int64(first)) > duration - .seconds(60))
    #expect(second <= first)
  }

  @Test("more seconds than the clock can count are for ever", arguments: [Int64.max, 1 << 40])
  func overflow(seconds: Int64) {
    let deadline = Deadline(after: .seconds(seconds))
    #expect(!deadline.hasPassed)
    #expect(deadline.remaining > 1_000_000_000 * 86_400 * 365)
  }

  @Test("a deadline comes")
  func comes() {
    let deadline = Deadline(after: .milliseconds(2))
    #expect(eventually { deadline.hasPassed })
    #expect(deadline.remaining == 0)
  }
}
