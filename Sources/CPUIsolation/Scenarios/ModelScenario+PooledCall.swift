// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension ModelScenario {
    static let pooledCallScenarios: [ModelScenario] = [
      ModelScenario(
        "a call out of a pool",
        rule: "a call ends once: it runs, or whoever takes it back sends it home",
        preemptions: 3,
        bodies: { machine in
          machine.place(0, .kernel)
          return [
            { machine.changeOwner() },
            {
              let record = machine.path(0).sender.record(target: 0)
              _ = machine.post(record, as: 0, isPooled: true)
            },
          ]
        },
        check: { machine in
          machine.runWhatIsLeft()
          machine.expect(machine.runs == 1, "the call ended \(machine.runs) times")
        }),
      ModelScenario(
        "a pooled call beside a plain one",
        rule: "a pooled call to nobody ends once, and by who posts such calls",
        preemptions: 3,
        bodies: { machine in
          let record = machine.path(0).sender.record(target: 0)
          _ = CallRecord.claim(
            record,
            machine.handler { machine, _ in
              machine.expect(
                CurrentThread.cpu == nil, "a message ended where none may be posted")
              machine.runs += 1
            }, isWaitedFor: false, isPooled: true, site: CallSite("model", 0))
          return [
            {
              _ = CallPath(machine.core, machine.path(0)).enqueue(
                record, on: 0, isInterruptSafe: false, isPooled: true, from: CallSite("model", 0))
              machine.expect(machine.runs == 1, "the call ended \(machine.runs) times")
            },
            {
              _ = machine.become(1)
              _ = machine.post(machine.path(1).sender.record(target: 0), as: 1)
            },
          ]
        }, check: { _ in }),
    ]
  }
#endif
