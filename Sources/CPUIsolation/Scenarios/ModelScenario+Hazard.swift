// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import ModelEngine

  extension ModelScenario {
    static func trial(_ machine: ModelMachine, byTransition: Bool = false) -> HazardTrial {
      let trial = HazardTrial(machine, byTransition: byTransition)
      machine.hazards = trial
      return trial
    }

    static let hazardScenarios: [ModelScenario] = [
      ModelScenario(
        "a hazard by fences",
        rule: "a node that a reader protects and may use is not reclaimed before its last use",
        preemptions: 3,
        bodies: { machine in
          let trial = trial(machine)
          return [
            {
              let slot = trial.ownSlot
              for _ in 0..<2 {
                trial.use(trial.protect(slot), as: 0)
                trial.reset(slot)
              }
            },
            {
              trial.replace(with: 8192)
              trial.domain.reclaim()
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a hazard that is tried",
        rule: "a try that succeeds protects like any other",
        preemptions: 3,
        bodies: { machine in
          let trial = trial(machine)
          return [
            {
              let slot = trial.ownSlot
              trial.use(trial.tryProtect(slot, 4096), as: 0)
              trial.reset(slot)
            },
            {
              trial.replace()
              trial.domain.reclaim()
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a hazard by transition",
        rule: "the end of a section shows what the section protects to a pass that waited for it",
        preemptions: 3,
        bodies: { machine in
          machine.place(0, .user)
          let trial = trial(machine, byTransition: true)
          return [
            {
              let slot = machine.become(0)
              let hazard = trial.ownSlot
              machine.enter(slot)
              let node = trial.protect(hazard)
              trial.use(node, as: 0)
              // Held over a stay in user.
              machine.leave(slot)
              machine.enter(slot)
              trial.use(node, as: 0)
              // In place of the node, nothing: the link is empty by now, or still the same.
              trial.use(trial.protect(hazard), as: 0)
              trial.reset(hazard)
              machine.leave(slot)
            },
            {
              trial.replace()
              trial.domain.reclaim()
              trial.domain.reclaim()
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a hazard beside transitions",
        rule:
          "in a domain by transition, threads that are no CPU and CPUs in user fence themselves",
        preemptions: 2,
        bodies: { machine in
          machine.place(0, .user)
          let trial = trial(machine, byTransition: true)
          return [
            {
              // In user.
              _ = machine.become(0)
              let hazard = trial.ownSlot
              trial.use(trial.protect(hazard), as: 0)
              trial.reset(hazard)
            },
            {
              // No CPU.
              let hazard = trial.ownSlot
              trial.use(trial.protect(hazard), as: 1)
              trial.reset(hazard)
            },
            {
              trial.replace()
              trial.domain.reclaim()
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a hazard of a thread that attaches",
        rule: "a thread that attaches and protects is waited for like the one before it",
        preemptions: 2,
        bodies: { machine in
          let trial = trial(machine, byTransition: true)
          return [
            {
              let slot = machine.attach(0)
              let hazard = trial.ownSlot
              let node = trial.protect(hazard)
              trial.use(node, as: 0)
              OwnerTransitions.detach(slot)
              trial.use(node, as: 0)
              trial.reset(hazard)
            },
            {
              trial.replace()
              trial.domain.reclaim()
              trial.domain.reclaim()
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a wildcard",
        rule: "an acquisition protects what it finds, however many passes begin in between",
        preemptions: 2,
        bodies: { machine in
          let trial = trial(machine)
          return [
            {
              let hazard = trial.ownSlot
              for _ in 0..<2 { trial.use(trial.acquire(hazard), as: 0) }
              trial.reset(hazard)
            },
            {
              trial.replace(with: 8192)
              trial.domain.reclaim()
              trial.replace()
              trial.domain.reclaim()
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a holder that moves",
        rule: "a protection goes with its holder to another thread",
        preemptions: 2,
        bodies: { machine in
          let trial = trial(machine)
          let hazard = trial.makeHolder()
          return [
            {
              let node = trial.protect(hazard)
              trial.use(node, as: 0)
              // Release: what carries a value to another thread. Pairs with the load below.
              machine.flags[0].store(UInt64(node) + 1, ordering: .releasing)
            },
            {
              var backoff = Backoff()
              // Acquire, as above.
              while machine.flags[0].load(ordering: .acquiring) == 0 { backoff.wait() }
              let node = UInt(machine.flags[0].load(ordering: .relaxed)) - 1
              trial.use(node, as: 1)
              trial.reset(hazard)
            },
            {
              trial.replace()
              trial.domain.reclaim()
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "holders in a new chunk",
        rule: "each holder has a slot of its own, and a pass finds it wherever it is",
        memories: [.totalStoreOrder], preemptions: 2,
        bodies: { machine in
          let trial = trial(machine)
          let hold = { (reader: Int) in
            let hazard = trial.makeHolder()
            trial.use(trial.protect(hazard), as: reader)
            trial.reset(hazard)
            trial.domain.core.giveBackHolderSlot(hazard)
          }
          return [
            { hold(0) },
            { hold(1) },
            {
              trial.replace()
              trial.domain.reclaim()
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a holder in a new chunk",
        rule: "a pass finds a slot that was made while it began",
        preemptions: 2,
        bodies: { machine in
          let trial = trial(machine)
          let hold = { (reader: Int) in
            let hazard = trial.makeHolder()
            trial.use(trial.protect(hazard), as: reader)
            trial.reset(hazard)
            trial.domain.core.giveBackHolderSlot(hazard)
          }
          return [
            { hold(0) },
            {
              trial.replace()
              trial.domain.reclaim()
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "batches of several threads",
        rule: "everything that is retired is reclaimed, once, whoever takes its batch when",
        preemptions: 2,
        bodies: { machine in
          let trial = trial(machine)
          return [
            { for node in 1...3 as ClosedRange<UInt> { trial.retire(node * 4096) } },
            { trial.retire(4 * 4096) },
            {
              trial.domain.reclaim()
              trial.domain.reclaim()
            },
          ]
        },
        check: { machine in
          guard let trial = machine.hazards else { return }
          trial.domain.reclaim()
          machine.expect(
            trial.reclaimed[1...4].allSatisfy { $0 == 1 },
            "reclaimed so often: \(trial.reclaimed[1...4])")
        }),
      ModelScenario(
        "a barrier beside a retirement",
        rule:
          "what was retired before a barrier is reclaimed when it answers, wherever its batch is",
        preemptions: 2,
        bodies: { machine in
          let trial = trial(machine)
          return [
            {
              trial.retire(4096)
              // Release: what tells another thread of it. Pairs with the load below.
              machine.flags[0].store(1, ordering: .releasing)
              trial.retire(8192)
            },
            {
              // Acquire, as above.
              guard machine.flags[0].load(ordering: .acquiring) == 1 else { return }
              let scanner = trial.domain.scanner
              var search = HazardScanner.Search()
              for _ in 0..<2 {
                let left = scanner.withLock { scanner.advance(&search, cohort: nil) }
                guard case .some(.some([])) = left else { continue }
                machine.expect(trial.reclaimed[1] == 1, "a barrier would have answered before")
              }
            },
          ]
        }, check: { _ in }),
    ]
  }
#endif
