// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension ModelMachine {
    /// Draws a generation, as a ticketed send does.
    func drawTicket(_ work: DeferredWork) -> UInt64 { Ticket.draw(core, work.type) }

    /// Asks until the ticket has settled.
    func await(_ generation: UInt64, _ work: DeferredWork, on cpu: Int) -> Ticket.State {
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
            {
              machine.flags[0].store(1, ordering: .relaxed)
              var wait = GracePeriodWait(machine.core.slots, excluding: nil)
              var backoff = Backoff()
              while !wait.poll(machine.core.slots) { backoff.wait() }
              machine.flags[1].store(1, ordering: .relaxed)
            },
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
            {
              machine.flags[0].store(1, ordering: .relaxed)
              var wait = GracePeriodWait(machine.core.slots, excluding: nil)
              var backoff = Backoff()
              while !wait.poll(machine.core.slots) { backoff.wait() }
              machine.flags[1].store(1, ordering: .relaxed)
            },
          ]
        }),
    ]
  }
#endif
