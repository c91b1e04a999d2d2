// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

/// A waiter that is itself a CPU serves what is asked of it: two CPUs may wait for each other.
@Suite("Self-service while waiting")
struct SelfServiceTests {
  let coordinator: Coordinator
  let first: ScriptedThread
  let second: ScriptedThread
  let runs = Counter()
  let work: WorkType

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 2))
    first = try ScriptedThread(coordinator, on: 1)
    second = try ScriptedThread(coordinator, on: 2)
    work = try coordinator.register(counting: runs)
  }

  enum Place: CaseIterable { case kernel, section, user, guest }

  /// Runs `body` on both CPUs, in `place`, when both have got there. Who is through first serves
  /// the other.
  func both<Result: Sendable>(
    in place: Place, _ body: @escaping @Sendable (Int) -> Result
  ) throws -> [Result] {
    let meeting = Meeting()
    let line: @Sendable (borrowing LocalCPU) -> Result = { cpu in
      switch place {
      case .kernel: return meeting.hold(cpu, body)
      case .section: return cpu.inKernel { meeting.hold(cpu, body) }
      case .user: return cpu.inUser { meeting.hold(cpu, body) }
      case .guest: return cpu.inGuest { meeting.hold(cpu, body) }
      }
    }
    let steps = [first.start(line), second.start(line)]
    return try steps.map { try $0.value() }
  }

  private final class Meeting: Sendable {
    private let arrived = Counter()
    private let through = Counter()

    func hold<Result>(_ cpu: borrowing LocalCPU, _ body: (Int) -> Result) -> Result {
      arrived.increment()
      while arrived.value < 2 { Flag.pause() }
      let result = body(cpu.number)
      through.increment()
      while through.value < 2 {
        cpu.poll()
        cpu.inKernel { cpu.safePoint() }
        Flag.pause()
      }
      return result
    }
  }

  @Test("two CPUs call each other, wherever they are", arguments: Place.allCases)
  func crossCalls(place: Place) throws {
    for _ in 0..<20 {
      let reports = try both(in: place) { [coordinator, runs] own in
        coordinator.call(on: [3 - own], timeout: .seconds(30)) { _ in runs.increment() }
      }
      #expect(reports.map { $0[.executed] } == [[2], [1]])
    }
    #expect(runs.value == 40)
    try first.end()
    try second.end()
  }

  @Test("two CPUs wait for each other's work to be executed", arguments: Place.allCases)
  func crossTickets(place: Place) throws {
    let outcomes = try both(in: place) { [coordinator, work] own in
      coordinator.sendWithTicket(work, to: [3 - own])
        .wait(until: .executed, timeout: .seconds(20))
    }
    #expect(outcomes == [.settled, .settled])
    #expect(runs.value == 2)
    coordinator.expectBalance(of: work, sent: 2)
    try first.end()
    try second.end()
  }

  @Test("a CPU waits for what it sent to itself", arguments: Place.allCases)
  func ownTicket(place: Place) throws {
    let outcomes = try both(in: place) { [coordinator, work] own in
      coordinator.sendWithTicket(work, to: [own])
        .wait(until: .executed, timeout: .seconds(20))
    }
    #expect(outcomes == [.settled, .settled])
    try first.end()
    try second.end()
  }

  @Test("a CPU that waits for a grace period in user serves calls meanwhile")
  func gracePeriod() throws {
    try first.enterUser()
    let wait = first.start { [coordinator] _ in
      Result { try coordinator.synchronize(timeout: .seconds(20)).get() }
    }
    // The other CPU is in kernel until its call has been executed.
    let report = try second.run { [coordinator] _ in
      coordinator.call(on: [1], timeout: .seconds(20)) { _ in }
    }
    #expect(report[.executed] == [1])
    try second.enterUser()
    try wait.value().get()
    try second.enterKernel()
    try first.end()
    try second.end()
  }
}
