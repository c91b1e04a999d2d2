// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension ModelMachine {
    /// Has a type run this instead of reading all data.
    func replaceHandler(of type: UInt64 = 0, _ handler: @escaping (ModelMachine) -> Void) {
      core.records[type].handler = .init(
        self.handler { machine, _ in
          handler(machine)
          machine.runs += 1
        })
    }
  }

  extension ModelScenario {
    static let helpScenarios: [ModelScenario] = [
      ModelScenario(
        "on behalf",
        rule: "helper and owner never run at once; what a helper ran, the owner's entry sees",
        preemptions: 3,
        bodies: { machine in
          let work = machine.registerType(onBehalf: true)
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              machine.enter(slot)
              machine.leave(slot)
              machine.enter(slot)
            },
            { machine.send(work, as: 0, datum: 1, urgency: .onBehalf) },
          ]
        }),
      ModelScenario(
        "what a helper did",
        rule: "the owner's entry sees what a helper's handler wrote",
        preemptions: 4,
        bodies: { machine in
          _ = machine.registerType(onBehalf: true)
          machine.place(0, .user)
          machine.replaceHandler { $0.flags[0].store(1, ordering: .relaxed) }
          let slot = machine.core.slots[0]
          _ = slot.state.work.setBit(0)
          return [
            {
              machine.enter(machine.become(0))
              machine.expect(
                machine.flags[0].load(ordering: .relaxed) == 1,
                "the work has run, but the owner does not see what it wrote")
            },
            { _ = Drain(machine.core, slot).drainOnBehalf(1, helper: 7) },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a sleeper that is helped",
        rule: "what a helper ran wakes the sleeper, whose loop may wait for it",
        preemptions: 3,
        bodies: { machine in
          let work = machine.registerType(onBehalf: true)
          machine.place(0, .kernel, isHousekeeping: true)
          return [
            {
              let slot = machine.become(0)
              while machine.runs == 0 {
                OwnerTransitions.idle(slot, until: Deadline(after: nil))
              }
            },
            { machine.send(work, as: 0, datum: 1, urgency: .onBehalf) },
          ]
        }),
      ModelScenario(
        "two helpers",
        rule: "two helpers do not run one CPU's work at once",
        preemptions: 2,
        bodies: { machine in
          let work = machine.registerType(onBehalf: true)
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              machine.enter(slot)
              machine.leave(slot)
            },
            { machine.send(work, as: 0, datum: 1, urgency: .onBehalf) },
            { machine.send(work, as: 1, datum: 1, urgency: .onBehalf) },
          ]
        }),
      ModelScenario(
        "grace period against a helper",
        rule: "a handler that a helper runs holds a grace period up like the owner's own",
        preemptions: 3,
        bodies: { machine in
          _ = machine.registerType(onBehalf: true)
          machine.place(0, .user)
          let slot = machine.core.slots[0]
          machine.core.records[0].handler = .init(
            machine.handler { machine, _ in
              if machine.flags[0].load(ordering: .relaxed) == 0 {
                machine.expect(
                  machine.flags[1].load(ordering: .relaxed) == 0, "freed while a helper looks at it"
                )
              }
            })
          _ = slot.state.work.setBit(0)
          return [
            { _ = Drain(machine.core, slot).drainOnBehalf(1, helper: 7) },
            { machine.unlinkAndFree() },
          ]
        }, check: { _ in }),
      ModelScenario(
        "grace period against two helpers",
        rule: "the helper that was met is waited for, whatever those before and after it do",
        preemptions: 3,
        bodies: { machine in
          _ = machine.registerType(onBehalf: true)
          machine.place(0, .user)
          machine.watchForFreed()
          let slot = machine.core.slots[0]
          return [
            {
              for _ in 0..<2 {
                _ = slot.state.work.setBit(0)
                _ = Drain(machine.core, slot).drainOnBehalf(1, helper: 7)
              }
            },
            { machine.unlinkAndFree() },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a grace period shows what a helper did",
        rule: "what a helper's handler wrote is visible to whoever may free what it wrote to",
        preemptions: 4,
        bodies: { machine in
          _ = machine.registerType(onBehalf: true)
          machine.place(0, .user)
          machine.replaceHandler { machine in
            if machine.flags[0].load(ordering: .relaxed) == 0 {
              machine.flags[2].store(1, ordering: .relaxed)
              machine.seen[0] = 1
            }
          }
          let slot = machine.core.slots[0]
          _ = slot.state.work.setBit(0)
          return [
            { _ = Drain(machine.core, slot).drainOnBehalf(1, helper: 7) },
            {
              machine.flags[0].store(1, ordering: .relaxed)
              machine.synchronize()
              machine.expect(
                machine.seen[0] == 0 || machine.flags[2].load(ordering: .relaxed) == 1,
                "freed before a helper's write to it")
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a kick wakes an isolated CPU that sleeps",
        rule: "a kick to a CPU that is about to sleep keeps it awake or wakes it",
        preemptions: 4,
        bodies: { machine in
          let work = machine.registerType()
          machine.place(0, .kernel)
          return [
            {
              let slot = machine.become(0)
              while machine.runs < 1 { OwnerTransitions.idle(slot, until: Deadline(after: nil)) }
            },
            { machine.send(work, as: 0, datum: 1, urgency: .immediate) },
          ]
        }),
      ModelScenario(
        "poll",
        rule: "a kick reaches a loop that polls, wherever it was when the kick came",
        preemptions: 4,
        bodies: { machine in
          let work = machine.registerType()
          machine.place(0, .kernel)
          return [
            {
              let slot = machine.become(0)
              machine.leave(slot)
              var backoff = Backoff()
              while machine.runs == 0 {
                if ContextTracker(slot).isAttentionWanted { OwnerTransitions.pollSlow(slot) }
                if machine.runs == 0 { backoff.wait() }
              }
            },
            { machine.send(work, as: 0, datum: 1, urgency: .immediate) },
          ]
        }),
    ]
  }
#endif
