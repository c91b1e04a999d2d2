// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("WorkSender")
struct WorkSenderTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread
  let flush: WorkType
  let told = Journal<WorkType.Payload>()

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 2))
    cpu = try ScriptedThread(coordinator, on: 1)
    let told = told
    flush = try coordinator.register("flush", options: .init(delivery: .merging(.hull))) {
      _, payload in told.append(payload)
    }
  }

  /// What every sender offers, through the protocol alone.
  private func sendAll(_ sender: borrowing some WorkSender & ~Copyable) throws -> [String] {
    let call = unsafe CrossCall(context: nil, isInterruptSafe: true) { _, _ in }
    let ticket = sender.sendWithTicket(flush, to: [1, 2], payload: .range(8..<9)) { $0 != 2 }
    let outcomes = [
      "\(sender.send(flush, to: 1, payload: .range(4..<5)))",
      "\(sender.send(flush, to: 1, urgency: .onBehalf))",
      "\(sender.send(flush, to: [1], payload: .range(6..<7)))",
      "\(sender.send(flush, to: [1, 2]) { $0 == 1 })",
      "\(ticket.report) \(ticket.state(of: 1))",
      "\(sender.post(call, on: 1))",
      unsafe "\(sender.post(on: [1, 2], context: nil, isInterruptSafe: true) { _, _ in })",
    ]
    #expect(sender.coordinator === coordinator)
    while call.isInFlight { try cpu.poll() }
    return outcomes
  }

  private static let expected = [
    "merged", "merged", "merged 1", "merged 1, skipped 2", "deferred 1, skipped 2 covered",
    "queued", "queued 1, gone 2",
  ]

  @Test(
    "a coordinator, a sender, a CPU and its handle offer the same sends, with the same outcomes")
  func same() throws {
    try cpu.enterUser()
    #expect(try sendAll(coordinator) == Self.expected)
    try drain()
    let sender = try coordinator.makeSender()
    #expect(try sendAll(sender) == Self.expected)
    try drain()
    let local = try coordinator.attach(to: 0)
    #expect(try sendAll(local) == Self.expected)
    try drain()
    #expect(try sendAll(local.handle) == Self.expected)
    #expect(local.handle.send(flush, to: 2) == .gone)
    local.detach()
    try drain()
    try cpu.end()
  }

  /// The union of what was sent arrives, whoever sent it.
  private func drain() throws {
    try cpu.enterKernel()
    #expect(told.entries.last == .everything)
    try cpu.enterUser()
  }

  @Test("a payload of no bits says nothing, and is skipped")
  func nothing() throws {
    try cpu.enterUser()
    let nothing = WorkType.Payload(rawValue: 0)
    #expect(WorkType.Payload.range(4..<4) == nothing)
    #expect(coordinator.send(flush, to: 1, payload: nothing) == .skipped)
    #expect(coordinator.send(flush, to: [1, 2], payload: nothing)[.skipped] == [1, 2])
    let ticket = coordinator.sendWithTicket(flush, to: [1], payload: .range(9..<9))
    #expect(ticket.report[.skipped] == [1])
    #expect(ticket.wait(until: .executed) == .settled)
    try cpu.enterKernel()
    #expect(told.entries.isEmpty)
    coordinator.expectBalance(of: flush, sent: 0)
    #expect(coordinator.statistics()[flush].skipped == 4)
    try cpu.end()
  }

  @Test("a work type needs a name")
  func noName() throws {
    let error = coordinatorError { _ = try coordinator.register("") { _ in } }
    #expect(error?.code == .invalidConfiguration)
    #expect(
      error?.description == "a work type needs a name: traces and reports know it by that")
    try cpu.end()
  }

  @Test("a timer kick gives its type back")
  func timerKick() throws {
    let kick = try TimerKick(coordinator)
    try cpu.enterUser()
    #expect(kick.bringForward(to: 7, on: 1) == .deferred)
    try cpu.enterKernel()
    #expect(kick.close(timeout: .zero) == .timedOut([1]))
    try cpu.enterUser()
    #expect(kick.close(timeout: .seconds(30)) == .settled)
    #expect(kick.close() == .settled)
    #expect(kick.bringForward(to: 7, on: 1) == .rejected(.unregistered))
    try cpu.enterKernel()
    // Its place is free, and threads that attach run nothing for it.
    let other = try ScriptedThread(coordinator, on: 2)
    try other.end()
    try cpu.end()
  }

  @Test("static keys that find no room for their second work type give the first one back")
  func failedKeys() throws {
    var types: [WorkType] = []
    for number in 1..<WorkType.capacity - 1 {
      types.append(try coordinator.register("type \(number)") { _ in })
    }
    try cpu.enterUser()
    for _ in 0..<3 {
      let error = coordinatorError { _ = try StaticKeys(coordinator) }
      #expect(error?.code == .tooManyWorkTypes)
    }
    try coordinator.unregister(types[0])
    _ = try StaticKeys(coordinator)
    try cpu.enterKernel()
    try cpu.end()
  }
}
