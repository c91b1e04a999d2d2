// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension ModelScenario {
    static let slotScenarios: [ModelScenario] = [
      ModelScenario(
        "detach",
        rule:
          "a send to a CPU that goes has run, or is gone, and is counted once",
        preemptions: 3,
        bodies: { machine in
          let work = machine.registerType()
          machine.place(0, .kernel)
          return [
            { OwnerTransitions.detach(machine.become(0)) },
            {
              let outcome = machine.send(work, as: 0, datum: 1)
              machine.flags[0].store(outcome == .gone ? 2 : 1, ordering: .relaxed)
            },
          ]
        },
        check: { machine in
          if machine.flags[0].load(ordering: .relaxed) == 1 {
            machine.expect(
              machine.seen[0] == 1, "accepted, but nobody ran it before the CPU went")
          }
          machine.checkAccounts()
        }),
      ModelScenario(
        "slot reuse",
        rule: "accounts hold across owners; a new owner starts with nothing pending",
        preemptions: 2,
        bodies: { machine in
          let work = machine.registerType()
          machine.place(0, .kernel)
          return [
            { machine.changeOwner() },
            {
              machine.send(work, as: 0, datum: 1)
              machine.send(work, as: 0, datum: 2)
            },
          ]
        }),
      ModelScenario(
        "a ticket across owners",
        rule: "executed means that a handler ran: whoever attached since is not a run",
        memories: [.totalStoreOrder], preemptions: 3,
        bodies: { machine in
          let work = machine.registerType()
          // What keeps a thread that detaches busy until it gives up.
          let other = machine.registerType(1)
          machine.core.records[1].handler = .none
          OwnerTransitions.rounds.count = 1
          machine.place(0, .kernel)
          return [
            {
              OwnerTransitions.detach(machine.become(0))
              machine.attach(0)
              OwnerTransitions.detach(machine.core.slots[0])
            },
            {
              machine.data[0].store(1, ordering: .relaxed)
              let generation = machine.drawTicket(work)
              let outcome = machine.path(0).deliver(work, to: 0, from: CallSite("model", 0))
              if outcome == .gone { return }
              if machine.await(generation, work, on: 0) == .executed {
                machine.expect(machine.seen[0] == 1, "executed, but the datum was not read")
              }
            },
            { _ = machine.path(1).deliver(other, to: 0, from: CallSite("model", 0)) },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a ticket of a CPU that goes",
        rule: "a ticket that says gone was not run, and will not be",
        preemptions: 3,
        bodies: { machine in
          let work = machine.registerType()
          machine.place(0, .kernel)
          return [
            { OwnerTransitions.detach(machine.become(0)) },
            {
              machine.data[0].store(1, ordering: .relaxed)
              let generation = machine.drawTicket(work)
              let outcome = machine.path(0).deliver(work, to: 0, from: CallSite("model", 0))
              if outcome == .gone { return }
              if machine.await(generation, work, on: 0) == .gone {
                machine.flags[0].store(1, ordering: .relaxed)
              }
            },
          ]
        },
        check: { machine in
          let isGone = machine.flags[0].load(ordering: .relaxed) == 1
          machine.expect(!isGone || machine.runs == 0, "gone, and then it ran")
        }),
      ModelScenario(
        "an attachment settles tickets",
        rule: "a ticket that an attachment settles is gone, and its datum is seen by who attached",
        preemptions: 4,
        bodies: { machine in
          let work = machine.registerType()
          return [
            {
              let slot = machine.attach(0)
              if slot.attachGeneration[0].load(ordering: .relaxed) == 1 {
                machine.expect(
                  machine.data[0].load(ordering: .relaxed) == 1,
                  "the attachment counts as having seen the datum, and does not")
              }
              OwnerTransitions.detach(slot)
            },
            {
              machine.data[0].store(1, ordering: .relaxed)
              // Its bit was set and dropped before: nobody will ever run for it.
              let generation = machine.drawTicket(work)
              machine.expect(
                machine.await(generation, work, on: 0) != .executed, "executed, but nobody ran")
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "unregistration",
        rule: "when it is over, the handler does not run and never will again",
        preemptions: 3,
        bodies: { machine in
          let work = machine.registerType()
          machine.place(0, .user)
          machine.core.records[0].handler = .init(
            machine.handler { machine, _ in
              machine.expect(
                machine.flags[1].load(ordering: .relaxed) == 0,
                "the handler runs after it was freed")
            })
          return [
            {
              let slot = machine.become(0)
              machine.enter(slot)
              machine.leave(slot)
              machine.enter(slot)
              machine.leave(slot)
            },
            {
              machine.path(0).core.stopRunning(work.type)
              machine.synchronize()
              machine.flags[1].store(1, ordering: .relaxed)
            },
            { _ = machine.path(1).deliver(work, to: 0, from: CallSite("model", 0)) },
          ]
        }),
      ModelScenario(
        "merging at a CPU that goes",
        rule: "a send that only looked is not taken for one that somebody will run",
        preemptions: 3,
        bodies: { machine in
          let work = machine.registerType(mergesWithoutWriting: true)
          machine.place(0, .kernel)
          let ask = { (sender: Int) in
            let outcome = machine.send(work, as: sender, datum: 1)
            machine.flags[sender].store(outcome == .gone ? 2 : 1, ordering: .relaxed)
          }
          return [{ OwnerTransitions.detach(machine.become(0)) }, { ask(0) }, { ask(1) }]
        },
        check: { machine in
          for sender in 0..<2 where machine.flags[sender].load(ordering: .relaxed) == 1 {
            machine.expect(
              machine.seen[sender] == 1, "accepted, but nobody ran it before the CPU went")
          }
          machine.checkAccounts()
        }),
    ]
  }
#endif
