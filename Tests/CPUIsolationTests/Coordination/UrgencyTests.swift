// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("Urgency")
struct UrgencyTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread
  let runs = Counter()
  let work: WorkType

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 2))
    cpu = try ScriptedThread(coordinator, on: 1)
    var options = WorkType.Options()
    options.mayRunOnBehalf = true
    work = try coordinator.register(options: options, counting: runs)
  }

  var attention: Bool { ContextTracker(coordinator.core.slots[1]).isAttentionWanted }

  @Test("immediate, to a polling CPU: interrupted, and run at its next poll")
  func immediate() throws {
    try cpu.enterUser()
    for round in 1...3 {
      #expect(coordinator.send(work, to: 1, urgency: .immediate) == .interrupted)
      #expect(attention)
      #expect(runs.value == round - 1)
      try cpu.poll()
      #expect(runs.value == round)
      #expect(!attention)
      #expect(coordinator.context(of: 1) == .user)
    }
    coordinator.expectBalance(of: work, sent: 3)
    #expect(coordinator.statistics()[work].interrupted == 3)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("immediate, while a kick is on its way: no second one")
  func immediateTwice() throws {
    let other = try coordinator.register(counting: runs)
    try cpu.enterUser()
    #expect(coordinator.send(work, to: 1, urgency: .immediate) == .interrupted)
    #expect(coordinator.send(work, to: 1, urgency: .immediate) == .merged)
    #expect(coordinator.send(other, to: [1], urgency: .immediate).covered == [1])
    #expect(coordinator.statistics()[work].interrupted == 1)
    #expect(coordinator.statistics()[other].interrupted == 0)
    try cpu.poll()
    #expect(runs.value == 2)
    coordinator.expectBalance(of: work, sent: 2)
    coordinator.expectBalance(of: other, sent: 1)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("immediate, after a deferral: the kick makes both run")
  func immediateAfterDeferral() throws {
    try cpu.enterUser()
    #expect(coordinator.send(work, to: 1) == .deferred)
    #expect(coordinator.send(work, to: 1, urgency: .immediate) == .interrupted)
    try cpu.poll()
    #expect(runs.value == 1)
    coordinator.expectBalance(of: work, sent: 2)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("immediate, answered by an entry or an exit instead of a poll", arguments: [false, true])
  func immediateAtTransition(isInUser: Bool) throws {
    if isInUser { try cpu.enterUser() }
    #expect(coordinator.send(work, to: 1, urgency: .immediate) == .interrupted)
    if isInUser { try cpu.enterKernel() } else { try cpu.enterUser() }
    #expect(runs.value == 1)
    #expect(!attention)
    if !isInUser { try cpu.enterKernel() }
    coordinator.expectBalance(of: work, sent: 1)
    try cpu.end()
  }

  @Test("immediate, to a CPU in guest: run at its next poll")
  func immediateInGuest() throws {
    let (inGuest, stop) = (Flag(), Flag())
    let contexts = Journal<CPUContext>()
    let look = try coordinator.register("look") { [unowned coordinator] in
      contexts.append(coordinator.context(of: $0))
    }
    let step = cpu.start { cpu in
      cpu.inGuest {
        inGuest.raise()
        while !stop.isRaised {
          cpu.poll()
          Flag.pause()
        }
      }
    }
    inGuest.wait()
    #expect(coordinator.send(look, to: 1, urgency: .immediate) == .interrupted)
    #expect(eventually { !contexts.entries.isEmpty })
    #expect(contexts.entries == [.kernel])
    #expect(eventually { coordinator.context(of: 1) == .guest })
    stop.raise()
    try step.value()
    try cpu.end()
  }

  @Test("on behalf, of a CPU in user: the sender runs the work, and the CPU never does")
  func onBehalf() throws {
    try cpu.enterUser()
    #expect(coordinator.send(work, to: 1, urgency: .onBehalf) == .ranOnBehalf)
    #expect(runs.value == 1)
    #expect(coordinator.context(of: 1) == .user)
    #expect(!attention)
    // A deferral that was pending is run with it.
    #expect(coordinator.send(work, to: 1) == .deferred)
    #expect(coordinator.send(work, to: 1, urgency: .onBehalf) == .ranOnBehalf)
    try cpu.enterKernel()
    #expect(runs.value == 2)
    coordinator.expectBalance(of: work, sent: 3)
    #expect(coordinator.statistics()[work].ranOnBehalf == 1)
    try cpu.end()
  }

  @Test("on behalf takes its own type's bit and leaves the others")
  func onBehalfAlone() throws {
    let others = Counter()
    let other = try coordinator.register(counting: others)
    try cpu.enterUser()
    coordinator.send(other, to: 1)
    #expect(coordinator.send(work, to: 1, urgency: .onBehalf) == .ranOnBehalf)
    #expect((runs.value, others.value) == (1, 0))
    try cpu.enterKernel()
    #expect((runs.value, others.value) == (1, 1))
    try cpu.end()
  }

  @Test("on behalf, where the type does not allow it: as deferrable")
  func onBehalfRefused() throws {
    let plain = try coordinator.register(counting: runs)
    try cpu.enterUser()
    #expect(coordinator.send(plain, to: 1, urgency: .onBehalf) == .deferred)
    #expect(coordinator.send(plain, to: 1, urgency: .onBehalf) == .merged)
    #expect(runs.value == 0)
    try cpu.enterKernel()
    #expect(runs.value == 1)
    try cpu.end()
  }

  @Test("on behalf, of a CPU in kernel: queued, since it may be looking")
  func onBehalfInKernel() throws {
    #expect(coordinator.send(work, to: 1, urgency: .onBehalf) == .queued)
    #expect(runs.value == 0)
    try cpu.safePoint()
    #expect(runs.value == 1)
    try cpu.end()
  }

  @Test(
    "on behalf, by a CPU in user: refused, since two such helpers could wait for each other"
  )
  func onBehalfByUser() throws {
    let helper = try ScriptedThread(coordinator, on: 2)
    try cpu.enterUser()
    let send: @Sendable (borrowing LocalCPU) -> SendOutcome = { [coordinator, work] _ in
      coordinator.send(work, to: 1, urgency: .onBehalf)
    }
    #expect(try helper.run(send) == .ranOnBehalf)
    try helper.enterUser()
    #expect(try helper.run(send) == .deferred)
    try helper.enterKernel()
    try helper.end()
    try cpu.enterKernel()
    #expect(runs.value == 2)
    coordinator.expectBalance(of: work, sent: 2)
    try cpu.end()
  }

  @Test("a CPU that comes back waits for its helper")
  func ownerWaits() throws {
    let (begun, mayEnd) = (Flag(), Flag())
    let order = Journal<String>()
    var options = WorkType.Options()
    options.mayRunOnBehalf = true
    let slow = try coordinator.register("slow", options: options) { _ in
      begun.raise()
      mayEnd.wait()
      order.append("helper")
    }
    try cpu.enterUser()
    let help = PlainThread.start { [coordinator] in
      coordinator.send(slow, to: 1, urgency: .onBehalf)
    }
    begun.wait()
    let entry = cpu.start { cpu in
      cpu.enterKernel()
      order.append("owner")
    }
    #expect(eventually { coordinator.context(of: 1) == .kernel })
    #expect(!entry.isOver)
    // A second helper does not come in beside the first.
    #expect(coordinator.send(slow, to: 1, urgency: .onBehalf) == .queued)
    mayEnd.raise()
    #expect(try help.value() == .ranOnBehalf)
    try entry.value()
    #expect(order.entries.first == "helper")
    coordinator.expectBalance(of: slow, sent: 2)
    try cpu.end()
  }

  @Test("a grace period waits for the helper that it met, and not for those that follow")
  func steadyHelpers() throws {
    let begun = (0..<2).map { _ in Flag() }
    let mayEnd = (0..<2).map { _ in Flag() }
    let runs = Journal<Int>()
    var options = WorkType.Options()
    options.mayRunOnBehalf = true
    let slow = try coordinator.register("slow", options: options) { _ in
      let run = runs.entries.count
      runs.append(run)
      begun[run].raise()
      mayEnd[run].wait()
    }
    try cpu.enterUser()
    let help = PlainThread.start { [coordinator] in
      coordinator.send(slow, to: 1, urgency: .onBehalf)
    }
    begun[0].wait()
    var gracePeriod = coordinator.startGracePeriod()
    let isOverBeside = gracePeriod.poll()
    #expect(!isOverBeside)
    mayEnd[0].raise()
    #expect(try help.value() == .ranOnBehalf)
    let next = PlainThread.start { [coordinator] in
      coordinator.send(slow, to: 1, urgency: .onBehalf)
    }
    begun[1].wait()
    // The pin is taken as it was, by a helper that has begun later.
    let isOver = gracePeriod.poll()
    #expect(isOver)
    mayEnd[1].raise()
    #expect(try next.value() == .ranOnBehalf)
    try cpu.enterKernel()
    try cpu.end()
  }
}
