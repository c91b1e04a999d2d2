// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Testing

extension StressTests.FailureCases {
  /// How two CPUs wait for each other.
  enum Wait: String, Sendable, CaseIterable {
    case interruptSafeCalls, otherCalls, tickets
  }

  /// A waits for B while B waits for A, in user or in kernel: each serves itself while it waits.
  @Test(arguments: [CPUContext.kernel, .user, .guest], Wait.allCases)
  func waitsForEachOther(in context: CPUContext, by wait: Wait) throws {
    for interrupter in [Interrupter.poll, .signal] {
      let coordinator = try Coordinator.quiet(isolated: [0, 1]) {
        $0.isolatedInterrupter = interrupter
      }
      let violations = Violations()
      let work = try coordinator.register("work") { _ in }
      let arrived = SharedCounter()
      let threads = try (0..<2).map { cpu in
        try coordinator.launch(on: cpu) { local in
          let waits = {
            Self.waitForTheOther(coordinator, work, wait, own: cpu, arrived, violations)
          }
          switch context {
          case .user: local.inUser(waits)
          case .guest: local.inGuest(waits)
          default: waits()
          }
          // Nobody leaves while the other one waits.
          arrived.add()
          let until = Until(.seconds(30))
          while arrived.value < 4, !until.isOver {
            local.safePoint()
            sched_yield()
          }
        }
      }
      for thread in threads { thread.join() }
      violations.expectNone("\(interrupter)")
    }
  }

  private static func waitForTheOther(
    _ coordinator: Coordinator, _ work: WorkType, _ wait: Wait, own: Int,
    _ arrived: SharedCounter, _ violations: Violations
  ) {
    arrived.add()
    while arrived.value < 2 { sched_yield() }
    let timeout = Duration.seconds(20)
    switch wait {
    case .tickets:
      let ticket = coordinator.sendWithTicket(work, to: [1 - own])
      let outcome = ticket.wait(until: .executed, timeout: timeout)
      violations.check(outcome == .settled, "CPU \(own)'s ticket: \(outcome)")
    case .interruptSafeCalls, .otherCalls:
      let report = coordinator.call(
        on: [1 - own], timeout: timeout, isInterruptSafe: wait == .interruptSafeCalls
      ) { _ in }
      violations.check(report[.executed] == [1 - own], "CPU \(own)'s call: \(report)")
    }
  }

  /// A, in user, waits for a grace period that B, in kernel, holds up while it waits for a call to A.
  @Test func gracePeriodAgainstCall() throws {
    let coordinator = try Coordinator.quiet(isolated: [0, 1])
    let violations = Violations()
    let isInKernel = SharedFlag()
    let waiter = try coordinator.launch(on: 0) { local in
      local.inUser {
        while !isInKernel.isSet { sched_yield() }
        do {
          try coordinator.synchronize(timeout: .seconds(20)).get()
        } catch {
          violations.note("the grace period: \(error)")
        }
      }
    }
    let caller = try coordinator.launch(on: 1) { local in
      isInKernel.set()
      // In kernel until the call has been executed, and then gone.
      usleep(5000)
      let report = coordinator.call(on: [0], timeout: .seconds(20)) { _ in }
      violations.check(report[.executed] == [0] || report[.gone] == [0], "the call: \(report)")
    }
    waiter.join()
    caller.join()
    violations.expectNone("A in user waits for B's kernel section, in which B calls A")
  }

  /// Two housekeepers, both in kernel, both wait for a grace period: neither is in a section.
  @Test func gracePeriodsOfTwoHousekeepers() throws {
    let coordinator = try Coordinator.quiet(housekeeping: [0, 1])
    let violations = Violations()
    let threads = try (0..<2).map { cpu in
      try coordinator.launch(on: cpu) { local in
        for _ in 0..<50 {
          do {
            try coordinator.synchronize(timeout: StressDuration.generous).get()
          } catch {
            violations.note("CPU \(cpu): \(error)")
          }
        }
      }
    }
    for thread in threads { thread.join() }
    violations.expectNone("two housekeepers")
  }
}
