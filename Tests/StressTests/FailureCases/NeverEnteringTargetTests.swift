// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Testing

extension StressTests.FailureCases {
  /// An isolated thread spins in user for ever.
  private func withSpinner(
    _ adjust: (inout Coordinator.Configuration) -> Void = { _ in },
    polls: Bool = false, _ body: (Coordinator) throws -> Void
  ) throws {
    let coordinator = try Coordinator.quiet(isolated: [0], adjust)
    let isThere = SharedFlag()
    let stop = SharedFlag()
    let thread = try coordinator.launch(on: 0) { local in
      local.inUser {
        isThere.set()
        while !stop.isSet {
          if polls { local.poll() }
          usleep(10)
        }
      }
    }
    #expect(eventually { isThere.isSet })
    defer {
      stop.set()
      thread.join()
    }
    try body(coordinator)
  }

  /// It promised to look at nothing: nobody waits for it, but who wants it to have run is told that it has not.
  @Test func targetNeverEnters() throws {
    try withSpinner { coordinator in
      let runs = SharedCounter()
      let work = try coordinator.register("work") { _ in runs.add() }
      let ticket = coordinator.sendWithTicket(work, to: [0])
      #expect(ticket.report[.deferred] == [0])
      #expect(ticket.wait(until: .covered, timeout: .seconds(20)) == .settled)
      #expect(ticket.wait(until: .executed, timeout: .milliseconds(5)) == .timedOut([0]))
      #expect(coordinator.call(on: [0], timeout: .milliseconds(5)) { _ in }[.timedOut] == [0])
      try coordinator.synchronize(timeout: .seconds(20)).get()
      #expect(try coordinator.unregister(work, timeout: .seconds(20)) == [0])
      #expect(runs.value == 0)
    }
  }

  /// The age of a deferral is bounded where its type asks for it.
  @Test(arguments: [true, false])
  func deferralGrowsOld(onBehalf: Bool) throws {
    try withSpinner({ $0.watchdog?.interval = .milliseconds(1) }, polls: !onBehalf) { coordinator in
      let runs = SharedCounter()
      var options = WorkType.Options()
      options.maximumAge = .milliseconds(10)
      options.mayRunOnBehalf = onBehalf
      let work = try coordinator.register("aged", options: options) { _ in runs.add() }
      var sent = 0
      for _ in 1...5 {
        // What finds the CPU still in kernel, after the last run, runs there and does not grow old.
        var outcome: SendOutcome
        repeat {
          outcome = coordinator.send(work, to: 0)
          sent += 1
          #expect(outcome == .deferred || outcome == .queued)
          try #require(eventually { runs.value == sent })
        } while outcome != .deferred
      }
      #expect(eventually { coordinator.statistics()[work].executed == UInt64(sent) })
      // More where the watchdog looks again before the CPU has answered.
      #expect(eventually { coordinator.statistics()[work].escalated >= 5 })
      let counts = coordinator.statistics()[work]
      #expect(counts.sent == UInt64(sent) && counts.merged == 0 && counts.pending == 0)
    }
  }
}
