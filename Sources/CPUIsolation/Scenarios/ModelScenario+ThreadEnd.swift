// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension ModelScenario {
    /// Threads that end inside a handler or a function, as by `pthread_exit`.
    static let threadEndScenarios: [ModelScenario] = [
      ModelScenario(
        "a helper that ends",
        rule: "what a helper took and did not run to its end, the owner's next entry runs",
        preemptions: 2,
        bodies: { machine in
          let work = machine.registerType(onBehalf: true)
          let deadly = machine.registerType(1, onBehalf: true)
          machine.place(0, .user)
          let slot = machine.core.slots[0]
          machine.replaceHandler { _ in }
          let reads = machine.core.records[1].handler
          machine.core.records[1].handler = .init(
            machine.handler { machine, cpu in
              if CurrentThread.isHelping {
                Drain.helperExits(slot)
                machine.engine.bodyEnded()
              }
              reads.run(on: cpu)
            })
          machine.send(work, as: 1, datum: 0)
          machine.send(deadly, as: 0, datum: 1)
          return [
            { machine.enter(machine.become(0)) },
            { _ = Drain(machine.core, slot).drainOnBehalf(3, helper: CurrentThread.id) },
            // Again, while the first is in the helper's hands.
            { machine.send(deadly, as: 0, datum: 2) },
          ]
        }),
      ModelScenario(
        "a call that ends its thread",
        rule: "the waiter of a call whose function never returns is told, and sees what it did",
        preemptions: 4,
        bodies: { machine in
          machine.place(0, .kernel)
          let slot = machine.core.slots[0]
          let record = machine.path(0).sender.record(target: 0)
          let deadly = machine.handler { machine, _ in
            machine.data[0].store(1, ordering: .relaxed)
            Drain(machine.core, slot).endServedCalls()
            machine.engine.bodyEnded()
          }
          _ = CallRecord.claim(
            record, deadly, isWaitedFor: true, site: CallSite("model", 0))
          _ = slot.call.calls.push(record.node)
          return [
            {
              _ = machine.become(0)
              Drain(machine.core, slot).serveQueuedCalls()
            },
            {
              var backoff = Backoff()
              while true {
                if let outcome = CallPath.outcome(of: record, isOver: false) {
                  machine.expect(outcome == .gone, "a call that did not return is \(outcome)")
                  machine.expect(
                    machine.data[0].load(ordering: .relaxed) == 1, "gone, but unseen")
                  return
                }
                backoff.wait()
              }
            },
          ]
        }, check: { _ in }),
    ]
  }
#endif
