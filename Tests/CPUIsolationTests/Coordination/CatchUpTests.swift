// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("Catch-up types")
struct CatchUpTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread
  let other: ScriptedThread
  /// What the handler was told, as (CPU, gap).
  let told = Journal<String>()
  let work: WorkType

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 3))
    cpu = try ScriptedThread(coordinator, on: 1)
    other = try ScriptedThread(coordinator, on: 2)
    let told = told
    work = try coordinator.register("work", options: Self.options) { cpu, gap in
      told.append("\(cpu) lags \(gap.rawValue)")
    }
  }

  static var options: WorkType.Options {
    var options = WorkType.Options()
    options.delivery = .catchUp
    return options
  }

  func workWord(of cpu: Int) -> UInt64 {
    coordinator.core.slots[cpu].state.work.load(ordering: .relaxed)
  }

  /// All that a CPU's slot holds, byte by byte.
  func memory(of cpu: Int) -> [UInt8] {
    unsafe Array(
      UnsafeRawBufferPointer(start: coordinator.core.slots[cpu].base.pointer, count: CPUSlot.stride)
    )
  }

  /// The equation of a catch-up type: what was deferred left no bit.
  func expectBalance(sent: UInt64, sourceLocation: SourceLocation = #_sourceLocation) {
    let counts = coordinator.statistics()[work]
    #expect(
      counts.sent
        == counts.executed + counts.merged + counts.pending + counts.gone + counts.deferred,
      "\(counts)", sourceLocation: sourceLocation)
    #expect(counts.sent == sent, sourceLocation: sourceLocation)
  }

  @Test("a CPU in user is written nothing, and runs once for all at its entry")
  func user() throws {
    try cpu.enterUser()
    let before = memory(of: 1)
    for _ in 0..<3 { #expect(coordinator.send(work, to: 1) == .deferred) }
    #expect(coordinator.send(work, to: [1] as CPUMask)[.deferred] == [1])
    #expect(memory(of: 1) == before)
    #expect(coordinator.statistics()[work, on: 1].lag == 4)
    #expect(told.entries.isEmpty)
    try cpu.enterKernel()
    #expect(told.entries == ["1 lags 4"])
    #expect(memory(of: 1) != before)
    let counts = coordinator.statistics()[work, on: 1]
    #expect(counts.caughtUp == 1 && counts.lag == 0 && counts.executed == 0)
    expectBalance(sent: 4)
    try cpu.enterUser()
    try cpu.enterKernel()
    #expect(told.entries == ["1 lags 4"])
    try endAll()
  }

  @Test("a CPU in kernel gets a bit, and runs at its next safe point")
  func kernel() throws {
    #expect(coordinator.send(work, to: 1) == .queued)
    #expect(coordinator.send(work, to: 1) == .merged)
    #expect(workWord(of: 1) == 1)
    try cpu.safePoint()
    #expect(told.entries == ["1 lags 2"])
    let counts = coordinator.statistics()[work, on: 1]
    #expect(counts.executed == 1 && counts.caughtUp == 0)
    expectBalance(sent: 2)
    try endAll()
  }

  @Test("a send that leaves a CPU in user a bit, since its urgency asks for more, is counted once")
  func bitInUser() throws {
    try cpu.enterUser()
    #expect(coordinator.send(work, to: 1, urgency: .onBehalf) == .deferred)
    #expect(workWord(of: 1) == 1)
    #expect(coordinator.send(work, to: 1, urgency: .onBehalf) == .merged)
    #expect(coordinator.send(work, to: 1) == .deferred)
    try cpu.enterKernel()
    #expect(told.entries == ["1 lags 3"])
    let counts = coordinator.statistics()[work, on: 1]
    #expect(counts.executed == 1 && counts.deferred == 1 && counts.queued == 1)
    expectBalance(sent: 3)
    try endAll()
  }

  @Test("everybody catches up, also outside the mask")
  func everybody() throws {
    try cpu.enterUser()
    try other.enterUser()
    #expect(coordinator.send(work, to: [1] as CPUMask)[.deferred] == [1])
    try other.enterKernel()
    #expect(told.entries == ["2 lags 1"])
    try cpu.enterKernel()
    #expect(told.entries == ["2 lags 1", "1 lags 1"])
    try endAll()
  }

  @Test("a bit for what a comparison has run already does not run it again")
  func bitAfterComparison() throws {
    try cpu.enterUser()
    #expect(coordinator.send(work, to: 1) == .deferred)
    // A sender that saw kernel sets its bit late: the entry takes both.
    _ = coordinator.core.slots[1].state.work.setBit(UInt64(work.bit))
    try cpu.enterKernel()
    #expect(told.entries == ["1 lags 1"])
    #expect(coordinator.statistics()[work, on: 1].executed == 1)
    try endAll()
  }

  @Test("a masked send reports per CPU, and announces once")
  func masked() throws {
    try cpu.enterUser()
    let report = coordinator.send(work, to: [1, 2, 3]) { $0 != 9 }
    #expect(report[.deferred] == [1])
    #expect(report[.queued] == [2])
    #expect(report[.gone] == [3])
    try cpu.enterKernel()
    try other.safePoint()
    #expect(told.entries == ["1 lags 1", "2 lags 1"])
    expectBalance(sent: 3)
    try endAll()
  }

  @Test("a thread that attaches has caught up with what came before, and with nothing else")
  func attach() throws {
    #expect(coordinator.send(work, to: 3) == .gone)
    let late = try ScriptedThread(coordinator, on: 3)
    #expect(told.entries.isEmpty)
    try late.enterUser()
    #expect(coordinator.send(work, to: 3) == .deferred)
    try late.enterKernel()
    #expect(told.entries == ["3 lags 1"])
    try late.end()
    try endAll()
  }

  @Test("a ticket is covered while the CPU is in user, and executed after its entry")
  func ticket() throws {
    try cpu.enterUser()
    let ticket = coordinator.sendWithTicket(work, to: [1] as CPUMask)
    #expect(ticket.state(of: 1) == .covered)
    try cpu.enterKernel()
    #expect(ticket.state(of: 1) == .executed)
    #expect(told.entries == ["1 lags 1"])
    try endAll()
  }

  @Test("a CPU in user that waits for a ticket catches up meanwhile")
  func waiterInUser() throws {
    let coordinator = coordinator
    let work = work
    try cpu.enterUser()
    let outcome = try cpu.run { _ in
      coordinator.sendWithTicket(work, to: [1] as CPUMask)
        .wait(until: .executed, timeout: .seconds(20))
    }
    #expect(outcome == .settled)
    #expect(told.entries == ["1 lags 1"])
    try cpu.enterKernel()
    #expect(told.entries == ["1 lags 1"])
    try endAll()
  }

  @Test("a ticketed send is rejected where every other send is")
  func ticketRejected() throws {
    try cpu.enterUser()
    try other.enterUser()
    try coordinator.unregister(work, timeout: .seconds(30))
    let withdrawn = coordinator.sendWithTicket(work, to: [1, 2] as CPUMask)
    #expect(withdrawn.report.refusal == .rejected(.unregistered))
    #expect(withdrawn.report.covered.isEmpty)
    #expect(withdrawn.wait(until: .executed, timeout: .milliseconds(10)) == .settled)

    let elsewhere = try Coordinator(.scripted(isolated: 2))
    _ = try elsewhere.register("other", options: Self.options) { _ in }
    let foreign = try elsewhere.register("foreign", options: Self.options) { _ in }
    let told = told
    let again = try coordinator.register("again", options: Self.options) { _ in
      told.append("ran for a send of another coordinator's work")
    }
    #expect(foreign.bit == again.bit)
    #expect(
      coordinator.sendWithTicket(foreign, to: [1] as CPUMask).report.refusal
        == .rejected(.unregistered))
    coordinator.close(timeout: .milliseconds(1))
    #expect(
      coordinator.sendWithTicket(again, to: [1] as CPUMask).report.refusal == .rejected(.closed))
    #expect(coordinator.statistics()[again].lag == 0)
    try cpu.enterKernel()
    try other.enterKernel()
    #expect(told.entries.isEmpty)
    try endAll()
  }

  @Test("who closes is told of what a CPU has not caught up with")
  func close() throws {
    try cpu.enterUser()
    #expect(coordinator.send(work, to: 1) == .deferred)
    #expect(coordinator.close(timeout: .milliseconds(1)) == .timedOut([1, 2]))
    #expect(coordinator.pendingWork == ["work": [1]])
    try cpu.enterKernel()
    #expect(told.entries == ["1 lags 1"])
    #expect(coordinator.pendingWork.isEmpty)
    try endAll()
  }

  @Test("an own send in kernel runs inline")
  func inline() throws {
    let work = work
    #expect(try cpu.run { $0.send(work, to: 1) } == .ranInline)
    #expect(told.entries == ["1 lags 1"])
    try endAll()
  }

  @Test("an immediate send kicks a CPU in user, which then catches up")
  func immediate() throws {
    try cpu.enterUser()
    #expect(coordinator.send(work, to: 1, urgency: .immediate) == .interrupted)
    try cpu.poll()
    #expect(told.entries == ["1 lags 1"])
    try cpu.enterKernel()
    #expect(told.entries == ["1 lags 1"])
    try endAll()
  }

  @Test("a sender runs it on behalf of a CPU in user, and the owner does not run it again")
  func onBehalf() throws {
    let told = told
    var options = Self.options
    options.mayRunOnBehalf = true
    let work = try coordinator.register("helped", options: options) { cpu, gap in
      told.append("\(cpu) was helped with \(gap.rawValue)")
    }
    try cpu.enterUser()
    #expect(coordinator.send(work, to: 1) == .deferred)
    #expect(coordinator.send(work, to: 1, urgency: .onBehalf) == .ranOnBehalf)
    #expect(told.entries == ["1 was helped with 2"])
    try cpu.enterKernel()
    #expect(told.entries == ["1 was helped with 2"])
    try endAll()
  }

  @Test("a type that is unregistered is not caught up with")
  func unregister() throws {
    try cpu.enterUser()
    try other.enterUser()
    #expect(coordinator.send(work, to: 1) == .deferred)
    // Everybody lags who was there: nobody but a thread that attaches later has nothing to lose.
    #expect(try coordinator.unregister(work, timeout: .seconds(30)) == [1, 2])
    try cpu.enterKernel()
    try other.enterKernel()
    #expect(told.entries.isEmpty)
    #expect(coordinator.send(work, to: 1) == .rejected(.unregistered))
    #expect(coordinator.send(work, to: [1] as CPUMask).refusal == .rejected(.unregistered))
    try endAll()
  }

  @Test("what moves while the handler runs is caught up with at the next entry")
  func duringTheRun() throws {
    let coordinator = coordinator
    let told = told
    let handle = Guarded<WorkType?>(nil)
    let again = try coordinator.register("again", options: Self.options) { cpu, gap in
      told.append("\(cpu) lags \(gap.rawValue)")
      // To another CPU: nobody leaves a bit here, and the next entry has to compare.
      if told.entries.count == 1 { coordinator.send(handle.withLock { $0! }, to: 2) }
    }
    handle.withLock { $0 = again }
    try cpu.enterUser()
    #expect(coordinator.send(again, to: 1) == .deferred)
    try cpu.enterKernel()
    #expect(told.entries == ["1 lags 1"])
    try cpu.enterUser()
    try cpu.enterKernel()
    #expect(told.entries == ["1 lags 1", "1 lags 1"])
    try endAll()
  }

  @Test("drain order holds across bits and comparisons")
  func order() throws {
    let told = told
    let bit = try coordinator.register("bit") { _ in told.append("bit") }
    var early = Self.options
    early.order = .early
    let first = try coordinator.register("early", options: early) { _ in told.append("early") }
    try cpu.enterUser()
    coordinator.send(bit, to: 1)
    coordinator.send(work, to: 1)
    coordinator.send(first, to: 1)
    try cpu.enterKernel()
    #expect(told.entries == ["early", "1 lags 1", "bit"])
    try endAll()
  }

  func endAll() throws {
    try cpu.end()
    try other.end()
  }
}
