// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Testing

extension StressTests {
  /// CPUs that change hands all the time while senders do not care.
  @Suite struct SlotReuse {
    struct Case: Sendable, CustomTestStringConvertible {
      var seed: UInt64
      var senders: Int
      var owners: Int
      var slots: Int
      var interrupter = Interrupter.poll
      var testDescription: String {
        "seed \(seed): \(senders) senders, \(owners) threads for \(slots) CPUs, \(interrupter)"
      }
    }

    /// A send that was accepted is seen by a handler, or was written before the CPU's present thread
    /// began: that one has seen it by itself. Nothing runs for two threads of one CPU at once.
    @Test(arguments: [
      Case(seed: 21, senders: 2, owners: 2, slots: 1),
      Case(seed: 22, senders: 4, owners: 3, slots: 2),
      Case(seed: 23, senders: 3, owners: 3, slots: 1, interrupter: .signal),
      Case(seed: 24, senders: 6, owners: 8, slots: 3),
    ])
    func acceptedSendsAreSeen(_ test: Case) throws {
      var configuration = Coordinator.Configuration(
        housekeeping: [], isolated: CPUMask(0..<test.slots))
      configuration.isolatedInterrupter = test.interrupter
      configuration.watchdog?.report = { _ in }
      let coordinator = try Coordinator(configuration)
      let types = 2
      let ledger = DeferralLedger(cpus: test.slots, types: types, writers: test.senders)
      var options = WorkType.Options()
      options.isInterruptSafe = true
      options.mayRunOnBehalf = true
      let probes = (0..<types).map { HandlerProbe(ledger, type: $0, coordinator) }
      let works = WorkList(capacity: types)
      for probe in probes { works.append(try probe.register("churn", options)) }
      let violations = Violations()
      let attachments = SharedCounter()
      let until = Until(StressDuration.ofCase(1))

      TestThread.run(test.senders + test.owners) { index in
        var random = SeededGenerator(seed: test.seed, stream: index)
        if index < test.senders {
          Self.send(coordinator, works, ledger, violations, until, index, &random)
        } else {
          while !until.isOver {
            let cpu = random.below(test.slots)
            if Self.own(coordinator, cpu, ledger, violations, &random) { attachments.add() }
          }
        }
      }
      let statistics = coordinator.statistics()
      for cpu in 0..<test.slots {
        for type in 0..<types {
          let counts = statistics[works[type], on: cpu]
          violations.check(
            counts.sent == counts.executed + counts.merged + counts.pending + counts.gone,
            "type \(type) on CPU \(cpu) is out of balance: \(counts)")
          violations.check(
            ledger.runs(type: type, cpu: cpu) == counts.executed,
            "type \(type) on CPU \(cpu) ran \(ledger.runs(type: type, cpu: cpu)) times: \(counts)")
        }
      }
      ledger.checkFaults(violations)
      violations.check(attachments.value > 1, "no slot changed hands")
      violations.expectNone(test.testDescription)
      withExtendedLifetime(probes) {}
    }

    /// One thread's time on a CPU; false if somebody else had it.
    private static func own(
      _ coordinator: Coordinator, _ cpu: Int, _ ledger: DeferralLedger, _ violations: Violations,
      _ random: inout SeededGenerator
    ) -> Bool {
      do {
        let local = try coordinator.attach(to: cpu)
        let beginning = ledger.observed(by: cpu)
        for _ in 0..<random.below(4) {
          var promises = ledger.promises(to: cpu)
          local.inUser {
            if random.oneIn(4) { sched_yield() }
            local.poll()
            promises = ledger.promises(to: cpu)
          }
          ledger.check(
            promises, of: cpu, after: "user { }", beginning: beginning, violations)
        }
        local.detach()
        return true
      } catch {
        violations.check(error.code == .cpuTaken, "attach: \(error)")
        sched_yield()
        return false
      }
    }

