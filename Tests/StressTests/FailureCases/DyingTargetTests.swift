// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Testing

extension StressTests.FailureCases {
  /// The target's thread ends in the middle of its loop, with bits pending, and another thread takes its slot at once.
  @Test(arguments: [CPUContext.user, .kernel])
  func targetDiesWithBitsPending(_ context: CPUContext) throws {
    let coordinator = try Coordinator.quiet(isolated: [0])
    let runs = SharedCounter()
    let work = try coordinator.register("work") { _ in runs.add() }
    let isThere = SharedFlag()
    let mayDie = SharedFlag()
    let victim = TestThread {
      guard let handle = try? coordinator.attachHandle(to: 0) else { return }
      if context == .user { handle.enterUser() }
      isThere.set()
      while !mayDie.isSet { sched_yield() }
      // It ends without having detached.
    }
    #expect(eventually { isThere.isSet })
    let ticket = coordinator.sendWithTicket(work, to: [0])
    #expect(ticket.report.covered == [0])
    mayDie.set()
    victim.join()
    #expect(coordinator.context(of: 0) == .offline)
    #expect(runs.value == 1, "what was pending runs on the way out")
    #expect(ticket.state(of: 0) == .executed)
    #expect(coordinator.send(work, to: 0) == .gone)
    #expect(runs.value == 1)

    let heir = try coordinator.attach(to: 0)
    heir.inUser {}
    heir.inUser {}
    #expect(runs.value == 1, "the new thread runs nothing that was sent to the old one")
    #expect([.executed, .gone].contains(ticket.state(of: 0)))
    #expect(ticket.wait(until: .executed, timeout: .seconds(20)) == .settled)
    let second = coordinator.sendWithTicket(work, to: [0])
    heir.inUser {}
    #expect(runs.value == 2)
    #expect(second.state(of: 0) == .executed)
    heir.detach()
    let counts = coordinator.statistics()[work]
    #expect(counts.sent == counts.executed + counts.merged + counts.pending + counts.gone)
  }

  /// The target's thread ends with calls in its queue: who waits is told, and records come back.
  @Test func targetDiesWithCallsQueued() throws {
    let coordinator = try Coordinator.quiet(isolated: [0])
    let isThere = SharedFlag()
    let mayDie = SharedFlag()
    let runs = SharedCounter()
    let victim = TestThread {
      guard let handle = try? coordinator.attachHandle(to: 0) else { return }
      handle.enterUser()
      isThere.set()
      while !mayDie.isSet { sched_yield() }
    }
    #expect(eventually { isThere.isSet })
    let call = unsafe CrossCall(context: nil) { _, _ in }
    #expect(coordinator.post(call, on: 0) == .queued)
    #expect(coordinator.post(call, on: 0) == .busy)
    let waiter = TestThread {
      let report = coordinator.call(on: [0], timeout: StressDuration.generous) { _ in runs.add() }
      if report[.executed] == [0] || report[.gone] == [0] { runs.add(10) }
    }
    usleep(2000)
    mayDie.set()
    victim.join()
    waiter.join()
    #expect(runs.value >= 10, "who waited was told that the call ran, or that the CPU has gone")
    let isInFlight = call.isInFlight
    #expect(!isInFlight)
    #expect(coordinator.call(on: [0], timeout: .seconds(20)) { _ in }[.gone] == [0])
  }

  /// CPUs are attached to and given back for ever: memory stays where it was.
  @Test func slotsChangeHandsForEver() throws {
    let coordinator = try Coordinator.quiet(isolated: [0, 1])
    let work = try coordinator.register("work") { _ in }
    func churn(_ rounds: Int) throws {
      for _ in 0..<rounds {
        let local = try coordinator.attach(to: 1)
        coordinator.send(work, to: 1)
        local.inUser {}
        local.detach()
        let sender = try coordinator.makeSender()
        sender.send(work, to: 0)
      }
    }
    try churn(100)
    let growth = try ResidentMemory.settle { try churn(StressDuration.rounds(5_000)) }.growth
    #expect(growth == nil)
  }

  /// The same with threads of the library's own.
  @Test func threadsAreLaunchedForEver() throws {
    let coordinator = try Coordinator.quiet(isolated: [0])
    func churn(_ rounds: Int) throws {
      for _ in 0..<rounds { try coordinator.launch(on: 0) { local in local.inUser {} }.join() }
    }
    try churn(50)
    let growth = try ResidentMemory.settle { try churn(StressDuration.rounds(1_000)) }.growth
    #expect(growth == nil)
  }
}
