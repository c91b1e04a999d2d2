// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension ModelMachine {
    /// What a thread caches when it may: it has read the data itself.
    fileprivate func cacheData() {
      for sender in 0..<Self.senders {
        seen[sender] = max(seen[sender], data[sender].load(ordering: .relaxed))
      }
    }
  }

  extension ModelScenario {
    /// After an execution: an entry has found everything that has moved.
    private static let checkCaughtUp: @Sendable (ModelMachine) -> Void = { machine in
      machine.checkAccounts()
      for type in 0..<2 {
        let applied = machine.core.slots[0].applied[type].load(ordering: .relaxed)
        let generation = machine.core.generations[UInt64(type)].load(
          ordering: .relaxed)
        machine.expect(applied == generation, "type \(type) lags after an entry")
      }
      for sender in 0..<ModelMachine.senders {
        machine.expect(
          machine.seen[sender] == machine.data[sender].load(ordering: .relaxed),
          "a datum counts as applied, and no handler has read it")
      }
    }

    static let catchUpScenarios: [ModelScenario] = [
      ModelScenario(
        "catching up",
        rule: "what a send that wrote nothing promised has been read after the next entry",
        preemptions: 2,
        bodies: { machine in
          let work = machine.registerType(form: .catchUp)
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              machine.enter(slot)
              machine.leave(slot)
            },
            { machine.send(work, as: 0, datum: 1) },
            { machine.send(work, as: 1, datum: 1) },
          ]
        }, check: checkCaughtUp),
      ModelScenario(
        "catching up twice",
        rule: "what moves while the handler runs is caught up with at the next entry",
        preemptions: 3,
        bodies: { machine in
          let work = machine.registerType(form: .catchUp)
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              machine.enter(slot)
              machine.leave(slot)
              machine.enter(slot)
            },
            {
              machine.send(work, as: 0, datum: 1)
              machine.send(work, as: 0, datum: 2)
            },
          ]
        }, check: checkCaughtUp),
      ModelScenario(
        "two catch-up types",
        rule: "an entry that sees the summary moved sees which type has moved",
        preemptions: 2,
        bodies: { machine in
          let first = machine.registerType(0, form: .catchUp)
          let second = machine.registerType(1, form: .catchUp)
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              machine.enter(slot)
              machine.leave(slot)
            },
            { machine.send(first, as: 0, datum: 1) },
            { machine.send(second, as: 1, datum: 1) },
          ]
        }, check: checkCaughtUp),
      ModelScenario(
        "catching up on the way out",
        rule: "an exit that compares does not remember a summary whose types it has not seen",
        preemptions: 3,
        bodies: { machine in
          let work = machine.registerType(form: .catchUp)
          let bit = machine.registerType(1)
          machine.place(0, .kernel)
          machine.send(bit, as: 1, datum: 1)
          return [
            {
              let slot = machine.become(0)
              machine.leave(slot)
              machine.enter(slot)
            },
            { machine.send(work, as: 0, datum: 1) },
          ]
        }, check: checkCaughtUp),
      ModelScenario(
        "a thread attaches to what moves",
        rule: "what a thread has cached is as new as the generations that it took as its own",
        preemptions: 3,
        bodies: { machine in
          let work = machine.registerType(form: .catchUp)
          return [
            {
              let slot = machine.attach(0)
              machine.cacheData()
              machine.leave(slot)
              machine.enter(slot)
            },
            {
              machine.send(work, as: 0, datum: 1)
              // Whoever was told that nobody is there relies on the next thread to look.
              if machine.outcomes == [.gone] { machine.promised[0] = 1 }
            },
          ]
        },
        check: {
          checkCaughtUp($0)
          $0.expect($0.seen[0] == 1, "nobody has read the datum")
        }),
      ModelScenario(
        "a ticket of a catch-up type",
        rule: "executed means that the handler read the datum; covered, that the next entry will",
        preemptions: 3,
        bodies: { machine in
          let work = machine.registerType(form: .catchUp)
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              machine.enter(slot)
              machine.leave(slot)
              machine.enter(slot)
              machine.leave(slot)
            },
            {
              machine.data[0].store(1, ordering: .relaxed)
              let path = machine.path(0)
              let generation = path.announce(work.type)
              _ = path.catchUp(
                work, 0, generation, .deferrable, CallSite("model", 0), isOneOfMany: false)
              switch machine.await(generation, work, on: 0) {
              case .executed:
                machine.expect(machine.seen[0] == 1, "executed, but the datum was not read")
              case .covered: machine.promised[0] = 1
              default: machine.expect(false, "gone, but nobody went")
              }
            },
          ]
        }),
      ModelScenario(
        "catching up on behalf",
        rule: "a helper catches up for a CPU in user, and never beside its owner",
        preemptions: 3,
        bodies: { machine in
          let work = machine.registerType(onBehalf: true, form: .catchUp)
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              machine.enter(slot)
              machine.leave(slot)
              machine.enter(slot)
            },
            {
              machine.send(work, as: 0, datum: 1)
              let helped = Drain(machine.core, machine.core.slots[0]).drainOnBehalf(1, helper: 2)
              if helped == .ran { machine.expect(machine.seen[0] == 1, "ran without its datum") }
            },
          ]
        }),
      ModelScenario(
        "a payload",
        rule: "what was merged is told to the run that a bit brings, or to one before it",
        preemptions: 2,
        bodies: { machine in
          let work = machine.registerType(form: .union)
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              machine.enter(slot)
              machine.leave(slot)
            },
            { machine.send(work, as: 0, datum: 1, payload: 1 << 0) },
            { machine.send(work, as: 1, datum: 1, payload: 1 << 1) },
          ]
        }),
      ModelScenario(
        "payloads that cover each other",
        rule: "a payload that adds nothing still carries its datum",
        preemptions: 2,
        bodies: { machine in
          let work = machine.registerType(form: .union)
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              machine.enter(slot)
              machine.leave(slot)
            },
            { machine.send(work, as: 0, datum: 1, payload: 0b11) },
            { machine.send(work, as: 1, datum: 1, payload: 0b11) },
          ]
        }),
      ModelScenario(
        "a ticket of a payload",
        rule: "executed means that a run was told of it; covered, that the next entry's will be",
        preemptions: 3,
        bodies: { machine in
          let work = machine.registerType(form: .union)
          machine.place(0, .kernel)
          machine.send(work, as: 1, datum: 1, payload: 1 << 1)
          return [
            {
              let slot = machine.become(0)
              OwnerTransitions.safePoint(slot)
              machine.leave(slot)
              machine.enter(slot)
              machine.leave(slot)
            },
            {
              machine.data[0].store(1, ordering: .relaxed)
              let (generation, _) = machine.path(0).sendWithTicket(
                work, 1 << 0, to: [0], .deferrable, from: CallSite("model", 0)
              ) { _ in true }
              switch machine.await(generation, work, on: 0) {
              case .executed:
                machine.expect(machine.seen[0] == 1, "executed, but nobody was told")
              case .covered: machine.promised[0] = 1
              default: machine.expect(false, "gone, but nobody went")
              }
            },
          ]
        }),
      ModelScenario(
        "a payload for a thread that attaches",
        rule: "a thread that empties what waited for the last one holds nothing older than that",
        preemptions: 3,
        bodies: { machine in
          let work = machine.registerType(form: .union)
          return [
            {
              let slot = machine.attach(0)
              machine.cacheData()
              OwnerTransitions.safePoint(slot)
              machine.leave(slot)
              machine.enter(slot)
            },
            { machine.send(work, as: 0, datum: 1, payload: 1 << 0) },
          ]
        },
        check: {
          $0.checkAccounts()
          if $0.outcomes != [.gone] {
            $0.expect($0.seen[0] == 1, "accepted, and neither told nor cached")
          }
        }),
    ]
  }
#endif