    private static func send(
      _ coordinator: Coordinator, _ works: WorkList, _ ledger: DeferralLedger,
      _ violations: Violations, _ until: Until, _ writer: Int, _ random: inout SeededGenerator
    ) {
      guard let sender = try? coordinator.makeSender() else { return violations.note("no sender") }
      let urgencies: [WorkType.Urgency] = [
        .deferrable, .deferrable, .deferrable, .immediate, .onBehalf,
      ]
      while !until.isOver {
        for _ in 0..<32 {
          let type = random.below(works.count)
          let cpu = random.below(ledger.cpus)
          let number = ledger.issue(by: writer, type: type, cpu: cpu)
          let urgency = urgencies.randomElement(using: &random)!
          if random.oneIn(100) {
            let ticket = coordinator.sendWithTicket(works[type], to: [cpu], urgency: urgency)
            if !ticket.report[.gone].contains(cpu) {
              ledger.promise(number, by: writer, type: type, cpu: cpu)
            }
            let outcome = ticket.wait(until: .executed, timeout: StressDuration.generous)
            violations.check(outcome == .settled, "a ticket for CPU \(cpu): \(outcome)")
            if ticket.state(of: cpu) == .executed {
              let seen = ledger.seen(of: writer, type: type, cpu: cpu)
              violations.check(
                seen >= number, "CPU \(cpu) executed send \(number), and saw \(seen)")
            }
          } else if sender.send(works[type], to: cpu, urgency: urgency) != .gone {
            ledger.promise(number, by: writer, type: type, cpu: cpu)
          }
        }
        if random.oneIn(4) { sched_yield() }
      }
    }

    /// A ticket that says `executed` was run by somebody who saw its datum: a thread that has attached
    /// since, and counts as having seen everything, is not a run.
    @Test(arguments: [41, 42] as [UInt64])
    func ticketsTellRunsFromAttachments(seed: UInt64) throws {
      let coordinator = try Coordinator(.init(housekeeping: [], isolated: [0]))
      let ledger = DeferralLedger(cpus: 1, types: 1, writers: 1)
      let probe = HandlerProbe(ledger, type: 0, coordinator)
      let work = try probe.register("work", .init())
      let flood = try coordinator.register("flood") { _ in }
      let violations = Violations()
      let executed = SharedCounter()
      let gone = SharedCounter()
      let until = Until(StressDuration.ofCase(0.5))
      let latest = Until(StressDuration.generous)
      var isOver: Bool {
        until.isOver && (executed.value > 0 && gone.value > 0 || latest.isOver)
      }
      TestThread.run(4) { index in
        var random = SeededGenerator(seed: seed, stream: index)
        switch index {
        case 0:
          // A flood that drives detaching threads out of their rounds, so that bits are dropped: of
          // another type, whose runs do not read the datum.
          guard let sender = try? coordinator.makeSender() else {
            return violations.note("no sender")
          }
          while !isOver {
            for _ in 0..<64 { _ = sender.send(flood, to: 0) }
          }
        case 1:
          while !isOver {
            let number = ledger.issue(by: 0, type: 0, cpu: 0)
            let ticket = coordinator.sendWithTicket(work, to: [0])
            for _ in 0..<random.below(200) {
              let state = ticket.state(of: 0)
              if state == .gone { gone.add() }
              if state == .executed {
                executed.add()
                let seen = ledger.seen(of: 0, type: 0, cpu: 0)
                violations.check(seen >= number, "executed send \(number), and saw \(seen)")
              }
              if state == .gone || state == .executed { break }
              // On one processor nothing happens to the ticket while this thread has it.
              if random.oneIn(100) { sched_yield() }
            }
          }
        default:
          while !isOver {
            guard let local = try? coordinator.attach(to: 0) else {
              sched_yield()
              continue
            }
            // Now and then long enough for a ticket to be asked while its thread is still there.
            for _ in 0..<random.below(8) {
              local.inUser { local.poll() }
              for _ in 0..<random.below(300) where until.isOver { break }
              if random.oneIn(8) { sched_yield() }
            }
            local.detach()
            if random.oneIn(4) { sched_yield() }
          }
        }
      }
      violations.check(executed.value > 0 && gone.value > 0, "not both ways to end were met")
      violations.expectNone("seed \(seed), \(executed.value) executed, \(gone.value) gone")
      withExtendedLifetime(probe) {}
    }

