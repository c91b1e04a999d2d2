// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("Duration+Nanoseconds")
struct DurationTests {
  @Test("every duration is a number of nanoseconds: none below zero, none that a clock cannot add")
  func conversion() {
    #expect(Duration.nanoseconds(1).wholeNanoseconds == 1)
    #expect(Duration(secondsComponent: 0, attosecondsComponent: 999_999_999).wholeNanoseconds == 0)
    #expect(Duration.milliseconds(1_500).wholeNanoseconds == 1_500_000_000)
    #expect(Duration.zero.wholeNanoseconds == 0)
    #expect(Duration.nanoseconds(-1).wholeNanoseconds == 0)
    #expect(Duration.seconds(Int64.min).wholeNanoseconds == 0)
    #expect(Duration.nanoseconds(Int64.max).wholeNanoseconds == UInt64(Int64.max))
    #expect(Duration.seconds(Int64.max).wholeNanoseconds == UInt64(Int64.max))
    #expect(
      Duration(secondsComponent: .max, attosecondsComponent: 999_999_999_999_999_999)
        .wholeNanoseconds == UInt64(Int64.max))
  }

  @Test("a deadline after a negative time has passed, and one after the longest never does")
  func deadlines() {
    #expect(Deadline(after: .seconds(-1)).hasPassed)
    #expect(Deadline(after: .seconds(Int64.min)).hasPassed)
    let last = Deadline(after: .seconds(Int64.max))
    #expect(!last.hasPassed)
    #expect(last.remaining > 1 << 62)
    #expect(Deadline(after: nil).remaining == .max)
  }

  static let extremes: [Duration] = [.seconds(Int64.max), .seconds(Int64.min), .zero]

  @Test("every duration is legal at every door that takes one", arguments: extremes)
  func doors(duration: Duration) throws {
    let positive = duration > .zero ? duration : .milliseconds(1)
    let coordinator = try Coordinator(
      .init(
        housekeeping: [0], isolated: [1], pinning: .none,
        watchdog: .init(interval: positive, stallThreshold: positive)))
    let work = try coordinator.register(
      "work", options: .init(mayRunOnBehalf: true, maximumAge: positive)
    ) { _ in }
    let thread = try coordinator.launch(
      on: 1, options: .init(timerSlack: duration)
    ) { cpu in cpu.inUser { while !coordinator.isClosed { cpu.poll() } } }
    #expect(coordinator.call(on: [1], timeout: positive) { _ in }[.executed].count <= 1)
    let ticket = coordinator.sendWithTicket(work, to: [1])
    #expect(ticket.wait(until: .covered, timeout: duration) == .settled)
    #expect(coordinator.synchronize(timeout: duration) == .settled)
    let domain = try HazardDomain(reclamation: .explicit)
    #expect(domain.barrier(timeout: duration) == .settled)
    let callbacks = try GracePeriodCallbacks(coordinator, capacity: 2, runsThread: false)
    #expect(callbacks.close(timeout: duration) == .settled)
    let keys = try StaticKeys(coordinator)
    let key = try keys.makeKey("key", isEnabled: true)
    try keys.disable(key, after: duration)
    try keys.applyDelayed()
    var meter = NoiseMeter(threshold: duration)
    meter.sample()
    _ = try coordinator.unregister(work, timeout: positive)
    if duration > .zero { #expect(coordinator.close(timeout: duration) == .settled) }
    coordinator.close(timeout: .seconds(30))
    thread.join()
  }
}
