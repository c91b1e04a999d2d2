// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension ModelMachine {
    /// Has CPU 0 sleep elsewhere from now on: in the parker of CPU 1, which no sender to CPU 0 touches.
    fileprivate func sleepElsewhere(calling also: @escaping () -> Void = {}) {
      let parker = core.slots[0].call.parker.wakeWord
      engine.privateRanges.removeAll { $0 == parker }
      let waker = ModelWaker(self, also)
      core.slots[0].call.parker.setWakeFunction(WakeFunction { waker.call() })
    }

    /// A loop that sleeps elsewhere until a handler has run.
    fileprivate func sleepUntilRun(_ slot: CPUSlot) {
      while runs < 1 {
        if !OwnerTransitions.beginIdle(slot) { continue }
        core.slots[1].call.parker.park(until: Deadline(after: nil))
        OwnerTransitions.endIdle(slot)
      }
    }
  }

  /// What the wake function of an execution does.
  // Sendable: the bodies of an execution run one at a time.
  private final class ModelWaker: @unchecked Sendable {
    private let machine: ModelMachine
    private let also: () -> Void

    init(_ machine: ModelMachine, _ also: @escaping () -> Void) {
      self.machine = machine
      self.also = also
    }

    func call() {
      also()
      machine.core.slots[1].call.parker.unpark()
    }
  }

  extension ModelScenario {
    static let elsewhereScenarios: [ModelScenario] = [
      ModelScenario(
        "a housekeeper that sleeps elsewhere",
        rule: "a send to a CPU that is about to sleep elsewhere keeps it awake or wakes it",
        preemptions: 3,
        bodies: { machine in
          let work = machine.registerType()
          machine.place(0, .kernel, interrupter: .park, isHousekeeping: true)
          machine.sleepElsewhere()
          return [
            { machine.sleepUntilRun(machine.become(0)) },
            { machine.send(work, as: 0, datum: 1) },
          ]
        }),
      ModelScenario(
        "a kick wakes an isolated CPU that sleeps elsewhere",
        rule: "a kick to a CPU that is about to sleep elsewhere keeps it awake or wakes it",
        preemptions: 3,
        bodies: { machine in
          let work = machine.registerType()
          machine.place(0, .kernel)
          machine.sleepElsewhere()
          return [
            { machine.sleepUntilRun(machine.become(0)) },
            { machine.send(work, as: 0, datum: 1, urgency: .immediate) },
          ]
        }),
      ModelScenario(
        "a wake function that goes",
        rule: "no thread is in a wake function when its owner has it back, and what it did is seen",
        preemptions: 5,
        bodies: { machine in
          let parker = { machine.core.slots[0].call.parker.takeWakeFunction() }
          machine.sleepElsewhere {
            machine.expect(
              machine.flags[0].load(ordering: .relaxed) == 0, "called after it was given back")
            machine.data[0].store(1, ordering: .relaxed)
            machine.runs += 1
          }
          return [
            {
              if machine.core.slots[0].call.parker.beginSleepElsewhere() {
                machine.core.slots[0].call.parker.endSleepElsewhere()
              }
              let function = parker()
              machine.flags[0].store(1, ordering: .relaxed)
              machine.expect(
                machine.runs == 0 || machine.data[0].load(ordering: .relaxed) == 1,
                "given back before what the call did was seen")
              withExtendedLifetime(function) {}
            },
            { machine.core.slots[0].call.parker.unpark() },
          ]
        }, check: { _ in }),
    ]
  }
#endif
