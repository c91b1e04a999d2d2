// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Testing

extension StressTests {
  /// Closing while everybody is at work.
  @Suite struct Closing {
    @Test(arguments: [91, 92, 93] as [UInt64])
    func racesWithSends(seed: UInt64) throws {
      var random = SeededGenerator(seed: seed)
      let until = Until(StressDuration.ofCase(0.6))
      let violations = Violations()
      var round = 0
      while !until.isOver || round < 3 {
        round += 1
        try Self.closeOnce(seed: seed, round: round, delay: random.below(3000), violations)
      }
      violations.expectNone("seed \(seed), \(round) rounds")
    }

    /// A thread that attaches has what was turned before, or is told that it comes too late.
    @Test func racesWithAttachments() throws {
      let until = Until(StressDuration.ofCase(1))
      let violations = Violations()
      var tally = AttachmentTally()
      while !until.isOver || tally.attached == 0 || tally.refused == 0 {
        try tally.closeOnce(violations)
      }
      print("\(tally.attached) threads attached to coordinators that were closed")
      violations.expectNone("\(tally.attached) attachments, \(tally.refused) refused")
    }

    private static func closeOnce(
      seed: UInt64, round: Int, delay: Int, _ violations: Violations
    ) throws {
      let coordinator = try Coordinator(.init(housekeeping: [0], isolated: [1]))
      let senders = 2
      let ledger = DeferralLedger(cpus: 2, types: 1, writers: senders)
      let isClosed = SharedFlag()
      let probe = HandlerProbe(ledger, type: 0, coordinator) { cpu in
        violations.check(!isClosed.isSet, "a handler ran on CPU \(cpu) after close had returned")
      }
      let work = try probe.register("work", .init())
      let stop = SharedFlag()
      let housekeeper = try coordinator.launch(on: 0) { local in
        // No time-out: closing has to wake it.
        while !stop.isSet { local.idle() }
      }
      let isolated = try coordinator.launch(on: 1) { local in
        while !stop.isSet { local.inUser { local.poll() } }
      }
      let others = (0..<senders + 1).map { index in
        TestThread {
          var random = SeededGenerator(seed: seed, stream: round * 10 + index)
          if index == senders {
            call(coordinator, violations, &random)
          } else {
            send(coordinator, work, ledger, violations, index, &random)
          }
        }
      }
      for _ in 0..<delay where stop.isSet { return }
      if delay % 2 == 0 { sched_yield() }
      stop.set()
      let end = coordinator.close(timeout: .seconds(30))
      isClosed.set()
      violations.check(end == .settled, "not let go: \(end)")
      let pending = coordinator.pendingWork
      violations.check(
        pending.isEmpty, "round \(round): pending where nobody is attached: \(pending)")
      for thread in others { thread.join() }
      // Whoever was not woken by closing is woken now, so that the test ends.
      if end.stragglers.contains(0) {
        while coordinator.attached.contains(0) {
          coordinator.close(timeout: .zero)
          sched_yield()
        }
      }
      housekeeper.join()
      isolated.join()
      for cpu in 0..<2 {
        ledger.check(ledger.promises(to: cpu), of: cpu, after: "close", violations)
        let counts = coordinator.statistics()[work, on: cpu]
        violations.check(
          counts.sent == counts.executed + counts.merged + counts.pending + counts.gone,
          "out of balance: \(counts)")
      }
      checkClosed(coordinator, work, violations)
      withExtendedLifetime(probe) {}
    }

    private static func send(
      _ coordinator: Coordinator, _ work: WorkType, _ ledger: DeferralLedger,
      _ violations: Violations, _ writer: Int, _ random: inout SeededGenerator
    ) {
      while true {
        let cpu = random.below(2)
        let number = ledger.issue(by: writer, type: 0, cpu: cpu)
        switch coordinator.send(work, to: cpu) {
        case .gone: break
        case .rejected(let reason):
          return violations.check(reason == .closed, "a closed coordinator says \(reason)")
        default: ledger.promise(number, by: writer, type: 0, cpu: cpu)
        }
      }
    }

    /// Waits with no deadline at all: closing has to end the wait.
    private static func call(
      _ coordinator: Coordinator, _ violations: Violations, _ random: inout SeededGenerator
    ) {
      while true {
        let report = coordinator.call(on: [0, 1]) { _ in }
        if report.refusal == .closed { return }
        let all = report[.executed].union(report[.timedOut]).union(report[.gone])
        violations.check(all == [0, 1], "a call was reported as \(report)")
      }
    }

