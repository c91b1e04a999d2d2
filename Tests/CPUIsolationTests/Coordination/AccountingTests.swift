// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

/// sent = executed + merged + pending + gone, where nobody else looks: at the seams between two
/// owners of a slot, and in mixtures.
@Suite("Accounting")
struct AccountingTests {
  @Test("a send that found nobody does not take the bit of the next owner's work")
  func lateWithdrawal() throws {
    let coordinator = try Coordinator(.scripted())
    let runs = Counter()
    let work = try coordinator.register(counting: runs)
    let slot = coordinator.core.slots[1]
    // The first half of a send, as `SendPath` does it: the OR, then the look, which finds nobody.
    let wasPending = slot.state.work.setBit(UInt64(work.bit))
    let word = slot.state.word.load(ordering: .sequentiallyConsistent)
    // Before it gets on, a thread attaches, and somebody sends it work.
    let cpu = try ScriptedThread(coordinator, on: 1)
    #expect(coordinator.send(work, to: 1) == .queued)
    // The second half.
    let path = SendPath(core: coordinator.core, sender: coordinator.sharedSender)
    let outcome = path.conclude(
      work, 1, word, wasPending: wasPending, urgency: .deferrable, CallSite(#fileID, #line))
    #expect(outcome == .gone)
    try cpu.safePoint()
    #expect(runs.value == 1, "the new owner's work was taken away by a late sender")
    coordinator.expectBalance(of: work, sent: 2)
    try cpu.end()
  }

  @Test("a bit that is set after the last look of a detaching thread is nobody's, and gone")
  func lateBit() throws {
    let coordinator = try Coordinator(.scripted())
    let runs = Counter()
    let work = try coordinator.register(counting: runs)
    let cpu = try ScriptedThread(coordinator, on: 1)
    try cpu.end()
    _ = coordinator.core.slots[1].state.work.setBit(UInt64(work.bit))
    let next = try ScriptedThread(coordinator, on: 1)
    try next.safePoint()
    #expect(runs.value == 0)
    #expect(coordinator.statistics()[work].gone == 1)
    try next.end()
  }

  @Test(
    "sends of every kind, to a CPU that comes and goes, add up", arguments: [1, 2, 3] as [UInt64])
  func mixture(seed: UInt64) throws {
    var generator = SeededGenerator(state: seed)
    let coordinator = try Coordinator(.scripted(isolated: 2))
    let runs = Counter()
    var options = WorkType.Options()
    options.mayRunOnBehalf = true
    let plain = try coordinator.register("plain", options: options, counting: runs)
    options.expectsManySenders = true
    let shared = try coordinator.register("shared", options: options, counting: runs)
    let stop = Flag()
    let incarnations = Counter()
    let churn = PlainThread.start { [coordinator] in
      while !stop.isRaised {
        guard let cpu = try? ScriptedThread(coordinator, on: 1) else { continue }
        _ = try? cpu.run { cpu in
          for _ in 0..<20 {
            cpu.inUser { Flag.pause() }
            cpu.poll()
          }
        }
        try? cpu.end()
        incarnations.increment()
      }
    }
    var sends = 0
    while incarnations.value < 10 || sends < 3_000 {
      sends += 1
      let work = Bool.random(using: &generator) ? plain : shared
      let urgency = [WorkType.Urgency.deferrable, .immediate, .onBehalf].randomElement(
        using: &generator)!
      coordinator.send(work, to: 1, urgency: urgency)
    }
    stop.raise()
    try churn.value()
    for work in [plain, shared] {
      coordinator.expectBalance(of: work)
      #expect(coordinator.statistics()[work].pending == 0)
    }
    let (first, second) = (coordinator.statistics()[plain], coordinator.statistics()[shared])
    #expect(first.sent + second.sent == UInt64(sends))
    #expect(first.executed + second.executed == UInt64(runs.value))
  }

  @Test("registrations that come and go under fire add up, and no handler runs after its end")
  func unregistration() throws {
    let coordinator = try Coordinator(.scripted())
    let cpu = try ScriptedThread(coordinator, on: 1)
    let stop = Flag()
    let loop = cpu.start { cpu in
      while !stop.isRaised { cpu.inUser { Flag.pause() } }
    }
    for round in 0..<70 {
      let (isOver, ranLate, sent) = (Flag(), Counter(), Counter())
      let work = try coordinator.register("round \(round)") { _ in
        if isOver.isRaised { ranLate.increment() }
      }
      let before = coordinator.statistics()[work]
      let sender = PlainThread.start { [coordinator] in
        while coordinator.send(work, to: 1) != .rejected(.unregistered) { sent.increment() }
      }
      #expect(eventually { sent.value > 5 })
      try coordinator.unregister(work, timeout: .seconds(20))
      isOver.raise()
      try sender.value()
      // A send that had passed its check before the type was retired may still set the bit. It is
      // accounted for when it is taken.
      #expect(eventually { coordinator.statistics()[work].pending == 0 })
      coordinator.expectBalance(of: work, sent: before.sent + UInt64(sent.value))
      #expect(ranLate.value == 0)
    }
    stop.raise()
    try loop.value()
    try cpu.end()
  }
}
