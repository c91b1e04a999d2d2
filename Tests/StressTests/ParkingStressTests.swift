// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Testing

extension StressTests {
  /// Sleepers that nobody nudges but the sends themselves: one lost wake-up, and the waiter's deadline comes.
  @Suite struct Parking {
    struct Case: Sendable, CustomTestStringConvertible {
      var seed: UInt64
      var senders: Int
      var sleepers: Int
      var interrupter: Interrupter
      var isolated = false
      var testDescription: String {
        "seed \(seed): \(senders) senders, \(sleepers) \(isolated ? "isolated CPUs" : "housekeepers"), "
          + "\(interrupter)"
      }
    }

    @Test(arguments: [
      Case(seed: 81, senders: 1, sleepers: 1, interrupter: .park),
      Case(seed: 82, senders: 3, sleepers: 2, interrupter: .park),
      Case(seed: 84, senders: 8, sleepers: 6, interrupter: .park),
      Case(seed: 85, senders: 2, sleepers: 1, interrupter: .poll, isolated: true),
    ])
    func noWakeUpIsLost(_ test: Case) throws { try Self.run(test) }

    @Test(
      .disabled(
        if: StressDuration.isThreadSanitized,
        "ThreadSanitizer holds signals back from a thread that sleeps in a system call of its own"),
      arguments: [
        Case(seed: 83, senders: 2, sleepers: 1, interrupter: .signal),
        Case(seed: 86, senders: 3, sleepers: 1, interrupter: .signal, isolated: true),
      ])
    func noWakeUpBySignalIsLost(_ test: Case) throws { try Self.run(test) }

    private static func run(_ test: Case) throws {
      let all = CPUMask(0..<test.sleepers)
      var configuration = Coordinator.Configuration(
        housekeeping: test.isolated ? [] : all, isolated: test.isolated ? all : [])
      configuration.isolatedInterrupter = test.interrupter
      configuration.housekeepingInterrupter = test.interrupter
      configuration.pinning = .none
      configuration.watchdog = nil  // It would kick again, and hide what is lost.
      let coordinator = try Coordinator(configuration)
      let ledger = DeferralLedger(cpus: test.sleepers, types: 1, writers: test.senders)
      let probe = HandlerProbe(ledger, type: 0, coordinator)
      let work = try probe.register("work", .init())
      let violations = Violations()
      let stop = SharedFlag()
      let sleepers = try (0..<test.sleepers).map { cpu in
        try coordinator.launch(on: cpu) { local in
          while !stop.isSet { local.idle() }
        }
      }
      let until = Until(StressDuration.ofCase(0.5))
      TestThread.run(test.senders) { index in
        var random = SeededGenerator(seed: test.seed, stream: index)
        while !until.isOver {
          let cpu = random.below(test.sleepers)
          // Sometimes the sleeper is asleep by then, sometimes on its way.
          for _ in 0..<random.below(300) where stop.isSet { return }
          if random.oneIn(4) { sched_yield() }
          switch random.below(test.interrupter == .signal ? 5 : 4) {
          case 0, 1:
            let number = ledger.issue(by: index, type: 0, cpu: cpu)
            // An isolated sleeper is woken by what is immediate alone.
            let ticket = coordinator.sendWithTicket(
              work, to: [cpu], urgency: test.isolated ? .immediate : .deferrable)
            if test.isolated, test.interrupter == .signal { continue }
            let outcome = ticket.wait(until: .executed, timeout: StressDuration.generous)
            violations.check(outcome == .settled, "a send to sleeping CPU \(cpu): \(outcome)")
            violations.check(
              ledger.seen(of: index, type: 0, cpu: cpu) >= number, "executed, but not seen")
          case 2, 3:
            let report = coordinator.call(on: [cpu], timeout: StressDuration.generous) { _ in }
            violations.check(report[.executed] == [cpu], "a call to sleeping CPU \(cpu): \(report)")
          default:
            // Keeps the signal handler busy while others send what it must not run.
            let report = coordinator.call(
              on: [cpu], timeout: StressDuration.generous, isInterruptSafe: true
            ) { _ in for _ in 0..<500 where stop.isSet { return } }
            violations.check(report[.executed] == [cpu], "a call to sleeping CPU \(cpu): \(report)")
          }
        }
      }
      stop.set()
      Self.wakeForGood(coordinator, work, test, violations)
      for sleeper in sleepers { sleeper.join() }
      ledger.checkFaults(violations)
      violations.expectNone(test.testDescription)
      withExtendedLifetime(probe) {}
    }

    /// What cannot wait wakes a sleeper, even if its signal handler must not run it.
    private static func wakeForGood(
      _ coordinator: Coordinator, _ work: WorkType, _ test: Case, _ violations: Violations
    ) {
      coordinator.send(work, to: coordinator.cpus, urgency: .immediate)
      let areAwake = eventually(within: .seconds(20)) { coordinator.attached.isEmpty }
      violations.check(
        areAwake, "CPUs \(coordinator.attached) sleep on after an immediate send")
      while !coordinator.attached.isEmpty { coordinator.close(timeout: .milliseconds(1)) }
    }
  }
}
