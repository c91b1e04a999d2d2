// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Testing

extension StressTests.FailureCases {
  /// A handler does not come back: the watchdog says which, where and for how long, and nobody else notices.
  @Test func handlerNeverReturns() throws {
    let reports = Guarded<[Coordinator.StallReport]>([])
    let coordinator = try Coordinator.quiet(isolated: [0, 1]) {
      $0.watchdog?.interval = .milliseconds(2)
      $0.watchdog?.stallThreshold = .milliseconds(40)
      $0.watchdog?.report = { report in reports.withLock { $0.append(report) } }
    }
    let isStuck = SharedFlag()
    let mayReturn = SharedFlag()
    let stop = SharedFlag()
    let ran = SharedCounter()
    let stuck = try coordinator.register("stuck") { _ in
      isStuck.set()
      while !mayReturn.isSet { sched_yield() }
    }
    let quick = try coordinator.register("quick") { _ in ran.add() }
    let threads = try (0..<2).map { cpu in
      try coordinator.launch(on: cpu) { local in
        while !stop.isSet {
          local.inUser {
            sched_yield()
            local.poll()
          }
        }
      }
    }
    coordinator.send(stuck, to: 0)
    #expect(eventually { isStuck.isSet })

    let ticket = coordinator.sendWithTicket(quick, to: [0, 1])
    guard case .timedOut(let late) = ticket.wait(until: .executed, timeout: .milliseconds(50))
    else {
      Issue.record("the handler has not returned")
      return
    }
    #expect(late.contains(0))
    #expect(eventually { ticket.unsettled(.executed) == [0] })
    #expect(coordinator.call(on: [1], timeout: StressDuration.generous) { _ in }[.executed] == [1])
    #expect(coordinator.call(on: [0], timeout: .milliseconds(5)) { _ in }[.timedOut] == [0])
    #expect(throws: IsolationError.self) {
      try coordinator.synchronize(timeout: .milliseconds(5)).get()
    }

    func first(_ kind: Coordinator.StallReport.Kind, _ work: String) -> Coordinator.StallReport? {
      reports.withLock { $0.first { $0.kind == kind && $0.work == work } }
    }
    #expect(eventually { first(.handlerRunning, "stuck") != nil })
    let report = try #require(first(.handlerRunning, "stuck"))
    #expect(report.cpu == 0)
    #expect(report.context == .kernel)
    #expect(report.age >= .milliseconds(40))
    #expect(report.sender?.contains("StuckHandlerTests") == true, "\(report)")
    // It backs off: the second report comes after twice the time.
    #expect(
      eventually {
        reports.withLock { $0.contains { $0.kind == .handlerRunning && $0.occurrence == 2 } }
      })
    let wrong = reports.withLock { $0.filter { $0.cpu == 1 && $0.kind == .handlerRunning } }
    #expect(wrong.isEmpty, "CPU 1 has done nothing wrong")

    mayReturn.set()
    #expect(ticket.wait(until: .executed, timeout: StressDuration.generous) == .settled)
    #expect(eventually { first(.recovered, "stuck") != nil })
    stop.set()
    for thread in threads { thread.join() }
    #expect(ran.value == 2)
  }
}
