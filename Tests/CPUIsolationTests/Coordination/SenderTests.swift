// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("Sender")
struct SenderTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread
  let runs = Counter()
  let work: WorkType

  init() throws {
    coordinator = try Coordinator(.scripted())
    cpu = try ScriptedThread(coordinator, on: 1)
    work = try coordinator.register(counting: runs)
  }

  /// So that statistics need not look at the counts of all threads that never send.
  @Test("a sender is in use from its first count on, and its counts are in the statistics")
  func use() throws {
    try expectUse { $0.send($1, to: 1) }
    try expectUse { $0.send($1, to: 1, urgency: .immediate) }
    try expectUse { $0.send($1, to: 0) }
    try expectUse { $0.send($1, to: [1]) }
    try expectUse(skips: true) { $0.send($1, to: [1]) { _ in false } }
    try expectUse(.catchUp) { $0.send($1, to: 1) }
    try expectUse(.catchUp) { $0.send($1, to: [1]) }
  }

  private func expectUse(
    _ delivery: WorkType.Delivery = .bit, skips: Bool = false,
    _ send: (borrowing Sender, WorkType) -> Void
  ) throws {
    let coordinator = try Coordinator(.scripted())
    var options = WorkType.Options()
    options.delivery = delivery
    let work = try coordinator.register("used", options: options, counting: Counter())
    let cpu = try ScriptedThread(coordinator, on: 1)
    try cpu.enterUser()
    let sender = try coordinator.makeSender()
    #expect(!sender.path.sender.isUsed)
    for sends in 1...2 as ClosedRange<UInt64> {
      send(sender, work)
      #expect(sender.path.sender.isUsed)
      let counts = coordinator.statistics()[work]
      #expect((skips ? counts.skipped : counts.sent) == sends)
    }
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a sender's outcomes are the coordinator's")
  func outcomes() throws {
    let sender = try coordinator.makeSender()
    let queued = sender.send(work, to: 1)
    try cpu.enterUser()
    let deferred = sender.send(work, to: 1)
    let merged = sender.send(work, to: 1, urgency: .deferrable)
    let interrupted = sender.send(work, to: 1, urgency: .immediate)
    let gone = sender.send(work, to: 0)
    let report = sender.send(work, to: [0, 1]) { $0 == 1 }
    #expect(queued == .queued)
    #expect(deferred == .deferred)
    #expect(merged == .merged)
    #expect(interrupted == .interrupted)
    #expect(gone == .gone)
    #expect(report[.merged] == [1])
    #expect(report[.skipped] == [0])
    try cpu.enterKernel()
    #expect(runs.value == 2)
    coordinator.expectBalance(of: work, sent: 6)
    try cpu.end()
  }

  @Test("slots are used again, and what was counted in them stays")
  func reuse() throws {
    try cpu.enterUser()
    for _ in 0..<20 {
      let sender = try coordinator.makeSender()
      sender.send(work, to: 1)
    }
    #expect(coordinator.statistics()[work].sent == 20)
    let slots = coordinator.registry.withLock { $0.senders.count }
    #expect(slots <= 4)
    try cpu.enterKernel()
    #expect(runs.value == 1)
    coordinator.expectBalance(of: work, sent: 20)
    try cpu.end()
  }

  @Test("several senders at once count apart, and the sum is exact", arguments: [2, 4])
  func concurrent(senders: Int) throws {
    let share = 5_000
    let stop = Flag()
    let loop = cpu.start { cpu in
      while !stop.isRaised { cpu.inUser { Flag.pause() } }
    }
    let steps = (0..<senders).map { _ in
      PlainThread.start { [coordinator, work] in
        guard let sender = try? coordinator.makeSender() else { return }
        for _ in 0..<share { sender.send(work, to: 1) }
      }
    }
    for step in steps { try step.value() }
    stop.raise()
    try loop.value()
    try cpu.safePoint()
    coordinator.expectBalance(of: work, sent: UInt64(senders * share))
    let counts = coordinator.statistics()[work]
    #expect(counts.executed == UInt64(runs.value))
    #expect(counts.deferred + counts.queued == counts.executed)
    #expect(counts.pending == 0)
    try cpu.end()
  }

  @Test("threads without a sender of their own share one, exactly too")
  func shared() throws {
    let share = 2_000
    try cpu.enterUser()
    let steps = (0..<3).map { _ in
      PlainThread.start { [coordinator, work] in
        for _ in 0..<share { coordinator.send(work, to: 1) }
      }
    }
    for step in steps { try step.value() }
    try cpu.enterKernel()
    #expect(runs.value == 1)
    let counts = coordinator.statistics()[work]
    #expect(counts.deferred == 1)
    #expect(counts.merged == UInt64(3 * share - 1))
    coordinator.expectBalance(of: work, sent: UInt64(3 * share))
    try cpu.end()
  }

  @Test("a closed coordinator makes no senders, and those that exist are rejected")
  func closed() throws {
    let sender = try coordinator.makeSender()
    try cpu.end()
    coordinator.close()
    let outcome = sender.send(work, to: 1)
    #expect(outcome == .rejected(.closed))
    let error = coordinatorError { _ = try coordinator.makeSender() }
    #expect(error?.code == .closed)
  }
}