    /// What comes while a thread is on its way out runs, or is gone.
    @Test(arguments: [25, 26] as [UInt64])
    func acceptedSendsRunOnTheWayOut(seed: UInt64) throws {
      let coordinator = try Coordinator(.init(housekeeping: [], isolated: [0]))
      let ledger = DeferralLedger(cpus: 1, types: 1, writers: 1)
      let probe = HandlerProbe(ledger, type: 0, coordinator)
      let work = try probe.register("work", .init())
      let violations = Violations()
      let attached = SharedCounter()
      let answered = SharedCounter()
      let stop = SharedFlag()
      let sender = TestThread {
        var random = SeededGenerator(seed: seed, stream: 1)
        while true {
          let round = answered.value + 1
          var looks = 0
          while attached.value < round {
            if stop.isSet { return }
            looks += 1
            if looks % 1000 == 0 { sched_yield() }
          }
          for _ in 0..<random.below(100) where stop.isSet { break }
          // One send for each time that the thread is there.
          let number = ledger.issue(by: 0, type: 0, cpu: 0)
          if coordinator.send(work, to: 0) != .gone {
            ledger.promise(number, by: 0, type: 0, cpu: 0)
          }
          answered.add()
        }
      }
      var random = SeededGenerator(seed: seed)
      let until = Until(StressDuration.ofCase(0.4))
      while !until.isOver {
        let local = try coordinator.attach(to: 0)
        let round = attached.add()
        for _ in 0..<random.below(100) where stop.isSet { break }
        local.detach()
        while answered.value < round { sched_yield() }
        ledger.check(ledger.promises(to: 0), of: 0, after: "detach()", violations)
      }
      stop.set()
      sender.join()
      violations.expectNone("seed \(seed), \(attached.value) rounds")
      withExtendedLifetime(probe) {}
    }

    /// A call that was queued for a thread that is there runs, and one that nobody took is given back.
    @Test(arguments: [31, 32] as [UInt64])
    func queuedCallsRun(seed: UInt64) throws {
      let coordinator = try Coordinator(.init(housekeeping: [], isolated: [0]))
      let runs = SharedCounter()
      let queued = SharedCounter()
      let gone = SharedCounter()
      let attachments = SharedCounter()
      let violations = Violations()
      let until = Until(StressDuration.ofCase(0.6))
      let posters = 3
      TestThread.run(posters + 2) { index in
        var random = SeededGenerator(seed: seed, stream: index)
        if index >= posters {
          while !until.isOver {
            guard let local = try? coordinator.attach(to: 0) else {
              sched_yield()
              continue
            }
            attachments.add()
            for _ in 0..<random.below(3) { local.inUser { local.poll() } }
            local.detach()
          }
          return
        }
        let call = unsafe CrossCall(context: Unmanaged.passUnretained(runs).toOpaque()) { runs, _ in
          _ = unsafe Unmanaged<SharedCounter>.fromOpaque(runs.unsafelyUnwrapped)
            ._withUnsafeGuaranteedRef { $0.add() }
        }
        var last = -1
        while !until.isOver {
          // One post for each thread that comes: fewer than it has rounds for when it goes, so that none
          // is dropped for that.
          let now = attachments.value
          if now == last { continue }
          last = now
          switch coordinator.post(call, on: 0) {
          case .queued: queued.add()
          case .gone: gone.add()
          case .busy: break
          case let other: violations.note("post: \(other)")
          }
          for _ in 0..<random.below(2000) where call.isInFlight { continue }
        }
        let isBack = eventually(within: .seconds(20)) {
          if !call.isInFlight { return true }
          // Whoever comes next takes what is left, or takes it back.
          if let local = try? coordinator.attach(to: 0) { local.detach() }
          return false
        }
        if !isBack { violations.note("a record is in flight for ever") }
      }
      violations.check(
        runs.value >= queued.value && runs.value <= queued.value + gone.value,
        "\(queued.value) calls were queued, \(gone.value) gone, \(runs.value) ran")
      violations.expectNone("seed \(seed)")
    }
  }
}
