// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Testing

@testable import CPUIsolation

@Suite("Idle")
struct IdleTests {
  /// A coordinator with a CPU that has nothing to do: its housekeeper, or its isolated one.
  struct Sleeper {
    let coordinator: Coordinator
    let number: Int
    let cpu: ScriptedThread

    init(isHousekeeper: Bool, _ interrupter: Interrupter) throws {
      var configuration = Coordinator.Configuration.scripted(
        isolated: 1, isHousekeeper ? .poll : interrupter)
      if isHousekeeper { configuration.housekeepingInterrupter = interrupter }
      coordinator = try Coordinator(configuration)
      number = isHousekeeper ? 0 : 1
      cpu = try ScriptedThread(coordinator, on: number)
    }

    /// Sends the CPU to sleep, and waits until it says so.
    func sleep(for duration: Duration? = nil) -> Step<Void> {
      let step = cpu.start { $0.idle(for: duration) }
      #expect(eventually { coordinator.context(of: number) == .idle || step.isOver })
      return step
    }

    /// The step is over soon, or the CPU sleeps with something to do.
    func expectEnd(of step: Step<Void>, sourceLocation: SourceLocation = #_sourceLocation) throws {
      if !eventually(within: .seconds(20), { step.isOver }) {
        Issue.record("the CPU sleeps with something to do", sourceLocation: sourceLocation)
        rescue()
      }
      try step.value()
    }

    /// Gets the CPU up whatever became of its wake-ups, so that a failed test can end.
    func rescue() {
      coordinator.core.slots[number].call.parker.unpark()
    }
  }

  static let kinds: [(isHousekeeper: Bool, interrupter: Interrupter)] = [
    (true, .park), (true, .poll), (true, .signal), (false, .park), (false, .poll), (false, .signal),
  ]

  @Test("a sleep ends at its time, in kernel", arguments: kinds)
  func timeout(isHousekeeper: Bool, interrupter: Interrupter) throws {
    let sleeper = try Sleeper(isHousekeeper: isHousekeeper, interrupter)
    let start = ContinuousClock.now
    try sleeper.cpu.run { $0.idle(for: .milliseconds(20)) }
    #expect(ContinuousClock.now - start >= .milliseconds(20))
    #expect(sleeper.coordinator.context(of: sleeper.number) == .kernel)
    try sleeper.cpu.run { $0.idle(for: .zero) }
    try sleeper.cpu.run { $0.idle(for: .seconds(-1)) }
    try sleeper.cpu.end()
  }

  @Test(
    "a housekeeper is woken by what is deferrable", arguments: [Interrupter.park, .poll, .signal])
  func housekeeperWoken(interrupter: Interrupter) throws {
    let sleeper = try Sleeper(isHousekeeper: true, interrupter)
    let runs = Counter()
    let work = try sleeper.coordinator.register(counting: runs)
    for round in 1...20 {
      // A token of the round before may end its first sleep.
      let step = sleeper.cpu.start { cpu in while runs.value < round { cpu.idle() } }
      #expect(eventually { sleeper.coordinator.context(of: 0) == .idle })
      #expect(sleeper.coordinator.send(work, to: 0) == .queued)
      try sleeper.expectEnd(of: step)
      #expect(runs.value == round)
    }
    sleeper.coordinator.expectBalance(of: work, sent: 20)
    try sleeper.cpu.end()
  }

  @Test(
    "an immediate send wakes everybody, whatever the work may do in a signal handler",
    arguments: kinds)
  func immediate(isHousekeeper: Bool, interrupter: Interrupter) throws {
    let sleeper = try Sleeper(isHousekeeper: isHousekeeper, interrupter)
    let runs = Counter()
    let work = try sleeper.coordinator.register(counting: runs)
    let step = sleeper.sleep()
    sleeper.coordinator.send(work, to: sleeper.number, urgency: .immediate)
    try sleeper.expectEnd(of: step)
    #expect(runs.value == 1)
    try sleeper.cpu.end()
  }

