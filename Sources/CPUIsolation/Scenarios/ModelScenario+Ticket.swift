// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension ModelMachine {
    /// Draws a generation, as a ticketed send does.
    func drawTicket(_ work: WorkType) -> UInt64 { core.drawGeneration(of: work.type) }

    /// Asks until the ticket has settled.
    func await(_ generation: UInt64, _ work: WorkType, on cpu: Int) -> Ticket.State {
      var backoff = Backoff()
      while true {
        let state = Ticket.state(core, work.type, generation, of: cpu)
        if state != .pending { return state }
        backoff.wait()
      }
    }
  }

  extension ModelScenario {
    static let ticketScenarios: [ModelScenario] = [
      ModelScenario(
        "ticket",
        rule:
          "executed means that the handler read the datum; covered, that the next entry will; it settles",
        preemptions: 2,
        bodies: { machine in
          let work = machine.registerType()
          machine.place(0, .kernel)
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
              let generation = machine.drawTicket(work)
              _ = machine.path(0).deliver(work, to: 0, from: CallSite("model", 0))
              switch machine.await(generation, work, on: 0) {
              case .executed:
                machine.expect(machine.seen[0] == 1, "executed, but the datum was not read")
              case .covered: machine.promised[0] = 1
              default: machine.expect(false, "gone, but nobody went")
              }
            },
            { machine.send(work, as: 1, datum: 1) },
          ]
        }),
      ModelScenario(
        "two tickets",
        rule: "one ticket is not settled by a run that was for the other",
        preemptions: 2,
        bodies: { machine in
          let work = machine.registerType()
          machine.place(0, .user)
          let ask = { (sender: Int) in
            machine.data[sender].store(1, ordering: .relaxed)
            let generation = machine.drawTicket(work)
            _ = machine.path(sender).deliver(work, to: 0, from: CallSite("model", 0))
            if machine.await(generation, work, on: 0) == .executed {
              machine.expect(machine.seen[sender] == 1, "executed, but the datum was not read")
            }
          }
          return [
            {
              let slot = machine.become(0)
              machine.enter(slot)
              machine.leave(slot)
            },
            { ask(0) },
            { ask(1) },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a ticket carries what the handler did",
        rule: "executed means that the handler's writes are visible to whoever asked",
        preemptions: 3,
        bodies: { machine in
          let work = machine.registerType()
          machine.place(0, .user)
          machine.replaceHandler { $0.flags[0].store(1, ordering: .relaxed) }
          return [
            {
              let slot = machine.become(0)
              machine.enter(slot)
              machine.leave(slot)
            },
            {
              let generation = machine.drawTicket(work)
              _ = machine.path(0).deliver(work, to: 0, from: CallSite("model", 0))
              if machine.await(generation, work, on: 0) == .executed {
                machine.expect(
                  machine.flags[0].load(ordering: .relaxed) == 1,
                  "executed, but what the handler wrote is not there")
              }
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a grace period shows what sections did",
        rule: "what a section wrote to something unlinked is visible to whoever may free it",
        preemptions: 4,
        bodies: { machine in
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              machine.enter(slot)
              if machine.flags[0].load(ordering: .relaxed) == 0 {
                machine.flags[2].store(1, ordering: .relaxed)
                machine.seen[0] = 1
              }
              machine.leave(slot)
            },
            {
              machine.flags[0].store(1, ordering: .relaxed)
              machine.synchronize()
              machine.expect(
                machine.seen[0] == 0 || machine.flags[2].load(ordering: .relaxed) == 1,
                "freed before a section's write to it")
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "grace period",
        rule: "what was unlinked is not looked at any more when the grace period is over",
        preemptions: 4,
        bodies: { machine in
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              for _ in 0..<2 {
                machine.enter(slot)
                let isLinked = machine.flags[0].load(ordering: .relaxed) == 0
                if isLinked {
                  machine.expect(
                    machine.flags[1].load(ordering: .relaxed) == 0, "freed while it is looked at")
                }
                machine.leave(slot)
              }
            },
            { machine.unlinkAndFree() },
          ]
        }),
      ModelScenario(
        "quiescent states",
        rule: "a CPU that stays in kernel passes by declaring that it holds nothing",
        preemptions: 4,
        bodies: { machine in
          machine.place(0, .kernel)
          return [
            {
              let slot = machine.become(0)
              for _ in 0..<3 {
                if machine.flags[0].load(ordering: .relaxed) == 0 {
                  machine.expect(
                    machine.flags[1].load(ordering: .relaxed) == 0, "freed while it is looked at")
                }
                OwnerTransitions.quiescent(slot)
              }
              machine.leave(slot)
            },
            { machine.unlinkAndFree() },
          ]
        }),
      ModelScenario(
        "a ticket of a CPU that stays in kernel",
        rule: "the run that took a ticket's bit settles it, also if the CPU never leaves",
        preemptions: 2,
        bodies: { machine in
          let work = machine.registerType()
          machine.place(0, .kernel)
          return [
            {
              let slot = machine.become(0)
              var backoff = Backoff()
              while machine.flags[0].load(ordering: .acquiring) == 0 {
                OwnerTransitions.safePoint(slot)
                backoff.wait()
              }
            },
            {
              machine.data[0].store(1, ordering: .relaxed)
              let generation = machine.drawTicket(work)
              _ = machine.path(0).deliver(work, to: 0, from: CallSite("model", 0))
              machine.expect(
                machine.await(generation, work, on: 0) == .executed && machine.seen[0] == 1,
                "settled without a run")
              machine.flags[0].store(1, ordering: .releasing)
            },
            { machine.send(work, as: 1, datum: 1) },
          ]
        }),
      ModelScenario(
        "a ticket that a helper settles",
        rule: "the applied generation never goes back: what has run stays settled",
        preemptions: 2,
        bodies: { machine in
          let work = machine.registerType(onBehalf: true)
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              machine.enter(slot)
              machine.leave(slot)
            },
            {
              _ = machine.drawTicket(work)
              machine.send(work, as: 0, datum: 1, urgency: .onBehalf)
            },
            {
              _ = machine.drawTicket(work)
              machine.send(work, as: 1, datum: 1)
            },
          ]
        },
        check: { machine in
          machine.checkAccounts()
          for generation in 1...2 {
            let state = Ticket.state(machine.core, 0, UInt64(generation), of: 0)
            machine.expect(state == .executed, "the handler has run, and the ticket is \(state)")
          }
        }),
    ]
  }
#endif
