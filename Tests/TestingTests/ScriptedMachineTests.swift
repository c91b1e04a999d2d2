// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTesting
import Testing

@Suite struct ScriptedMachineTests {
  /// The ten lines that the README shows.
  @Test func deferral() throws {
    let machine = try ScriptedMachine(housekeeping: [0], isolated: [2])
    let flush = try machine.coordinator.register("flush") { _ in }
    machine[2].enterUser()
    #expect(machine.coordinator.send(flush, to: 2) == .deferred)
    #expect(machine.coordinator.send(flush, to: 2) == .merged)
    #expect(machine.executed(flush, on: 2) == 0)  // nothing runs while CPU 2 is in user
    machine[2].enterKernel()
    #expect(machine.executed(flush, on: 2) == 1)  // it enters: exactly once
  }

  @Test func contextsAreInspectable() throws {
    let machine = try ScriptedMachine(housekeeping: [0], isolated: [1])
    #expect(machine[1].context == .kernel)
    machine[1].enterUser()
    #expect(machine[1].context == .user)
    #expect(machine.coordinator.attached == [0, 1])
    machine[1].enterKernel()
    machine[1].quiescent()
    #expect(machine.coordinator.statistics()[cpu: 1].quiescentStates == 1)
  }

  @Test func anIdleHousekeeperIsWoken() throws {
    let machine = try ScriptedMachine(housekeeping: [0], isolated: [1])
    let work = try machine.coordinator.register("work") { _ in }
    machine[0].beginIdle()
    #expect(machine[0].context == .idle)
    let ticket = machine.coordinator.sendWithTicket(work, to: [0])
    #expect(ticket.report.queued == [0])
    #expect(ticket.wait(until: .executed, deadline: .seconds(20)) == .settled)
    machine[0].safePoint()
    #expect(machine[0].context == .kernel)
  }

  @Test func theNextStepEndsASleep() throws {
    let machine = try ScriptedMachine(housekeeping: [], isolated: [0])
    machine[0].beginIdle()
    #expect(machine[0].context == .idle)
    machine[0].enterUser()
    #expect(machine[0].context == .user)
  }

  @Test func agesFollowTheManualClock() throws {
    let machine = try ScriptedMachine(housekeeping: [0], isolated: [1])
    let work = try machine.coordinator.register("work") { _ in }
    machine[1].enterUser()
    machine.coordinator.send(work, to: 1)
    machine.advance(by: .milliseconds(5))
    machine.advance(by: .milliseconds(40))
    #expect(machine.coordinator.statistics()[work].oldestPending == .milliseconds(40))
    machine[1].enterKernel()
    #expect(machine.coordinator.statistics()[work].ages.counts[2] == 1)
  }

  @Test func aMaximumAgeEscalates() throws {
    let machine = try ScriptedMachine(housekeeping: [0], isolated: [1])
    var options = DeferredWork.Options()
    options.maximumAge = .milliseconds(100)
    options.mayRunOnBehalf = true
    let work = try machine.coordinator.register("work", options: options) { _ in }
    machine[1].enterUser()
    machine.coordinator.send(work, to: 1)
    machine.advance(by: .milliseconds(5))
    machine.advance(by: .milliseconds(50))
    #expect(machine.executed(work, on: 1) == 0)
    machine.advance(by: .milliseconds(60))
    #expect(machine.executed(work, on: 1) == 1)
    #expect(machine.coordinator.statistics()[work].escalated == 1)
  }

  @Test func aPollServesAKick() throws {
    let machine = try ScriptedMachine(housekeeping: [0], isolated: [1])
    let work = try machine.coordinator.register("work") { _ in }
    machine[1].enterUser()
    machine.coordinator.send(work, to: 1)
    machine[1].poll()
    #expect(machine.executed(work, on: 1) == 0)
    #expect(machine.coordinator.send(work, to: 1, urgency: .immediate) == .interrupted)
    machine[1].poll()
    #expect(machine.executed(work, on: 1) == 1)
    #expect(machine[1].context == .user)
  }

  @Test func errorsOfTheConfigurationAreThrown() {
    #expect(throws: CoordinatorError.self) {
      try ScriptedMachine(housekeeping: [0], isolated: [0])
    }
  }
}
