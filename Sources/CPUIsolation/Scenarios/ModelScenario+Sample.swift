// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension ModelScenario {
    /// Scenarios too big to exhaust: their schedules are sampled.
    public static let sampled: [ModelScenario] = [
      ModelScenario(
        "a busy CPU",
        rule: "promises, tickets, grace periods and accounts hold with everything at once",
        preemptions: 0,
        bodies: { machine in
          let work = machine.registerType(onBehalf: true)
          machine.registerType(1)
          machine.place(0, .user)
          machine.place(1, .kernel)
          return [
            {
              let slot = machine.become(0)
              for _ in 0..<2 {
                machine.enter(slot)
                OwnerTransitions.safePoint(slot)
                machine.leave(slot)
              }
              machine.enter(slot)
              OwnerTransitions.quiescent(slot)
              machine.leave(slot)
            },
            {
              let slot = machine.become(1)
              machine.send(work, to: 0, as: 0, datum: 1, urgency: .onBehalf)
              machine.leave(slot)
              OwnerTransitions.enter(slot, machine.core, from: .user)
              machine.send(work, to: 0, as: 0, datum: 2)
              machine.leave(slot)
            },
            {
              for datum in 1...3 as ClosedRange<UInt64> {
                machine.send(work, to: 0, as: 1, datum: datum)
              }
            },
            {
              machine.data[2].store(1, ordering: .relaxed)
              let generation = machine.drawTicket(work)
              _ = machine.path(2).deliver(work, to: 0, from: CallSite("model", 0))
              if machine.await(generation, work, on: 0) == .executed {
                machine.expect(machine.seen[2] == 1, "executed, but the datum was not read")
              }
            },
            {
              machine.synchronize()
            },
          ]
        }),
      ModelScenario(
        "a CPU that changes hands",
        rule: "a ticket says executed only of a run, a call runs or is gone, accounts hold",
        preemptions: 0,
        bodies: { machine in
          let work = machine.registerType()
          machine.registerType(1)
          machine.place(0, .kernel)
          OwnerTransitions.rounds.count = 1
          return [
            {
              OwnerTransitions.detach(machine.become(0))
              for _ in 0..<2 {
                let slot = machine.attach(0)
                machine.leave(slot)
                OwnerTransitions.enter(slot, machine.core, from: .user)
                OwnerTransitions.detach(slot)
              }
            },
            {
              for datum in 1...2 as ClosedRange<UInt64> {
                machine.data[0].store(datum, ordering: .relaxed)
                let generation = machine.drawTicket(work)
                let outcome = machine.path(0).deliver(work, to: 0, from: CallSite("model", 0))
                if outcome == .gone { continue }
                if machine.await(generation, work, on: 0) == .executed {
                  machine.expect(machine.seen[0] >= datum, "executed, but the datum was not read")
                }
              }
            },
            {
              let record = machine.path(1).sender.record(target: 0)
              _ = machine.post(record, as: 1)
            },
            {
              let other = WorkType(type: 1, registration: 2, mergesWithoutWriting: false)
              for _ in 0..<3 {
                _ = machine.path(2).deliver(other, to: 0, from: CallSite("model", 0))
              }
            },
          ]
        },
        check: { machine in
          let record = machine.path(1).sender.record(target: 0)
          machine.expect(
            record.value.state.load(ordering: .relaxed) == CallRecord.State.idle,
            "the record was left in flight")
          // What nobody took is dropped by whoever attaches next.
          OwnerTransitions.abandonPending(machine.core.slots[0], machine.core).end()
          machine.checkAccounts()
        }),
    ]
  }
#endif
