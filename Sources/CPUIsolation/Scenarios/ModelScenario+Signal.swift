// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension ModelScenario {
    static let signalScenarios: [ModelScenario] = [
      ModelScenario(
        "signal",
        rule: "a kick by signal is answered, also when it comes between the last look and the exit",
        preemptions: 4,
        bodies: { machine in
          let work = machine.registerType(interruptSafe: true)
          machine.place(0, .kernel, interrupter: .signal, threadID: 1)
          return [
            {
              let slot = machine.become(0)
              machine.leave(slot)
              var backoff = Backoff()
              // In user for good: nothing but the signal brings the work here.
              while machine.runs == 0 { backoff.wait() }
            },
            { machine.send(work, as: 0, datum: 1, urgency: .immediate) },
          ]
        }),
      ModelScenario(
        "signal during transitions",
        rule: "a handler that makes transitions of its own disturbs none of the thread's",
        preemptions: 2,
        bodies: { machine in
          let work = machine.registerType(interruptSafe: true)
          machine.place(0, .user, interrupter: .signal, threadID: 1)
          return [
            {
              let slot = machine.become(0)
              for _ in 0..<2 {
                machine.enter(slot)
                machine.leave(slot)
              }
              machine.enter(slot)
            },
            {
              machine.send(work, as: 0, datum: 1, urgency: .immediate)
              machine.send(work, as: 0, datum: 2)
            },
          ]
        }),
      ModelScenario(
        "two kicks by signal",
        rule: "a kick by signal leaves nothing behind that would hide the next",
        preemptions: 2,
        bodies: { machine in
          let work = machine.registerType(interruptSafe: true)
          machine.place(0, .kernel, interrupter: .signal, threadID: 1)
          return [
            {
              let slot = machine.become(0)
              machine.leave(slot)
              var backoff = Backoff()
              while machine.seen[0] < 2 { backoff.wait() }
            },
            {
              machine.send(work, as: 0, datum: 1, urgency: .immediate)
              machine.send(work, as: 0, datum: 2, urgency: .immediate)
            },
          ]
        }),
      ModelScenario(
        "a sleeper that a signal interrupts",
        rule: "a handler wakes the sleeper, for what it ran and for what it leaves",
        preemptions: 2,
        bodies: { machine in
          let work = machine.registerType(interruptSafe: true)
          machine.place(0, .kernel, interrupter: .signal, threadID: 1)
          // What is the handler's comes first or last.
          let postsFirst = machine.engine.choose(2) == 1
          return [
            {
              let slot = machine.become(0)
              while machine.runs < 2 {
                OwnerTransitions.idle(slot, until: Deadline(after: nil))
              }
            },
            {
              if !postsFirst { machine.send(work, as: 0, datum: 1, urgency: .immediate) }
              _ = machine.post(
                machine.path(1).sender.record(target: 0), as: 1, isInterruptSafe: false)
              if postsFirst { machine.send(work, as: 0, datum: 1, urgency: .immediate) }
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a poster that a signal interrupts",
        rule: "a handler does not wait for the thread that it interrupted",
        preemptions: 2,
        bodies: { machine in
          let work = machine.registerType(interruptSafe: true)
          machine.place(0, .user, interrupter: .signal, threadID: 1)
          machine.replaceHandler { machine in
            _ = machine.post(machine.path(1).sender.record(target: 1), to: 1, as: 1)
          }
          return [
            {
              _ = machine.become(0)
              _ = machine.post(machine.path(0).sender.record(target: 1), to: 1, as: 0)
              machine.awaitRun()
            },
            {
              _ = machine.path(2).deliverSlow(
                work, to: 0, urgency: .immediate, from: CallSite("model", 0))
            },
          ]
        },
        check: { machine in
          for sender in 0..<2 {
            let record = machine.path(sender).sender.record(target: 1)
            machine.expect(
              record.value.state.load(ordering: .relaxed) == CallRecord.State.idle,
              "a call to nobody was left in flight")
          }
        }),
      ModelScenario(
        "grace period against a poster",
        rule: "a poster that shuts interrupts out does not hide its helper from a grace period",
        preemptions: 2,
        bodies: { machine in
          let work = machine.registerType(onBehalf: true)
          machine.place(0, .user)
          machine.watchForFreed()
          return [
            {
              _ = machine.become(0)
              _ = machine.post(machine.path(0).sender.record(target: 1), to: 1, as: 0)
            },
            {
              _ = machine.path(1).deliverSlow(
                work, to: 0, urgency: .onBehalf, from: CallSite("model", 0))
            },
            { machine.unlinkAndFree() },
          ]
        }, check: { _ in }),
      ModelScenario(
        "grace period against a signal",
        rule: "a handler that a signal runs holds a grace period up like any section",
        preemptions: 3,
        bodies: { machine in
          let work = machine.registerType(interruptSafe: true)
          machine.place(0, .user, interrupter: .signal, threadID: 1)
          machine.watchForFreed()
          return [
            {
              _ = machine.become(0)
              machine.awaitRun()
            },
            {
              _ = machine.path(0).deliverSlow(
                work, to: 0, urgency: .immediate, from: CallSite("model", 0))
            },
            { machine.unlinkAndFree() },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a call by signal",
        rule: "a call runs while its CPU says kernel",
        preemptions: 3,
        bodies: { machine in
          machine.place(0, .user, interrupter: .signal, threadID: 1)
          let record = machine.path(0).sender.record(target: 0)
          return [
            {
              _ = machine.become(0)
              machine.awaitRun()
            },
            {
              _ = CallRecord.claim(
                record,
                machine.handler { machine, cpu in
                  let word = machine.core.slots[cpu].state.word.load(
                    ordering: .relaxed)
                  machine.expect(
                    ContextWord(rawValue: word).context == .kernel, "a call runs outside kernel")
                  machine.runs += 1
                }, isWaitedFor: false, site: CallSite("model", 0))
              _ = CallPath(machine.core, machine.path(0)).enqueue(
                record, on: 0, isInterruptSafe: true, from: CallSite("model", 0))
            },
          ]
        }, check: { _ in }),
      signalThatSends(
        "a signal of the program's that sends, at an entry", in: .user
      ) { machine, slot in
        machine.enter(slot)
        machine.leave(slot)
      },
      signalThatSends(
        "a signal of the program's that sends, at a safe point", in: .kernel
      ) { _, slot in OwnerTransitions.safePoint(slot) },
      ModelScenario(
        "a section that a signal of the program's interrupts",
        rule: "what a signal handler sends settles nothing else before the section's safe point",
        preemptions: 2,
        bodies: { machine in
          let held = machine.registerType(interruptSafe: true)
          let sent = machine.registerType(1, interruptSafe: true)
          machine.core.line.late.store(1, ordering: .relaxed)
          machine.place(0, .kernel)
          var isHeld = true
          machine.replaceHandler { _ in }
          machine.replaceHandler(of: 1) { _ in }
          return [
            {
              let slot = machine.become(0)
              // What the section found stays until the work of who takes it away has settled.
              machine.expect(machine.flags[0].load(ordering: .relaxed) == 0, "it was taken away")
              isHeld = false
              var backoff = Backoff()
              while machine.flags[1].load(ordering: .acquiring) == 0 { backoff.wait() }
              OwnerTransitions.safePoint(slot)
            },
            {
              machine.engine.interrupt(threadID: 1) {
                let path = SendPath(core: machine.core, sender: machine.path(0).sender)
                _ = path.deliver(sent, to: 0, from: CallSite("model", 0))
              }
            },
            {
              let generation = machine.drawTicket(held)
              _ = machine.path(1).deliver(held, to: 0, from: CallSite("model", 0))
              machine.flags[1].store(1, ordering: .releasing)
              _ = machine.await(generation, held, on: 0)
              machine.expect(!isHeld, "it was taken away while a section held it")
              machine.flags[0].store(1, ordering: .relaxed)
            },
          ]
        }),
    ]

    /// What a thread has taken, and a signal that comes then and sends to the thread's own CPU.
    private static func signalThatSends(
      _ name: String, in context: CPUContext,
      _ drain: @escaping @Sendable (ModelMachine, CPUSlot) -> Void
    ) -> ModelScenario {
      ModelScenario(
        name,
        rule: "a signal handler runs what is interrupt-safe, and nothing before what was taken",
        preemptions: 2,
        bodies: { machine in
          let early = machine.registerType()
          let late = machine.registerType(1, interruptSafe: true)
          machine.core.line.early.store(1, ordering: .relaxed)
          machine.core.line.late.store(2, ordering: .relaxed)
          machine.place(0, context)
          var isInSignal = false
          var hasRun = false
          machine.replaceHandler { machine in
            machine.expect(!isInSignal, "what is not interrupt-safe ran in a signal handler")
            hasRun = true
          }
          machine.replaceHandler(of: 1) { machine in
            let pending = machine.core.slots[0].state.work.load(ordering: .relaxed) & 1
            machine.expect(
              hasRun || pending != 0, "a late type ran before an early one that was taken")
          }
          _ = machine.path(0).deliver(early, to: 0, from: CallSite("model", 0))
          return [
            { drain(machine, machine.become(0)) },
            {
              machine.engine.interrupt(threadID: 1) {
                isInSignal = true
                let path = SendPath(core: machine.core, sender: machine.path(1).sender)
                _ = path.deliver(late, to: 0, from: CallSite("model", 0))
                _ = path.deliver(early, to: 0, from: CallSite("model", 0))
                isInSignal = false
              }
            },
          ]
        })
    }
  }
#endif
