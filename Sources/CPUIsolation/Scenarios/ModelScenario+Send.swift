// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension ModelScenario {
    static let sendScenarios: [ModelScenario] = [
      ModelScenario(
        "entry and exit against one sender",
        rule: "what a send promised has been read after the next entry; no bit is lost",
        preemptions: 4,
        bodies: { machine in
          let work = machine.registerType()
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              for _ in 0..<2 {
                machine.enter(slot)
                machine.leave(slot)
              }
            },
            {
              machine.send(work, as: 0, datum: 1)
              machine.send(work, as: 0, datum: 2)
            },
          ]
        }),
      ModelScenario(
        "entry and exit against two senders",
        rule: "as with one; a merged send is covered by the run for another",
        preemptions: 3,
        bodies: { machine in
          let work = machine.registerType()
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              machine.enter(slot)
              machine.leave(slot)
              machine.enter(slot)
            },
            { machine.send(work, as: 0, datum: 1) },
            { machine.send(work, as: 1, datum: 1) },
          ]
        }),
      ModelScenario(
        "two types",
        rule: "each type runs for each bit that was taken",
        preemptions: 3,
        bodies: { machine in
          let first = machine.registerType(0)
          let second = machine.registerType(1)
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              machine.enter(slot)
              machine.leave(slot)
              machine.enter(slot)
            },
            {
              machine.send(first, as: 0, datum: 1)
              machine.send(second, as: 0, datum: 2)
            },
          ]
        }),
      ModelScenario(
        "merging without writing",
        rule: "a send that only looked is covered like one that wrote",
        preemptions: 3,
        bodies: { machine in
          let work = machine.registerType(mergesWithoutWriting: true)
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              machine.enter(slot)
              machine.leave(slot)
              machine.enter(slot)
            },
            { machine.send(work, as: 0, datum: 1) },
            { machine.send(work, as: 1, datum: 1) },
          ]
        }),
      ModelScenario(
        "a housekeeper that sleeps",
        rule: "a send to a CPU that is about to sleep keeps it awake or wakes it",
        preemptions: 4,
        bodies: { machine in
          let work = machine.registerType()
          machine.place(0, .kernel, interrupter: .park, isHousekeeping: true)
          return [
            {
              let slot = machine.become(0)
              while machine.runs < 1 { OwnerTransitions.idle(slot, until: Deadline(after: nil)) }
            },
            { machine.send(work, as: 0, datum: 1) },
          ]
        }),
      ModelScenario(
        "parker",
        rule: "a token that comes before, while or after the owner falls asleep is not lost",
        preemptions: 6,
        bodies: { machine in
          let slot = machine.core.slots[0]
          return [
            {
              while machine.flags[0].load(ordering: .acquiring) == 0 {
                slot.call.parker.park(until: Deadline(after: nil))
              }
              machine.expect(
                machine.data[0].load(ordering: .relaxed) == 1, "woken without what was written")
            },
            {
              machine.data[0].store(1, ordering: .relaxed)
              machine.flags[0].store(1, ordering: .releasing)
              slot.call.parker.unpark()
            },
          ]
        }),
      ModelScenario(
        "parker carries data",
        rule: "what was written before unpark is seen after park",
        preemptions: 6,
        bodies: { machine in
          let slot = machine.core.slots[0]
          return [
            {
              slot.call.parker.park(until: Deadline(after: nil))
              machine.expect(
                machine.data[0].load(ordering: .relaxed) == 1, "woken without what was written")
            },
            {
              machine.data[0].store(1, ordering: .relaxed)
              slot.call.parker.unpark()
            },
          ]
        }),
    ]
  }
#endif
