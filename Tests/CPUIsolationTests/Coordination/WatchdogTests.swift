// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Testing

@testable import CPUIsolation

@Suite("Watchdog")
struct WatchdogTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread
  let reports = Journal<Coordinator.StallReport>()

  init() throws {
    coordinator = try Coordinator(Self.watched(.poll, reports))
    cpu = try ScriptedThread(coordinator, on: 1)
  }

  /// A watchdog that looks often and is soon worried.
  static func watched(_ interrupter: Interrupter, _ reports: Journal<Coordinator.StallReport>)
    -> Coordinator.Configuration
  {
    var configuration = Coordinator.Configuration.scripted(isolated: 1, interrupter)
    configuration.watchdog = .init()
    configuration.watchdog?.interval = .milliseconds(1)
    configuration.watchdog?.stallThreshold = .milliseconds(20)
    configuration.watchdog?.report = { reports.append($0) }
    return configuration
  }

  /// The first report of this kind, once it has come.
  func report(_ kind: Coordinator.StallReport.Kind) throws -> Coordinator.StallReport {
    #expect(eventually { reports.entries.contains { $0.kind == kind } }, "\(reports.entries)")
    return try #require(reports.entries.first { $0.kind == kind })
  }

  @Test("a CPU that stays in kernel is named, with the work and its sender, and its recovery, too")
  func kernelWithoutSafePoint() throws {
    let work = try coordinator.register("flush") { _ in }
    coordinator.send(work, to: 1, file: "Somewhere/Sender.swift", line: 42)
    let stall = try report(.kernelWithoutSafePoint)
    #expect(stall.cpu == 1)
    #expect(stall.context == .kernel)
    #expect(stall.work == "flush")
    #expect(stall.sender == "Somewhere/Sender.swift:42")
    #expect(stall.age >= .milliseconds(20))
    #expect(stall.occurrence == 1)
    #expect(!stall.kickedAgain)
    #expect(stall.description.contains("CPU 1 (kernel) is in kernel"))
    #expect(stall.description.contains("flush waits, sent from Somewhere/Sender.swift:42"))
    #expect(!reports.entries.contains { $0.kind == .recovered })
    try cpu.safePoint()
    let recovery = try report(.recovered)
    #expect(recovery.cpu == 1)
    #expect(recovery.work == "flush")
    #expect(recovery.age >= stall.age)
    try cpu.end()
  }

  @Test("of several senders the one that set the bit is named, among others perhaps")
  func sender() throws {
    let work = try coordinator.register("flush") { _ in }
    coordinator.send(work, to: 1, file: "Early.swift", line: 1)
    try cpu.safePoint()
    let sender = try coordinator.makeSender()
    let outcome = sender.send(work, to: 1, file: "Culprit.swift", line: 2)
    #expect(outcome == .queued)
    #expect(try report(.kernelWithoutSafePoint).sender?.contains("Culprit.swift:2") == true)
    try cpu.end()
  }

  @Test("reports of one stall come at doubling distances")
  func backsOff() throws {
    let work = try coordinator.register("flush") { _ in }
    coordinator.send(work, to: 1)
    #expect(eventually { reports.entries.count >= 4 })
    let first = reports.entries.prefix(4)
    #expect(first.map(\.occurrence) == [1, 2, 3, 4])
    for (earlier, later) in zip(first, first.dropFirst()) {
      #expect(later.age >= earlier.age * 2)
    }
    try cpu.end()
  }

  @Test("a deferral to a CPU in user is no stall, however old")
  func noStall() throws {
    let work = try coordinator.register("flush") { _ in }
    try cpu.enterUser()
    coordinator.send(work, to: 1)
    #expect(
      eventually { coordinator.statistics()[work].oldestPending ?? .zero > .milliseconds(100) })
    #expect(reports.entries.isEmpty)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a kick that nobody answers is reported, and repeated")
  func kickUnanswered() throws {
    let work = try coordinator.register("flush") { _ in }
    try cpu.enterUser()
    #expect(coordinator.send(work, to: 1, urgency: .immediate) == .interrupted)
    let stall = try report(.kickUnanswered)
    #expect(stall.context == .user)
    #expect(stall.work == "flush")
    #expect(stall.kickedAgain)
    #expect(stall.sender?.contains("WatchdogTests.swift:") == true)
    try cpu.poll()
    #expect(try report(.recovered).work == "flush")
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a call that nobody runs is reported as a cross call, with its caller")
  func callUnanswered() throws {
    try cpu.enterUser()
    let call = PlainThread.start { [coordinator] in
      coordinator.call(on: [1], timeout: .seconds(30), file: "Caller.swift", line: 7) { _ in }
    }
    let stall = try report(.kickUnanswered)
    #expect(stall.work == "cross call")
    #expect(stall.sender == "Caller.swift:7")
    try cpu.poll()
    #expect(try call.value()[.executed] == [1])
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a handler that does not return is named")
  func handlerRunning() throws {
    let mayEnd = Flag()
    let slow = try coordinator.register("slow") { _ in mayEnd.wait() }
    try cpu.enterUser()
    coordinator.send(slow, to: 1)
    let entry = cpu.start { $0.enterKernel() }
    let stall = try report(.handlerRunning)
    #expect(stall.cpu == 1)
    #expect(stall.work == "slow")
    mayEnd.raise()
    try entry.value()
    #expect(try report(.recovered).work == "slow")
    try cpu.end()
  }

  @Test("two runs of a catch-up handler are not taken for one that does not return")
  func catchUpHandlerRunsAgain() throws {
    let reports = Journal<Coordinator.StallReport>()
    var configuration = Self.watched(.poll, reports)
    configuration.watchdog?.isManual = true
    let coordinator = try Coordinator(configuration)
    let thread = try ScriptedThread(coordinator, on: 1)
    let runs = Counter()
    let mayEnd = [Flag(), Flag()]
    var options = WorkType.Options()
    options.delivery = .catchUp
    let work = try coordinator.register("catch up", options: options) { _ in
      runs.increment()
      mayEnd[runs.value - 1].wait()
    }
    for run in 1...2 {
      try thread.enterUser()
      coordinator.send(work, to: 1)
      let entry = thread.start { $0.enterKernel() }
      #expect(eventually { runs.value == run })
      coordinator.advanceClock(by: .milliseconds(30))
      #expect(reports.entries.isEmpty)
      if run == 2 {
        coordinator.advanceClock(by: .milliseconds(30))
        #expect(reports.entries.map(\.kind) == [.handlerRunning])
      }
      mayEnd[run - 1].raise()
      try entry.value()
    }
    try thread.end()
    try cpu.end()
  }

  @Test("a call that does not return is named")
  func callRunning() throws {
    let mayEnd = Flag()
    try cpu.enterUser()
    let call = PlainThread.start { [coordinator] in
      coordinator.call(on: [1], timeout: .seconds(30)) { _ in mayEnd.wait() }
    }
    #expect(eventually { ContextTracker(coordinator.core.slots[1]).isAttentionWanted })
    let poll = cpu.start { $0.poll() }
    #expect(try report(.handlerRunning).work == "cross call")
    mayEnd.raise()
    try poll.value()
    #expect(try call.value()[.executed] == [1])
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a helper that does not let go is reported")
  func helperHoldsPin() throws {
    let mayEnd = Flag()
    var options = WorkType.Options()
    options.mayRunOnBehalf = true
    let slow = try coordinator.register("slow", options: options) { _ in mayEnd.wait() }
    try cpu.enterUser()
    let helper = Guarded<Int32>(0)
    let help = PlainThread.start { [coordinator] in
      helper.withLock { $0 = CurrentThread.id }
      return coordinator.send(slow, to: 1, urgency: .onBehalf)
    }
    let stall = try report(.helperHoldsPin)
    #expect(stall.cpu == 1)
    #expect(stall.thread?.id == helper.withLock { $0 })
    #expect(stall.thread?.name != nil)
    #expect(stall.description.contains("pinned by thread \(helper.withLock { $0 }) ("))
    mayEnd.raise()
    #expect(try help.value() == .ranOnBehalf)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test(
    "a kick by a signal whose handler the program has replaced is told so", .needsQueuedSignals)
  func foreignHandler() async {
    await #expect(processExitsWith: .success) {
      let reports = Journal<Coordinator.StallReport>()
      var configuration = WatchdogTests.watched(.signal, reports)
      configuration.watchdog?.stallThreshold = .milliseconds(5)
      let coordinator = try Coordinator(configuration)
      let work = try coordinator.register("work", options: .init()) { _ in }
      let cpu = try ScriptedThread(coordinator, on: 1)
      try cpu.enterUser()
      _ = signal(coordinator.signal, { _ in })
      guard coordinator.send(work, to: 1, urgency: .immediate) == .interrupted else { exit(2) }
      let isTold = eventually {
        reports.entries.contains {
          $0.kind == .kickUnanswered && $0.foreignSignal == coordinator.signal
            && $0.description.contains(
              "signal \(coordinator.signal) has a handler that is not this library's")
        }
      }
      exit(isTold ? 0 : 3)
    }
  }

  @Test("a coordinator may end on its watchdog's thread")
  func endsOnWatchdog() async {
    await #expect(processExitsWith: .success) {
      let reports = Journal<Coordinator.StallReport>()
      let last = LastReference()
      var configuration = WatchdogTests.watched(.poll, reports)
      configuration.watchdog?.report = { report in
        reports.append(report)
        // The recovery comes when the CPU has gone: nobody else refers to the coordinator any more.
        if report.kind == .recovered { last.coordinator.withLock { $0 = nil } }
      }
      func stallAndLeave() throws {
        let coordinator = try Coordinator(configuration)
        last.coordinator.withLock { $0 = coordinator }
        let work = try coordinator.register("flush") { _ in }
        let cpu = try ScriptedThread(coordinator, on: 1)
        coordinator.send(work, to: 1)
        #expect(eventually { !reports.entries.isEmpty })
        try cpu.end()
      }
      try stallAndLeave()
      #expect(eventually { last.coordinator.withLock { $0 == nil } })
      // Whoever uses memory that is gone has time to find out.
      for _ in 0..<200 { _ = eventually(within: .milliseconds(1)) { false } }
    }
  }

  @Test("coordinators that end at once end well")
  func shortLives() async {
    await #expect(processExitsWith: .success) {
      for _ in 0..<3_000 {
        var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
        configuration.watchdog?.interval = .microseconds(10)
        _ = try Coordinator(configuration)
      }
    }
  }

  private final class LastReference: Sendable { let coordinator = Guarded<Coordinator?>(nil) }
}