    private static func checkClosed(
      _ coordinator: Coordinator, _ work: WorkType, _ violations: Violations
    ) {
      violations.check(coordinator.send(work, to: 1) == .rejected(.closed), "send after close")
      violations.check(
        coordinator.send(work, to: [0, 1]).refusal == .rejected(.closed), "send after close")
      violations.check(coordinator.call(on: [1]) { _ in }.refusal == .closed, "call after close")
      let ticket = coordinator.sendWithTicket(work, to: [1])
      violations.check(ticket.wait(until: .executed) == .settled, "ticket after close")
      func expect(_ code: IsolationError.Code, _ action: () throws -> Void) {
        do {
          try action()
          violations.note("something was possible after close that should be \(code)")
        } catch let error as IsolationError {
          violations.check(error.code == code, "after close: \(error)")
        } catch {
          violations.note("\(error)")
        }
      }
      expect(.closed) { _ = try coordinator.attach(to: 1) }
      expect(.closed) { try coordinator.launch(on: 1) { _ in } }
      expect(.closed) { _ = try coordinator.makeSender() }
      expect(.closed) { _ = try coordinator.register("late") { _ in } }
    }

    /// A housekeeper that has just looked whether it should end, and goes to sleep, is let go too.
    @Test func letsGoWhoeverGoesToSleep() throws {
      var random = SeededGenerator(seed: 94)
      let violations = Violations()
      let until = Until(StressDuration.ofCase(0.6))
      while !until.isOver {
        var configuration = Coordinator.Configuration(housekeeping: [0, 1], isolated: [])
        configuration.pinning = .none
        configuration.watchdog = nil
        let coordinator = try Coordinator(configuration)
        let work = try coordinator.register("wake") { _ in }
        let stop = SharedFlag()
        let threads = try (0..<2).map { cpu in
          let pause = random.below(3000)
          return try coordinator.launch(on: cpu) { local in
            while !stop.isSet {
              // It has looked, and is not asleep yet.
              for _ in 0..<pause where local.context == .offline { return }
              local.idle()
            }
          }
        }
        for _ in 0..<random.below(4) {
          // They wake up, look, and are on their way to sleep again when the coordinator closes.
          coordinator.send(work, to: [0, 1])
          for _ in 0..<random.below(2000) where stop.isSet { break }
        }
        stop.set()
        let end = coordinator.close(timeout: .seconds(20))
        violations.check(end == .settled, "asleep: \(end)")
        while !coordinator.attached.isEmpty { coordinator.close(timeout: .milliseconds(1)) }
        for thread in threads { thread.join() }
        if end != .settled { break }
      }
      violations.expectNone("seed 94")
    }

    /// The watchdog may hold the last reference for a moment: the coordinator must not end on its thread.
    @Test func theLastReferenceRacesWithTheWatchdog() throws {
      let until = Until(StressDuration.ofCase(0.5))
      while !until.isOver {
        var configuration = Coordinator.Configuration(housekeeping: [], isolated: [0])
        configuration.watchdog?.interval = .microseconds(20)
        configuration.watchdog?.stallThreshold = .microseconds(1)
        configuration.watchdog?.report = { _ in }
        let coordinator = try Coordinator(configuration)
        var options = WorkType.Options()
        options.maximumAge = .microseconds(1)
        let work = try coordinator.register("aged", options: options) { _ in }
        let local = try coordinator.attach(to: 0)
        for _ in 0..<20 {
          coordinator.send(work, to: 0, urgency: .deferrable)
          local.inUser {
            coordinator.send(work, to: 0)
            usleep(50)
          }
        }
        local.detach()
      }
    }
  }
}

/// Threads that attach and look at a key, until they are told that the coordinator is closed.
private struct AttachmentTally {
  private(set) var attached = 0
  private(set) var refused = 0

  mutating func closeOnce(_ violations: Violations) throws {
    let cpus = 8
    var configuration = Coordinator.Configuration(
      housekeeping: [0], isolated: CPUMask(1..<cpus + 1))
    configuration.pinning = .none
    let coordinator = try Coordinator(configuration)
    let keys = try StaticKeys(coordinator)
    let key = try keys.makeKey("on", isEnabled: true)
    let immediate = try keys.makeKey("on, and never deferred", isEnabled: true, neverDeferred: true)
    let attachments = SharedCounter()
    let refusals = SharedCounter()
    let threads = (1...cpus).map { number in
      TestThread {
        while true {
          do throws(IsolationError) {
            let cpu = try coordinator.attach(to: number)
            attachments.add()
            violations.check(key.isEnabled(on: cpu), "CPU \(number) attached, and the key is off")
            violations.check(immediate.isEnabled(on: cpu), "CPU \(number), and the other is off")
          } catch {
            if error.code == .closed { refusals.add() }
            return
          }
        }
      }
    }
    while attachments.value == 0 { sched_yield() }
    coordinator.close()
    for thread in threads { thread.join() }
    attached += attachments.value
    refused += refusals.value
  }
}
