// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Testing

@testable import CPUIsolation

@Suite("Coordinator+Close")
struct CoordinatorCloseTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread
  let runs = Counter()
  let work: WorkType

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 2))
    cpu = try ScriptedThread(coordinator, on: 1)
    work = try coordinator.register("flush", counting: runs)
  }

  @Test("nothing can be sent, called, attached, registered or launched any more")
  func rejected() throws {
    #expect(!coordinator.isClosed)
    try cpu.end()
    #expect(coordinator.close() == .settled)
    #expect(coordinator.isClosed)
    #expect(coordinator.send(work, to: 1) == .rejected(.closed))
    #expect(coordinator.send(work, to: 1, urgency: .immediate) == .rejected(.closed))
    #expect(coordinator.send(work, to: [1, 2]).refusal == .rejected(.closed))
    #expect(coordinator.send(work, to: [1]).description == "rejected (closed)")
    #expect(coordinator.sendWithTicket(work, to: [1]).report.refusal == .rejected(.closed))
    #expect(coordinator.call(on: [1]) { _ in }.refusal == .closed)
    #expect(coordinator.call(on: [1]) { _ in }.description == "closed")
    let note = Note("never", Journal<String>())
    let call = note.makeCall()
    let outcome = coordinator.post(call, on: 1)
    #expect(outcome == .closed)
    let codes = [
      coordinatorError { try coordinator.launch(on: 1) { _ in } },
      coordinatorError { try coordinator.attach(to: 1).detach() },
      coordinatorError { _ = try coordinator.attachHandle(to: 1) },
      coordinatorError { _ = try coordinator.register("late") { _ in } },
    ].map { $0?.code }
    #expect(codes == [.closed, .closed, .closed, .closed])
    coordinator.expectBalance(of: work, sent: 0)
  }

  @Test("threads are waited for, and run what is pending on their way out")
  func drains() throws {
    try cpu.enterUser()
    #expect(coordinator.send(work, to: 1) == .deferred)
    let close = PlainThread.start { [coordinator] in coordinator.close(timeout: .seconds(30)) }
    #expect(eventually { coordinator.isClosed })
    #expect(!close.isOver)
    try cpu.end()
    #expect(try close.value() == .settled)
    #expect(runs.value == 1)
    coordinator.expectBalance(of: work, sent: 1)
  }

  @Test("a thread that does not leave is named, with what is pending; closing again reports again")
  func stuck() throws {
    try cpu.enterUser()
    coordinator.send(work, to: 1)
    let start = ContinuousClock.now
    let end = coordinator.close(timeout: .milliseconds(30))
    #expect(ContinuousClock.now - start >= .milliseconds(30))
    #expect(end == .timedOut([1]))
    #expect(end.description == "CPUs 1 held it up for the whole time")
    #expect(coordinator.pendingWork == ["flush": [1]])
    try cpu.end()
    #expect(coordinator.close() == .settled)
    #expect(runs.value == 1)
  }

  @Test("a sleeping CPU is woken, so that its loop can end", arguments: [0, 1])
  func wakes(number: Int) throws {
    let stop = Flag()
    if number == 1 { try cpu.end() }
    let sleeper = try ScriptedThread(coordinator, on: number)
    let loop = sleeper.start { cpu in
      while !stop.isRaised { cpu.idle(for: .seconds(60)) }
    }
    #expect(eventually { coordinator.context(of: number) == .idle })
    stop.raise()
    coordinator.close(timeout: .milliseconds(1))
    try loop.value()
    try sleeper.end()
    if number == 0 { try cpu.end() }
  }

  @Test(
    "a CPU that was about to sleep when the coordinator was closed does not sleep",
    arguments: [0, 1])
  func wakesLater(number: Int) throws {
    let sleeper = number == 1 ? cpu : try ScriptedThread(coordinator, on: number)
    // The loop has looked whether it should end, and not yet gone to sleep.
    coordinator.close(timeout: .milliseconds(1))
    let start = ContinuousClock.now
    try sleeper.run { $0.idle(for: .seconds(60)) }
    #expect(ContinuousClock.now - start < .seconds(30), "nobody can wake it any more")
    try sleeper.end()
    if number == 0 { try cpu.end() }
  }

  @Test("those who wait for tickets, calls and grace periods are let go")
  func waiters() throws {
    let ticket = coordinator.sendWithTicket(work, to: [1])
    let ticketWait = PlainThread.start { ticket.wait(until: .executed, timeout: .seconds(60)) }
    let call = PlainThread.start { [coordinator] in
      coordinator.call(on: [1], timeout: .seconds(60)) { _ in }
    }
    let synchronize = PlainThread.start { [coordinator] in
      coordinator.synchronize(timeout: .seconds(60))
    }
    #expect(eventually { ContextTracker(coordinator.core.slots[1]).isAttentionWanted })
    let start = ContinuousClock.now
    coordinator.close(timeout: .milliseconds(1))
    #expect(try ticketWait.value() == .closed([1]))
    let report = try call.value()
    #expect(report[.timedOut] == [1] || report.refusal == .closed)
    #expect(try synchronize.value() == .closed([1]))
    #expect(ContinuousClock.now - start < .seconds(40))
    try cpu.end()
  }

  @Test("a task that waits is let go")
  func asynchronous() async throws {
    let ticket = coordinator.sendWithTicket(work, to: [1])
    async let outcome = ticket.wait(until: .executed)
    coordinator.close(timeout: .milliseconds(1))
    #expect(try await outcome == .closed([1]))
    try cpu.end()
  }

  @Test("those who wait for the barrier of a hazard domain are let go")
  func hazardBarrier() throws {
    final class Node: Sendable {}
    let domain = try coordinator.makeHazardDomain(reclamation: .explicit)
    unsafe domain.retire(instance: .passRetained(Node()))
    let barrier = PlainThread.start { domain.barrier() }
    usleep(20_000)
    #expect(!barrier.isOver)
    coordinator.close(timeout: .milliseconds(1))
    #expect(try barrier.value() == .closed([1]))
    try cpu.end()
    #expect(domain.barrier(timeout: .seconds(60)) == .settled)
  }

  @Test("those who wait for grace period callbacks are let go")
  func callbacks() throws {
    let callbacks = try GracePeriodCallbacks(coordinator, capacity: 1)
    #expect(callbacks.retire {} == .accepted)
    let barrier = PlainThread.start { callbacks.barrier() }
    usleep(20_000)
    #expect(!barrier.isOver)
    coordinator.close(timeout: .milliseconds(1))
    #expect(try barrier.value() == .closed([1]))
    try cpu.end()
    #expect(callbacks.barrier(timeout: .seconds(60)) == .settled)
  }

  @Test("a task that waits for a grace period is let go")
  func asynchronousGracePeriod() async throws {
    var gracePeriod = coordinator.startGracePeriod()
    coordinator.close(timeout: .milliseconds(1))
    #expect(try await gracePeriod.wait() == .closed([1]))
    try cpu.end()
  }

  /// What a handler of its own coordinator captures.
  private final class Server: Sendable {
    let coordinator: Coordinator
    init(_ coordinator: Coordinator) throws {
      self.coordinator = coordinator
      _ = try coordinator.register("refresh") { [self] cpu in refresh(cpu) }
    }
    func refresh(_ cpu: Int) {}
  }

  private static func hasWatchdog(_ coordinator: Coordinator) -> Bool {
    coordinator.statistics().serviceThreads.contains { $0.name == "cpu/watchdog" }
  }

  @Test(
    "handlers that capture their coordinator are freed, and the watchdog ends, however late the last thread leaves",
    arguments: [false, true])
  func handlersEnd(isLate: Bool) throws {
    func used() throws -> () -> Coordinator? {
      var configuration = Coordinator.Configuration.scripted()
      configuration.watchdog = .init()
      let coordinator = try Coordinator(configuration)
      let server = try Server(coordinator)
      let cpu = try ScriptedThread(coordinator, on: 1)
      #expect(Self.hasWatchdog(coordinator))
      if isLate {
        #expect(coordinator.close(timeout: .milliseconds(1)) == .timedOut([1]))
        #expect(Self.hasWatchdog(coordinator), "a CPU is still there")
        try cpu.end()
        #expect(eventually { !Self.hasWatchdog(coordinator) })
      } else {
        try cpu.end()
        #expect(coordinator.close(timeout: .seconds(60)) == .settled)
        #expect(!Self.hasWatchdog(coordinator))
      }
      return { [weak coordinator = server.coordinator] in coordinator }
    }
    let coordinator = try used()
    #expect(eventually { coordinator() == nil })
  }

  @Test("sends that race with the end are accepted and accounted for, or rejected")
  func race() throws {
    let (accepted, begun) = (Counter(), Counter())
    let senders = (0..<2).map { _ in
      PlainThread.start { [coordinator, work] in
        while coordinator.send(work, to: 1) != .rejected(.closed) {
          accepted.increment()
          begun.increment()
        }
      }
    }
    #expect(eventually { begun.value > 100 })
    let close = PlainThread.start { [coordinator] in coordinator.close(timeout: .seconds(30)) }
    for sender in senders { try sender.value() }
    try cpu.end()
    #expect(try close.value() == .settled)
    coordinator.expectBalance(of: work, sent: UInt64(accepted.value))
    #expect(coordinator.statistics()[work].executed == UInt64(runs.value))
  }

  @Test("a coordinator ends when nobody refers to it, closed or not", arguments: [false, true])
  func deinitialises(isClosed: Bool) throws {
    func used() throws -> () -> Coordinator? {
      var configuration = Coordinator.Configuration.scripted()
      configuration.watchdog = .init()
      let coordinator = try Coordinator(configuration)
      let cpu = try ScriptedThread(coordinator, on: 1)
      let work = try coordinator.register("work") { _ in }
      coordinator.send(work, to: 1)
      let sender = try coordinator.makeSender()
      sender.send(work, to: 1)
      try cpu.end()
      if isClosed { coordinator.close() }
      return { [weak coordinator] in coordinator }
    }
    let coordinator = try used()
    #expect(eventually { coordinator() == nil })
  }
}
