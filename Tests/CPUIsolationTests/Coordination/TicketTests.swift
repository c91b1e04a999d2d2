// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("Ticket")
struct TicketTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread
  let runs = Counter()
  let work: WorkType

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 3))
    cpu = try ScriptedThread(coordinator, on: 1)
    work = try coordinator.register(counting: runs)
  }

  @Test("a deferral is covered at once, and executed at the entry")
  func deferred() throws {
    try cpu.enterUser()
    let ticket = coordinator.sendWithTicket(work, to: [1])
    #expect(ticket.report[.deferred] == [1])
    #expect(ticket.state(of: 1) == .covered)
    #expect(ticket.unsettled(.covered).isEmpty)
    #expect(ticket.unsettled(.executed) == [1])
    #expect(ticket.wait(until: .covered) == .settled)
    #expect(ticket.wait(until: .executed, timeout: .milliseconds(20)) == .timedOut([1]))
    try cpu.enterKernel()
    #expect(ticket.state(of: 1) == .executed)
    #expect(ticket.wait(until: .executed) == .settled)
    try cpu.end()
  }

  @Test("a queued send is pending until the safe point")
  func queued() throws {
    let ticket = coordinator.sendWithTicket(work, to: [1])
    #expect(ticket.report[.queued] == [1])
    #expect(ticket.state(of: 1) == .pending)
    #expect(ticket.wait(until: .covered, timeout: .milliseconds(20)) == .timedOut([1]))
    try cpu.safePoint()
    #expect(ticket.state(of: 1) == .executed)
    #expect(ticket.wait(until: .executed, timeout: .zero) == .settled)
    try cpu.end()
  }

  @Test("a merged ticket is settled by the run that covers it, an earlier run is not enough")
  func merged() throws {
    try cpu.enterUser()
    coordinator.send(work, to: 1)
    try cpu.enterKernel()
    #expect(runs.value == 1)
    try cpu.enterUser()
    coordinator.send(work, to: 1)
    let ticket = coordinator.sendWithTicket(work, to: [1])
    #expect(ticket.report[.merged] == [1])
    #expect(ticket.state(of: 1) == .covered)
    try cpu.enterKernel()
    #expect(ticket.state(of: 1) == .executed)
    try cpu.end()
  }

  @Test("a run that had begun before the send does not settle it")
  func begunBefore() throws {
    let (begun, mayEnd) = (Flag(), Flag())
    let slow = try coordinator.register("slow") { _ in
      begun.raise()
      mayEnd.wait()
    }
    try cpu.enterUser()
    coordinator.send(slow, to: 1)
    let entry = cpu.start { $0.enterKernel() }
    begun.wait()
    let ticket = coordinator.sendWithTicket(slow, to: [1])
    #expect(ticket.report[.queued] == [1])
    #expect(ticket.state(of: 1) == .pending)
    mayEnd.raise()
    try entry.value()
    #expect(ticket.state(of: 1) == .executed)
    coordinator.expectBalance(of: slow, sent: 2)
    try cpu.end()
  }

  @Test("tickets of other types and other sends are not settled by a run")
  func apart() throws {
    let other = try coordinator.register(counting: runs)
    try cpu.enterUser()
    let first = coordinator.sendWithTicket(work, to: [1])
    try cpu.enterKernel()
    try cpu.enterUser()
    let second = coordinator.sendWithTicket(work, to: [1])
    let foreign = coordinator.sendWithTicket(other, to: [1])
    #expect(first.state(of: 1) == .executed)
    #expect(second.state(of: 1) == .covered)
    #expect(foreign.state(of: 1) == .covered)
    try cpu.enterKernel()
    #expect(second.state(of: 1) == .executed)
    #expect(foreign.state(of: 1) == .executed)
    try cpu.end()
  }

  @Test("inline and on behalf settle at once")
  func immediately() throws {
    let own = try cpu.run { [work] in $0.sendWithTicket(work, to: [1]) }
    #expect(own.report[.ranInline] == [1])
    #expect(own.state(of: 1) == .executed)
    var options = WorkType.Options()
    options.mayRunOnBehalf = true
    let helped = try coordinator.register(options: options, counting: runs)
    try cpu.enterUser()
    let ticket = coordinator.sendWithTicket(helped, to: [1], urgency: .onBehalf)
    #expect(ticket.report[.ranOnBehalf] == [1])
    #expect(ticket.wait(until: .executed, timeout: .zero) == .settled)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("what was not sent has nothing to wait for")
  func nothing() throws {
    let nobody = coordinator.sendWithTicket(work, to: [0, 2])
    #expect(nobody.report[.gone] == [0, 2])
    #expect(nobody.state(of: 2) == .gone)
    #expect(nobody.wait(until: .executed) == .settled)
    let skipped = coordinator.sendWithTicket(work, to: [1]) { _ in false }
    #expect(skipped.report[.skipped] == [1])
    #expect(skipped.state(of: 1) == .gone)
    #expect(skipped.state(of: 3) == .gone)
    #expect(skipped.wait(until: .executed) == .settled)
    try cpu.end()
  }

  @Test("a thread that detaches has run the work")
  func detached() throws {
    try cpu.enterUser()
    let ticket = coordinator.sendWithTicket(work, to: [1])
    try cpu.end()
    #expect(runs.value == 1)
    #expect(ticket.state(of: 1) == .executed)
    // Who attaches later has seen everything, and the ticket's thread is gone.
    let next = try ScriptedThread(coordinator, on: 1)
    #expect([.gone, .executed].contains(ticket.state(of: 1)))
    #expect(ticket.wait(until: .executed, timeout: .zero) == .settled)
    // A ticket of the new incarnation is one of its own.
    let second = coordinator.sendWithTicket(work, to: [1])
    #expect(second.state(of: 1) == .pending)
    #expect([.gone, .executed].contains(ticket.state(of: 1)))
    try next.safePoint()
    #expect(second.state(of: 1) == .executed)
    try next.end()
  }

  @Test("a wait over several CPUs names those that did not settle")
  func several() throws {
    let second = try ScriptedThread(coordinator, on: 2)
    try cpu.enterUser()
    let ticket = coordinator.sendWithTicket(work, to: [1, 2, 3])
    #expect(ticket.unsettled(.covered) == [2])
    #expect(ticket.wait(until: .executed, timeout: .milliseconds(20)) == .timedOut([1, 2]))
    try second.safePoint()
    #expect(ticket.wait(until: .covered) == .settled)
    try cpu.enterKernel()
    #expect(ticket.wait(until: .executed) == .settled)
    try second.end()
    try cpu.end()
  }

  @Test("a wait ends when the CPU gets there")
  func blocking() throws {
    let ticket = coordinator.sendWithTicket(work, to: [1])
    let wait = PlainThread.start { ticket.wait(until: .executed, timeout: .seconds(30)) }
    #expect(!wait.isOver)
    try cpu.safePoint()
    #expect(try wait.value() == .settled)
    try cpu.end()
  }

  @Test("a task suspends instead of blocking")
  func asynchronous() async throws {
    try cpu.enterUser()
    let ticket = coordinator.sendWithTicket(work, to: [1])
    #expect(try await ticket.wait(until: .covered) == .settled)
    let outcome = try await ticket.wait(until: .executed, timeout: .milliseconds(20))
    #expect(outcome == .timedOut([1]))
    async let settled = ticket.wait(until: .executed, timeout: .seconds(30))
    try cpu.enterKernel()
    #expect(try await settled == .settled)
    try cpu.end()
  }

  @Test("a cancelled task stops waiting")
  func cancelled() async throws {
    let ticket = coordinator.sendWithTicket(work, to: [1])
    let task = Task { try await ticket.wait(until: .executed) }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    try cpu.safePoint()
    try cpu.end()
  }

  @Test("many waiters of many sends settle, none too early", arguments: [false, true])
  func race(staysInUser: Bool) throws {
    let (datum, applied) = (Counter(), Counter())
    let apply = try coordinator.register("apply") { _ in
      while applied.value < datum.value { applied.increment() }
    }
    let stop = Flag()
    let loop = cpu.start { cpu in
      while !stop.isRaised {
        cpu.inUser { Flag.pause() }
        if staysInUser { cpu.inUser { for _ in 0..<20 { Flag.pause() } } }
      }
    }
    for round in 1...300 {
      datum.increment()
      let ticket = coordinator.sendWithTicket(apply, to: [1])
      #expect(ticket.wait(until: .executed, timeout: .seconds(20)) == .settled)
      #expect(applied.value >= round)
    }
    stop.raise()
    try loop.value()
    coordinator.expectBalance(of: apply, sent: 300)
    try cpu.end()
  }
}
