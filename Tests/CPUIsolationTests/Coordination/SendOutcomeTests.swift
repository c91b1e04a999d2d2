// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("Send outcomes")
struct SendOutcomeTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread
  let runs = Counter()
  let work: WorkType

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 3))
    cpu = try ScriptedThread(coordinator, on: 1)
    work = try coordinator.register(counting: runs)
  }

  @Test("a CPU in kernel: queued, then merged, and run once at its next safe point")
  func kernel() throws {
    #expect(coordinator.send(work, to: 1) == .queued)
    #expect(coordinator.send(work, to: 1) == .merged)
    #expect(runs.value == 0)
    try cpu.safePoint()
    #expect(runs.value == 1)
    #expect(coordinator.statistics()[work].queued == 1)
    coordinator.expectBalance(of: work, sent: 2)
    try cpu.end()
  }

  @Test("a CPU in user: deferred, then merged, and run once at its entry")
  func user() throws {
    try cpu.enterUser()
    #expect(coordinator.send(work, to: 1) == .deferred)
    #expect(coordinator.send(work, to: 1) == .merged)
    try cpu.poll()
    #expect(runs.value == 0)
    try cpu.enterKernel()
    #expect(runs.value == 1)
    #expect(coordinator.statistics()[work].deferred == 1)
    coordinator.expectBalance(of: work, sent: 2)
    try cpu.end()
  }

  @Test("a CPU in guest: deferred, and run when it comes back")
  func guest() throws {
    let (inGuest, mayLeave) = (Flag(), Flag())
    let step = cpu.start { cpu in
      cpu.inGuest {
        inGuest.raise()
        mayLeave.wait()
      }
    }
    inGuest.wait()
    #expect(coordinator.context(of: 1) == .guest)
    #expect(coordinator.send(work, to: 1) == .deferred)
    #expect(coordinator.send(work, to: 1) == .merged)
    mayLeave.raise()
    try step.value()
    #expect(runs.value == 1)
    coordinator.expectBalance(of: work, sent: 2)
    try cpu.end()
  }

  @Test("an isolated CPU that sleeps: deferred, not woken, and run when it wakes")
  func idle() throws {
    let step = cpu.start { $0.idle() }
    #expect(eventually { coordinator.context(of: 1) == .idle })
    #expect(coordinator.send(work, to: 1) == .deferred)
    #expect(coordinator.send(work, to: 1) == .merged)
    #expect(coordinator.context(of: 1) == .idle)
    #expect(coordinator.send(work, to: 1, urgency: .immediate) == .interrupted)
    try step.value()
    #expect(runs.value == 1)
    coordinator.expectBalance(of: work, sent: 3)
    try cpu.end()
  }

  @Test("nobody there: gone, and nothing is left behind")
  func offline() throws {
    for cpu in [0, 2] {
      #expect(coordinator.send(work, to: cpu) == .gone)
      #expect(coordinator.send(work, to: cpu, urgency: .immediate) == .gone)
      #expect(coordinator.send(work, to: cpu, urgency: .onBehalf) == .gone)
      #expect(coordinator.statistics()[work, on: cpu].pending == 0)
    }
    coordinator.expectBalance(of: work, sent: 6)
    #expect(coordinator.statistics()[work].gone == 6)
    let late = try ScriptedThread(coordinator, on: 2)
    try late.safePoint()
    #expect(runs.value == 0)
    try late.end()
    try cpu.end()
  }

  @Test("a CPU that sends to itself: inline in kernel, deferred in user")
  func own() throws {
    let send: @Sendable (borrowing LocalCPU) -> SendOutcome = { [work] in $0.send(work, to: 1) }
    #expect(try cpu.run(send) == .ranInline)
    #expect(runs.value == 1)
    let outcomes = try cpu.run { [work] cpu in
      cpu.inUser { [cpu.send(work, to: 1), cpu.send(work, to: 1)] }
    }
    #expect(outcomes == [.deferred, .merged])
    #expect(runs.value == 2)
    // What others sent before is run with it, inline.
    #expect(coordinator.send(work, to: 1) == .queued)
    #expect(try cpu.run(send) == .ranInline)
    #expect(runs.value == 3)
    coordinator.expectBalance(of: work, sent: 5)
    #expect(coordinator.statistics()[work].ranInline == 1)
    try cpu.end()
  }

  @Test("a CPU that sends to itself inside a handler: queued, then merged")
  func ownInHandler() throws {
    let outcomes = Journal<SendOutcome>()
    let outer = try coordinator.register("outer") { [unowned coordinator, work] cpu in
      outcomes.append(coordinator.send(work, to: cpu))
      outcomes.append(coordinator.send(work, to: cpu, urgency: .immediate))
    }
    coordinator.send(outer, to: 1)
    try cpu.enterUser()
    #expect(outcomes.entries == [.queued, .merged])
    #expect(runs.value == 1)
    coordinator.expectBalance(of: work, sent: 2)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("inside a cross call a send to oneself is queued, too")
  func ownInCall() throws {
    let outcomes = Journal<SendOutcome>()
    let polling = Flag()
    try cpu.enterUser()
    let loop = cpu.startPolling(until: polling)
    let report = coordinator.call(on: [1], timeout: .seconds(20)) { [coordinator, work] cpu in
      outcomes.append(coordinator.send(work, to: cpu))
    }
    polling.raise()
    try loop.value()
    #expect(report[.executed] == [1])
    #expect(outcomes.entries == [.queued])
    try cpu.enterKernel()
    #expect(runs.value == 1)
    coordinator.expectBalance(of: work, sent: 1)
    try cpu.end()
  }

  @Test("the predicate is asked once per target, before the send")
  func predicate() throws {
    let second = try ScriptedThread(coordinator, on: 2)
    try cpu.enterUser()
    try second.enterUser()
    var asked: [Int] = []
    let report = coordinator.send(work, to: [1, 2, 3]) { cpu in
      asked.append(cpu)
      #expect(coordinator.statistics()[work, on: cpu].sent == 0)
      return cpu != 2
    }
    #expect(asked == [1, 2, 3])
    #expect(report[.deferred] == [1])
    #expect(report[.skipped] == [2])
    #expect(report[.gone] == [3])
    #expect(report.covered == [1])
    try second.enterKernel()
    try cpu.enterKernel()
    #expect(runs.value == 1)
    #expect(coordinator.statistics()[work].skipped == 1)
    coordinator.expectBalance(of: work, sent: 2)
    try second.end()
    try cpu.end()
  }

  @Test("a report puts each target into one mask, and names them")
  func report() throws {
    let housekeeper = try ScriptedThread(coordinator, on: 0)
    try cpu.enterUser()
    coordinator.send(work, to: 1)
    let second = try ScriptedThread(coordinator, on: 2)
    try second.enterUser()
    let report = coordinator.send(work, to: coordinator.cpus)
    #expect(report[.queued] == [0])
    #expect(report[.merged] == [1])
    #expect(report[.deferred] == [2])
    #expect(report[.gone] == [3])
    #expect(report.description == "deferred 2, merged 1, queued 0, gone 3")
    #expect(coordinator.send(work, to: []).description == "no target")
    for thread in [second, cpu] { try thread.enterKernel() }
    coordinator.expectBalance(of: work, sent: 5)
    for thread in [second, cpu, housekeeper] { try thread.end() }
  }

  @Test("what the sender wrote before is seen by the handler, merged sends included")
  func publication() throws {
    let datum = Cell()
    let seen = Journal<Int>()
    let reader = try coordinator.register("reader") { _ in
      seen.append(datum.value.load(ordering: .relaxed))
    }
    for round in 0..<50 {
      try cpu.enterUser()
      datum.value.store(2 * round, ordering: .relaxed)
      #expect(coordinator.send(reader, to: 1) == .deferred)
      datum.value.store(2 * round + 1, ordering: .relaxed)
      #expect(coordinator.send(reader, to: 1) == .merged)
      try cpu.enterKernel()
    }
    #expect(seen.entries == (0..<50).map { 2 * $0 + 1 })
    try cpu.end()
  }

  private final class Cell: Sendable { let value = Atomic<Int>(0) }
}
