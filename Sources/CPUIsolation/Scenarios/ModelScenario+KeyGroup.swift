// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  // Words that are copied together: what one writer changes while another has finished.
  extension ModelScenario {
    static let keyGroupScenarios: [ModelScenario] = [
      ModelScenario(
        "two keys beside each other are turned",
        rule: "what a finished enable turned stays turned while another key is written beside it",
        preemptions: 1,
        bodies: { machine in
          let (table, work) = machine.patchTable()
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              let isTold = machine.flags[0].load(ordering: .relaxed) != 0
              machine.enter(slot)
              machine.expect(
                !isTold || machine.word(0, of: table) == 1, "entered with what is older than told")
              machine.leave(slot)
            },
            {
              machine.enable(table, work, as: 0)
              machine.expect(table.master(0) == 1, "enabled, and the shared value is off")
              machine.flags[0].store(1, ordering: .relaxed)
            },
            { machine.change(table, work, key: 1, users: 1, as: 1) },
          ]
        }),
      ModelScenario(
        "a call is exchanged beside a key",
        rule: "what a call was exchanged for is not called when a finished exchange took its place",
        preemptions: 1,
        bodies: { machine in
          let (table, work) = machine.patchTable()
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              let told = machine.flags[0].load(ordering: .relaxed)
              machine.enter(slot)
              machine.expect(
                machine.call(of: table) >= told, "a call with a context that was given up")
              machine.leave(slot)
            },
            {
              machine.change(table, work, words: [1, 1], as: 0)
              machine.flags[0].store(1, ordering: .relaxed)
            },
            { machine.change(table, work, key: 0, users: 1, as: 1) },
          ]
        }),
      ModelScenario(
        "a call is exchanged twice",
        rule: "a second exchange does not hold up the first one, which has finished",
        preemptions: 3,
        bodies: { machine in
          let (table, work) = machine.patchTable()
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              let told = machine.flags[0].load(ordering: .relaxed)
              machine.enter(slot)
              machine.expect(
                machine.call(of: table) >= told, "a call with a context that was given up")
              machine.leave(slot)
            },
            {
              for exchange: UInt64 in 1...2 {
                machine.change(table, work, words: [exchange, exchange], as: 0)
                machine.flags[0].store(exchange, ordering: .relaxed)
              }
            },
          ]
        }),
      ModelScenario(
        "a key and a call are changed at once",
        rule: "function and context change together, also where one turn writes a group twice",
        preemptions: 2,
        bodies: { machine in
          let (table, work) = machine.patchTable()
          machine.place(0, .user)
          // One that the CPU has not seen either, and drains for.
          table.write([1, 1], at: 2)
          _ = machine.path(1).deliver(work, to: 0, from: CallSite("model", 0))
          return [
            {
              let slot = machine.become(0)
              machine.enter(slot)
              _ = machine.call(of: table)
              machine.leave(slot)
            },
            // The second of the two is written over what drains copy.
            { machine.change(table, work, users: 1, words: [2, 2], as: 0) },
          ]
        }),
      ModelScenario(
        "a call is exchanged",
        rule: "function and context change together, whatever else drains; none is lost",
        preemptions: 2,
        bodies: { machine in
          let (table, work) = machine.patchTable()
          machine.place(0, .user)
          // One that the CPU has not seen either.
          table.write([1, 1], at: 2)
          return [
            {
              let slot = machine.become(0)
              for _ in 0..<2 {
                machine.enter(slot)
                _ = machine.call(of: table)
                machine.leave(slot)
              }
            },
            { machine.change(table, work, words: [2, 2], as: 0) },
            { _ = machine.path(1).deliver(work, to: 0, from: CallSite("model", 0)) },
          ]
        },
        check: { machine in
          machine.checkAccounts()
          let table = KeyTable(base: patchMemory.address)
          machine.expect(machine.call(of: table) == 2, "the last exchange was passed over")
        }),
    ]
  }
#endif