  @Test("what a helper ran wakes the sleeper", arguments: kinds)
  func helped(isHousekeeper: Bool, interrupter: Interrupter) throws {
    let sleeper = try Sleeper(isHousekeeper: isHousekeeper, interrupter)
    let runs = Counter()
    var options = WorkType.Options()
    options.mayRunOnBehalf = true
    let work = try sleeper.coordinator.register(options: options, counting: runs)
    let step = sleeper.sleep()
    #expect(
      sleeper.coordinator.send(work, to: sleeper.number, urgency: .onBehalf) == .ranOnBehalf)
    try sleeper.expectEnd(of: step)
    #expect(runs.value == 1)
    try sleeper.cpu.end()
  }

  /// Whoever sent it saw kernel, where the handler had brought the CPU, and the sleep goes on after
  /// the handler. The signal comes from a kick whose sender has not come to its look yet.
  @Test("what comes while a sleeper's signal handler runs wakes it", .needsQueuedSignals)
  func afterTheHandler() throws {
    let sleeper = try Sleeper(isHousekeeper: false, .signal)
    let coordinator = sleeper.coordinator
    let slot = coordinator.core.slots[1]
    let (isThere, mayEnd) = (Flag(), Flag())
    var options = WorkType.Options()
    options.isInterruptSafe = true
    let work = try coordinator.register("safe", options: options) { _ in
      isThere.raise()
      mayEnd.wait()
    }
    let step = sleeper.sleep()
    #expect(coordinator.send(work, to: 1) == .deferred)
    let reach = Reach(rawValue: slot.state.reach.load(ordering: .relaxed))
    _ = unsafe CurrentThread.interrupt(reach.threadID, signal: reach.signal, cpu: slot.base) {
      unsafe InterruptHandler.run($0)
    }
    isThere.wait()
    let patient = PlainThread.start {
      coordinator.call(on: [1], timeout: .seconds(20)) { _ in }
    }
    #expect(
      eventually {
        let pending = slot.state.work.load(ordering: .relaxed)
        return pending >> BuiltInWork.patientCalls & 1 != 0
      })
    // The caller has looked whether it sleeps, or will have soon.
    usleep(20_000)
    mayEnd.raise()
    #expect(try patient.value()[.executed] == [1])
    try sleeper.expectEnd(of: step)
    try sleeper.cpu.end()
  }

  @Test("a call wakes everybody, whether it may run in a signal handler or not", arguments: kinds)
  func call(isHousekeeper: Bool, interrupter: Interrupter) throws {
    let sleeper = try Sleeper(isHousekeeper: isHousekeeper, interrupter)
    for isInterruptSafe in [false, true] {
      // A safe call runs in the signal handler: it is over when the sleeper wakes.
      let served = Flag()
      let step = sleeper.cpu.start { cpu in
        while !served.isRaised { cpu.idle() }
      }
      #expect(eventually { sleeper.coordinator.context(of: sleeper.number) == .idle })
      let report = sleeper.coordinator.call(
        on: [sleeper.number], timeout: .seconds(20), isInterruptSafe: isInterruptSafe
      ) { _ in served.raise() }
      #expect(report[.executed] == [sleeper.number])
      try sleeper.expectEnd(of: step)
    }
    try sleeper.cpu.end()
  }

  @Test(
    "a CPU with something pending runs it instead of sleeping, and what that sends",
    arguments: kinds)
  func pending(isHousekeeper: Bool, interrupter: Interrupter) throws {
    let sleeper = try Sleeper(isHousekeeper: isHousekeeper, interrupter)
    let (runs, coordinator) = (Counter(), sleeper.coordinator)
    let note = Note("ran", Journal<String>()) { runs.increment() }
    let work = try coordinator.register("poster") { [unowned coordinator] in
      _ = unsafe coordinator.post(on: CPUMask($0), context: note.context, Note.function)
    }
    coordinator.send(work, to: sleeper.number)
    try sleeper.expectEnd(of: sleeper.cpu.start { $0.idle() })
    #expect(runs.value == 1)
    try sleeper.cpu.end()
  }

  @Test(
    "a call that posts another while its CPU goes to sleep is not left behind", arguments: kinds)
  func postsOnTheWay(isHousekeeper: Bool, interrupter: Interrupter) throws {
    let sleeper = try Sleeper(isHousekeeper: isHousekeeper, interrupter)
    let (runs, number, coordinator) = (Counter(), sleeper.number, sleeper.coordinator)
    let second = Note("second", Journal<String>()) { runs.increment() }
    let first = Note("first", Journal<String>()) { [unowned coordinator] in
      _ = unsafe coordinator.post(on: CPUMask(number), context: second.context, Note.function)
    }
    _ = unsafe coordinator.post(on: CPUMask(number), context: first.context, Note.function)
    // A loop that waits for what a handler does.
    try sleeper.expectEnd(of: sleeper.cpu.start { cpu in while runs.value == 0 { cpu.idle() } })
    try sleeper.cpu.end()
  }

  @Test(
    "no wake-up is lost between a housekeeper's last look and its sleep",
    arguments: [Interrupter.park, .signal])
  func race(interrupter: Interrupter) throws {
    let sleeper = try Sleeper(isHousekeeper: true, interrupter)
    let (runs, stop) = (Counter(), Flag())
    let work = try sleeper.coordinator.register(counting: runs)
    let loop = sleeper.cpu.start { cpu in
      while !stop.isRaised { cpu.idle() }
    }
    var rounds = 0
    for round in 1...1_000 {
      rounds = round
      sleeper.coordinator.send(work, to: 0)
      if !eventually(within: .seconds(20), { sleeper.coordinator.statistics()[work].pending == 0 })
      {
        Issue.record("the send of round \(round) woke nobody")
        break
      }
    }
    stop.raise()
    sleeper.coordinator.send(work, to: 0)
    sleeper.rescue()
    try loop.value()
    sleeper.coordinator.expectBalance(of: work, sent: UInt64(rounds + 1))
    try sleeper.cpu.end()
  }

  @Test("an isolated sleeper leaves what is deferred where it is, and runs it when it wakes")
  func isolatedNotWoken() throws {
    let sleeper = try Sleeper(isHousekeeper: false, .poll)
    let runs = Counter()
    let work = try sleeper.coordinator.register(counting: runs)
    let start = ContinuousClock.now
    let step = sleeper.sleep(for: .seconds(2))
    #expect(sleeper.coordinator.send(work, to: 1) == .deferred)
    try step.value()
    #expect(ContinuousClock.now - start >= .seconds(2))
    #expect(runs.value == 1)
    try sleeper.cpu.end()
  }

  @Test(
    "no call is lost between an isolated CPU's last look and its sleep",
    arguments: [Interrupter.poll, .signal], [false, true])
  func callRace(interrupter: Interrupter, isInterruptSafe: Bool) throws {
    let sleeper = try Sleeper(isHousekeeper: false, interrupter)
    let stop = Flag()
    let loop = sleeper.cpu.start { cpu in
      while !stop.isRaised { cpu.idle() }
    }
    for round in 1...500 {
      let report = sleeper.coordinator.call(
        on: [1], timeout: .seconds(20), isInterruptSafe: isInterruptSafe
      ) { _ in }
      if report[.executed] != [1] {
        Issue.record("the call of round \(round) woke nobody")
        break
      }
    }
    stop.raise()
    // A token wakes it now, or keeps it from its next sleep.
    sleeper.rescue()
    try loop.value()
    try sleeper.cpu.end()
  }
}
