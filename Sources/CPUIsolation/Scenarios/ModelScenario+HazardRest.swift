// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import ModelEngine

  extension ModelScenario {
    static let hazardRestScenarios: [ModelScenario] = [
      ModelScenario(
        "a reclaimer that goes to rest",
        rule: "a batch that begins is found by the last pass, or its thread rings",
        preemptions: 3,
        bodies: { machine in
          let trial = trial(machine)
          trial.domain.core.scan.alarm.setWatched(true)
          return [
            {
              trial.retire(4096)
              if trial.domain.core.scan.alarm.batchBegan() {
                machine.flags[0].store(1, ordering: .relaxed)
              }
            },
            {
              let batches = trial.domain.core.scan.alarm.batches
              trial.domain.reclaim()
              if trial.domain.core.scan.alarm.rest(since: batches) != nil {
                machine.flags[1].store(1, ordering: .relaxed)
              }
            },
          ]
        },
        check: { machine in
          guard let trial = machine.hazards else { return }
          let hasRung = machine.flags[0].load(ordering: .relaxed) == 1
          let rests = machine.flags[1].load(ordering: .relaxed) == 1
          machine.expect(
            hasRung || !rests || trial.reclaimed[1] == 1, "nobody looks, and an object waits")
        })
    ]
  }
#endif
