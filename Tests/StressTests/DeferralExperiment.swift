// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

/// One run of a scenario: senders at isolated CPUs that come and go between user and kernel as their seeds say.
final class DeferralExperiment: Sendable {
  let scenario: DeferralScenario
  let coordinator: Coordinator
  let ledger: DeferralLedger
  let works: WorkList
  let violations = Violations()
  let stop = SharedFlag()
  private let probes = Guarded<[HandlerProbe]>([])

  init(_ scenario: DeferralScenario) throws {
    self.scenario = scenario
    var configuration = Coordinator.Configuration(
      housekeeping: [], isolated: CPUMask(0..<scenario.isolated))
    configuration.isolatedInterrupter = scenario.interrupter
    configuration.pinning = .none
    configuration.watchdog?.report = { _ in }
    coordinator = try Coordinator(configuration)
    works = WorkList(capacity: scenario.types)
    // The writers are the senders, each CPU's thread, and each CPU's handlers.
    ledger = DeferralLedger(
      cpus: scenario.isolated, types: scenario.types,
      writers: scenario.senders + 2 * scenario.isolated)
    for type in 0..<scenario.types { try register(type) }
  }

  private func register(_ type: Int) throws {
    var options = WorkType.Options()
    options.isInterruptSafe = scenario.interrupter == .signal
    options.mayRunOnBehalf = scenario.urgencies.contains(.onBehalf)
    options.expectsManySenders = scenario.expectsManySenders
    let (coordinator, ledger, works) = (coordinator, ledger, works)
    let writer = scenario.senders + scenario.isolated
    // Even types pass the baton to the odd ones, which keep it: the chain ends.
    let passes = scenario.handlersSend && type % 2 == 0 && type + 1 < scenario.types
    let probe = HandlerProbe(ledger, type: type, coordinator) { cpu in
      guard passes else { return }
      let number = ledger.issue(by: writer + cpu, type: type + 1, cpu: cpu)
      let outcome = coordinator.send(works[type + 1], to: cpu)
      if outcome != .gone {
        ledger.promise(number, by: writer + cpu, type: type + 1, cpu: cpu)
      }
    }
    works.append(try probe.register("type \(type)", options))
    probes.withLock { $0.append(probe) }
  }

  func run() throws {
    let deadline = StressDuration.ofCase(scenario.seconds)
    let owners = try (0..<scenario.isolated).map { cpu in
      try coordinator.launch(on: cpu) { [self] local in own(local, cpu) }
    }
    let until = Until(deadline)
    TestThread.run(scenario.senders) { [self] sender in send(sender, until) }
    stop.set()
    for owner in owners { owner.join() }
    checkEnd()
  }

  /// When all threads have ended, the books have to balance.
  private func checkEnd() {
    let statistics = coordinator.statistics()
    for cpu in 0..<scenario.isolated {
      ledger.check(ledger.promises(to: cpu), of: cpu, after: "its end", violations)
      violations.check(statistics[cpu: cpu].transitions > 0, "CPU \(cpu) made no transition")
      for type in 0..<scenario.types {
        let counts = statistics[works[type], on: cpu]
        let name = "type \(type) on CPU \(cpu)"
        violations.check(
          counts.sent == counts.executed + counts.merged + counts.pending + counts.gone,
          "\(name) is out of balance: \(counts)")
        violations.check(counts.pending == 0, "\(name) is pending: \(counts)")
        let runs = ledger.runs(type: type, cpu: cpu)
        violations.check(
          runs == counts.executed, "\(name) ran \(runs) times, counted \(counts.executed)")
        // A run without a new send would be one too many here.
        violations.check(
          runs == counts.sent - counts.merged - counts.gone,
          "\(name) ran \(runs) times: \(counts)")
      }
    }
    ledger.checkFaults(violations)
    violations.expectNone(scenario)
  }
}
