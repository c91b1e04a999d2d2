// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTesting
import Glibc
import Synchronization
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

  @Test func whatACPULagsBehindIsPending() throws {
    let machine = try ScriptedMachine(housekeeping: [0], isolated: [1, 2])
    var options = WorkType.Options()
    options.delivery = .catchUp
    let refresh = try machine.coordinator.register("refresh", options: options) { _ in }
    machine[1].enterUser()
    #expect(machine.coordinator.send(refresh, to: [1, 2])[.deferred] == [1])
    #expect(machine.pending(refresh) == [1, 2])
    #expect(machine.isPending(refresh, on: 1) && !machine.isPending(refresh, on: 0))
    #expect(machine.executed(refresh, on: 1) == 0)
    machine[1].enterKernel()
    machine[2].safePoint()
    #expect(machine.executed(refresh, on: 1) == 1)
    #expect(machine.executed(refresh, on: 2) == 1)
    #expect(machine.pending(refresh).isEmpty)
  }

  @Test func contextsAreInspectable() throws {
    let machine = try ScriptedMachine(housekeeping: [0], isolated: [1])
    #expect(machine[1].context == .kernel)
    machine[1].enterUser()
    #expect(machine[1].context == .user)
    #expect(machine.coordinator.attached == [0, 1])
    machine[1].enterKernel()
    machine[1].declareQuiescent()
    #expect(machine.coordinator.statistics()[cpu: 1].quiescentStates == 1)
  }

  @Test func anIdleHousekeeperIsWoken() throws {
    let machine = try ScriptedMachine(housekeeping: [0], isolated: [1])
    let work = try machine.coordinator.register("work") { _ in }
    machine[0].beginIdle()
    #expect(machine[0].context == .idle)
    let ticket = machine.coordinator.sendWithTicket(work, to: [0])
    #expect(ticket.report[.queued] == [0])
    #expect(ticket.wait(until: .executed, timeout: .seconds(20)) == .settled)
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
    machine.advance(by: .milliseconds(42))
    #expect(machine.elapsed == .milliseconds(42))
    #expect(machine.statistics[work].oldestPending == .milliseconds(42))
    machine[1].enterKernel()
    #expect(machine.statistics[work].oldestPending == nil)
    #expect(machine.statistics[work].ages.counts[2] == 1)
  }

  /// The watchdog finds the bit gone, and the handler not yet at its end.
  @Test func anAgeOutlivesALookInsideTheHandler() throws {
    let machine = try ScriptedMachine(housekeeping: [0], isolated: [1])
    let isStuck = Mutex(true)
    let hasBegun = Mutex(false)
    let work = try machine.coordinator.register("work") { _ in
      hasBegun.withLock { $0 = true }
      while isStuck.withLock({ $0 }) { usleep(100) }
    }
    machine[1].enterUser()
    machine.coordinator.send(work, to: 1)
    machine.advance(by: .milliseconds(42))
    machine[1].begin { $0.enterKernel() }
    while !hasBegun.withLock({ $0 }) { usleep(100) }
    for _ in 0..<3 { machine.advance(by: .milliseconds(5)) }
    isStuck.withLock { $0 = false }
    machine[1].finish()
    #expect(machine.statistics[work].ages.counts == [0, 0, 1, 0, 0, 0, 0, 0])
    // Nothing of it is left for what comes next.
    machine.advance(by: .milliseconds(5))
    machine[1].enterUser()
    machine.coordinator.send(work, to: 1)
    machine[1].enterKernel()
    #expect(machine.statistics[work].ages.counts == [1, 0, 1, 0, 0, 0, 0, 0])
  }

  /// However far the clock is moved at once, the watchdog looks in between as in real time.
  @Test func aLongWayIsWalkedInSteps() throws {
    let machine = try ScriptedMachine(housekeeping: [0], isolated: [1])
    let work = try machine.coordinator.register("work") { _ in }
    machine.coordinator.send(work, to: 1)
    machine.advance(by: .seconds(41))
    #expect(machine.stalls.map(\.age) == [.seconds(5), .seconds(10), .seconds(20), .seconds(40)])
    #expect(machine.stalls.allSatisfy { $0.kind == .kernelWithoutSafePoint && $0.cpu == 1 })
    #expect(machine.stalls.map(\.occurrence) == [1, 2, 3, 4])
    machine[1].safePoint()
    machine.advance(by: .milliseconds(5))
    #expect(machine.stalls.last?.kind == .recovered)
  }

  /// A handler that is stuck is a step that goes on while the test looks.
  @Test func aStuckHandlerIsReported() throws {
    let told = Mutex<[Coordinator.StallReport]>([])
    let machine = try ScriptedMachine(housekeeping: [0], isolated: [1]) { configuration in
      configuration.watchdog?.report = { report in told.withLock { $0.append(report) } }
    }
    let isStuck = Mutex(true)
    let work = try machine.coordinator.register("stuck") { _ in
      while isStuck.withLock({ $0 }) { usleep(100) }
    }
    machine[1].enterUser()
    machine.coordinator.send(work, to: 1)
    machine[1].begin { $0.enterKernel() }
    while machine[1].context != .kernel { usleep(100) }
    // The watchdog has to find the handler running twice, at whatever instruction the thread is.
    while machine.stalls.isEmpty { machine.advance(by: .seconds(6)) }
    #expect(machine[1].isStepping)
    #expect(!machine[1].finish(within: .zero))
    #expect(machine.stalls.first?.kind == .handlerRunning)
    #expect(machine.stalls.first?.work == "stuck")
    isStuck.withLock { $0 = false }
    machine[1].finish()
    #expect(!machine[1].isStepping)
    #expect(told.withLock { $0 } == machine.stalls)
  }

  @Test func pendingWorkIsInspectable() throws {
    let machine = try ScriptedMachine(housekeeping: [0], isolated: [1, 2])
    let work = try machine.coordinator.register("work") { _ in }
    machine[1].enterUser()
    machine[2].enterUser()
    #expect(machine.contexts == [0: .kernel, 1: .user, 2: .user])
    let report = machine.coordinator.send(work, to: [0, 1, 2])
    #expect(report[.deferred] == [1, 2] && report[.queued] == [0])
    #expect(machine.pending(work) == [0, 1, 2])
    machine[2].enterKernel()
    #expect(machine.pending(work) == [0, 1])
    machine[0].safePoint()
    machine[1].enterKernel()
    #expect(machine.pending(work) == [])
    let counts = machine.statistics[work]
    #expect(counts.sent == 3 && counts.executed == 3 && counts.deferred == 2 && counts.queued == 1)
  }

  @Test func aCPUThatDetachesIsGone() throws {
    let machine = try ScriptedMachine(housekeeping: [0], isolated: [1])
    let work = try machine.coordinator.register("work") { _ in }
    machine[1].detach()
    #expect(machine[1].context == .offline)
    #expect(machine.coordinator.send(work, to: 1) == .gone)
    try machine[1].attach()
    #expect(machine[1].context == .kernel)
    #expect(machine.executed(work, on: 1) == 0)
    #expect(throws: IsolationError.self) { try machine[1].attach() }
    machine[1].enterUser()
    #expect(machine.coordinator.send(work, to: 1) == .deferred)
  }

  /// Misuse of a script ends the process with a sentence that says what to do.
  @Test func misuseIsNamed() async {
    await #expect(processExitsWith: .failure) {
      let machine = try ScriptedMachine(housekeeping: [0], isolated: [1])
      machine[1].detach()
      machine[1].enterUser()
    }
    await #expect(processExitsWith: .failure) {
      let machine = try ScriptedMachine(housekeeping: [0], isolated: [1]) { $0.watchdog = nil }
      machine.advance(by: .seconds(1))
    }
    await #expect(processExitsWith: .failure) {
      let machine = try ScriptedMachine(housekeeping: [0], isolated: [1])
      machine.advance(by: .seconds(-1))
    }
    await #expect(processExitsWith: .failure) {
      _ = try ScriptedMachine(housekeeping: [0], isolated: [1])[7]
    }
  }

  @Test func aMaximumAgeEscalates() throws {
    let machine = try ScriptedMachine(housekeeping: [0], isolated: [1])
    var options = WorkType.Options()
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
    #expect(throws: IsolationError.self) {
      try ScriptedMachine(housekeeping: [0], isolated: [0])
    }
  }
}
