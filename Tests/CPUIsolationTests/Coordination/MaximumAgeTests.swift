// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("Maximum age")
struct MaximumAgeTests {
  let runs = Counter()

  func coordinator(_ interrupter: Interrupter = .poll) throws -> Coordinator {
    try Coordinator(WatchdogTests.watched(interrupter, Journal<Coordinator.StallReport>()))
  }

  func options(
    isInterruptSafe: Bool = false, mayRunOnBehalf: Bool = false
  ) -> WorkType.Options {
    var options = WorkType.Options()
    options.maximumAge = .milliseconds(10)
    options.isInterruptSafe = isInterruptSafe
    options.mayRunOnBehalf = mayRunOnBehalf
    return options
  }

  @Test("a CPU that polls is kicked when the work is too old")
  func kicked() throws {
    let coordinator = try coordinator()
    let cpu = try ScriptedThread(coordinator, on: 1)
    let work = try coordinator.register(options: options(), counting: runs)
    let stop = Flag()
    try cpu.enterUser()
    let loop = cpu.startPolling(until: stop)
    #expect(coordinator.send(work, to: 1) == .deferred)
    #expect(eventually { runs.value == 1 })
    #expect(eventually { coordinator.context(of: 1) == .user })
    stop.raise()
    try loop.value()
    // Counted after the kick; and twice where the watchdog looks again before the CPU has answered.
    #expect(
      eventually {
        let counts = coordinator.statistics()[work]
        return counts.escalated >= 1 && counts.interrupted == counts.escalated
      })
    coordinator.expectBalance(of: work, sent: 1)
    try cpu.enterKernel()
    #expect(runs.value == 1)
    try cpu.end()
  }

  @Test("a CPU that does nothing has its work run for it, where the type allows")
  func onBehalf() throws {
    let coordinator = try coordinator()
    let cpu = try ScriptedThread(coordinator, on: 1)
    let work = try coordinator.register(options: options(mayRunOnBehalf: true), counting: runs)
    try cpu.enterUser()
    #expect(coordinator.send(work, to: 1) == .deferred)
    #expect(eventually { runs.value == 1 })
    #expect(eventually { coordinator.statistics()[work].escalated == 1 })
    #expect(coordinator.statistics()[work].interrupted == 0)
    coordinator.expectBalance(of: work, sent: 1)
    try cpu.enterKernel()
    #expect(runs.value == 1)
    try cpu.end()
  }

  @Test(
    "a CPU whose interrupter is the signal is interrupted in its loop", .needsQueuedSignals)
  func signalled() throws {
    let coordinator = try coordinator(.signal)
    let cpu = try ScriptedThread(coordinator, on: 1)
    let work = unsafe try coordinator.register(
      "work", options: options(isInterruptSafe: true), context: runs.context,
      function: Counter.function)
    let runs = runs
    let loop = cpu.start { cpu in
      cpu.inUser { while runs.value == 0 { Flag.pause() } }
    }
    #expect(eventually { coordinator.context(of: 1) == .user })
    #expect(coordinator.send(work, to: 1) == .deferred)
    try loop.value()
    #expect(eventually { coordinator.statistics()[work].escalated >= 1 })
    coordinator.expectBalance(of: work, sent: 1)
    try cpu.end()
  }

  @Test("an isolated CPU that sleeps is woken by what is too old")
  func sleeping() throws {
    let coordinator = try coordinator()
    let cpu = try ScriptedThread(coordinator, on: 1)
    let work = try coordinator.register(options: options(), counting: runs)
    let sleep = cpu.start { $0.idle() }
    #expect(eventually { coordinator.context(of: 1) == .idle })
    #expect(coordinator.send(work, to: 1) == .deferred)
    try sleep.value()
    #expect(runs.value == 1)
    try cpu.end()
  }

  @Test("what enters in time is not escalated")
  func inTime() throws {
    let coordinator = try coordinator()
    let cpu = try ScriptedThread(coordinator, on: 1)
    var patient = options()
    patient.maximumAge = .seconds(60)
    let work = try coordinator.register(options: patient, counting: runs)
    for _ in 0..<20 {
      try cpu.enterUser()
      coordinator.send(work, to: 1)
      try cpu.enterKernel()
    }
    #expect(runs.value == 20)
    #expect(coordinator.statistics()[work].escalated == 0)
    try cpu.end()
  }
}
