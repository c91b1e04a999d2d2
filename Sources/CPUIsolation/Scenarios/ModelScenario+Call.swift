// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension ModelMachine {
    /// Queues a call that nobody waits for; its function counts in `runs`.
    func post(
      _ record: Place<CallRecord>, to cpu: Int = 0, as sender: Int,
      isInterruptSafe: Bool = true, isPooled: Bool = false
    ) -> CallOutcome {
      let claimed = CallRecord.claim(
        record,
        handler { machine, _ in
          machine.runs += 1
          for sender in 0..<ModelMachine.senders {
            machine.seen[sender] = max(
              machine.seen[sender], machine.data[sender].load(ordering: .relaxed))
          }
        }, isWaitedFor: false, isPooled: isPooled, site: CallSite("model", 0))
      expect(claimed, "a record of one's own was busy")
      return CallPath(core, path(sender)).enqueue(
        record, on: cpu, isInterruptSafe: isInterruptSafe, isPooled: isPooled,
        from: CallSite("model", 0))
    }
  }

  extension ModelScenario {
    static let callScenarios: [ModelScenario] = [
      ModelScenario(
        "intrusive stack",
        rule: "what two threads push is taken once each, in each one's order",
        preemptions: 4,
        bodies: { machine in
          let slot = machine.core.slots[1]
          // Safety: memory of the slot, which nothing else uses here.
          let nodes = [7, 8].map { Inbox.Node(slot.base + 128 * $0) }
          return [
            {
              var taken = 0
              var backoff = Backoff()
              while taken < 2 {
                var node = slot.call.calls.takeAll()
                if node == nil { backoff.wait() }
                while let current = node {
                  node = Inbox.next(after: current)
                  taken += 1
                }
              }
            },
            { _ = slot.call.calls.push(nodes[0]) },
            { _ = slot.call.calls.push(nodes[1]) },
          ]
        }, check: { _ in }),
      ModelScenario(
        "cross calls",
        rule: "every call that was queued runs once, and sees its data; who fills the queue rings",
        preemptions: 2,
        bodies: { machine in
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              var backoff = Backoff()
              while machine.runs < 2 {
                if ContextTracker(slot).isAttentionWanted { OwnerTransitions.pollSlow(slot) }
                if machine.runs < 2 { backoff.wait() }
              }
              machine.expect(
                machine.seen[0] == 1 && machine.seen[1] == 1, "a call without its data")
            },
            {
              machine.data[0].store(1, ordering: .relaxed)
              _ = machine.post(machine.path(0).sender.record(target: 0), as: 0)
            },
            {
              machine.data[1].store(1, ordering: .relaxed)
              _ = machine.post(machine.path(1).sender.record(target: 0), as: 1)
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a call wakes a housekeeper that sleeps",
        rule: "a call to a CPU that is about to sleep keeps it awake or wakes it",
        preemptions: 4,
        bodies: { machine in
          machine.place(0, .kernel, interrupter: .park, isHousekeeping: true)
          return [
            {
              let slot = machine.become(0)
              while machine.runs < 1 { OwnerTransitions.idle(slot, until: Deadline(after: nil)) }
            },
            { _ = machine.post(machine.path(0).sender.record(target: 0), as: 0) },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a call beside a send",
        rule: "a call and a send, at once, do not lose each other's bit",
        preemptions: 2,
        bodies: { machine in
          let work = machine.registerType()
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              machine.enter(slot)
              machine.leave(slot)
            },
            { machine.send(work, as: 0, datum: 1) },
            { _ = machine.post(machine.path(1).sender.record(target: 0), as: 1) },
          ]
        },
        check: { machine in
          // Calls count in `runs` as the type's handler does: one each.
          machine.checkAccounts()
          machine.expect(machine.runs == 2, "the call or the handler did not run once")
        }),
      ModelScenario(
        "cross call to a CPU that goes",
        rule: "a call to a CPU that goes has run or is given back: the record is free again",
        preemptions: 3,
        bodies: { machine in
          machine.place(0, .kernel)
          return [
            { OwnerTransitions.detach(machine.become(0)) },
            {
              let record = machine.path(0).sender.record(target: 0)
              let outcome = machine.post(record, as: 0)
              machine.flags[0].store(outcome == .gone ? 2 : 1, ordering: .relaxed)
            },
          ]
        },
        check: { machine in
          let record = machine.path(0).sender.record(target: 0)
          let state = record.value.state.load(ordering: .relaxed)
          machine.expect(state == CallRecord.State.idle, "the record was left in flight")
          if machine.flags[0].load(ordering: .relaxed) == 1 {
            machine.expect(machine.runs == 1, "queued, but it never ran")
          }
        }),
      ModelScenario(
        "two calls to a CPU that goes",
        rule: "a call that was queued after another's runs, though nobody has rung yet",
        preemptions: 2,
        bodies: { machine in
          machine.place(0, .kernel)
          let post = { (sender: Int) in
            let record = machine.path(sender).sender.record(target: 0)
            if machine.post(record, as: sender) == .queued {
              machine.flags[sender].store(1, ordering: .relaxed)
            }
          }
          return [
            { OwnerTransitions.detach(machine.become(0)) },
            { post(0) },
            { post(1) },
          ]
        },
        check: { machine in
          let queued = (0..<2).count { machine.flags[$0].load(ordering: .relaxed) == 1 }
          machine.expect(
            machine.runs >= queued, "calls: \(queued) queued, \(machine.runs) ran")
          for sender in 0..<2 {
            let record = machine.path(sender).sender.record(target: 0)
            machine.expect(
              record.value.state.load(ordering: .relaxed) == CallRecord.State.idle,
              "a record was left in flight")
          }
        }),
      ModelScenario(
        "calls across owners",
        rule: "a call that was queued runs for the thread that it met, or is gone",
        preemptions: 3,
        bodies: { machine in
          machine.place(0, .kernel)
          return [
            { machine.changeOwner() },
            {
              let record = machine.path(0).sender.record(target: 0)
              if machine.post(record, as: 0) == .queued {
                machine.flags[0].store(1, ordering: .relaxed)
              }
            },
          ]
        },
        check: { machine in
          let isQueued = machine.flags[0].load(ordering: .relaxed) == 1
          machine.runWhatIsLeft()
          let record = machine.path(0).sender.record(target: 0)
          machine.expect(
            record.value.state.load(ordering: .relaxed) == CallRecord.State.idle,
            "the record was left in flight")
          machine.expect(!isQueued || machine.runs == 1, "queued, but it never ran")
        }),
      ModelScenario(
        "a record that comes back",
        rule: "whoever claims a record sees all that its last target did before it gave it back",
        preemptions: 4,
        bodies: { machine in
          let record = machine.path(0).sender.record(target: 0)
          // It has run, was abandoned, or had been given up by its waiter.
          let way = machine.engine.choose(3)
          _ = CallRecord.claim(
            record, .none, isWaitedFor: way == 2, site: CallSite("model", 0))
          if way == 2 {
            record.value.state.store(CallRecord.State.cancelled, ordering: .relaxed)
          }
          return [
            {
              machine.data[0].store(1, ordering: .relaxed)
              if way == 1 {
                record.value.abandon()
              } else {
                _ = record.value.run(on: 0)
              }
            },
            {
              var backoff = Backoff()
              while !CallRecord.claim(
                record, .none, isWaitedFor: false, site: CallSite("model", 0))
              { backoff.wait() }
              machine.expect(
                machine.data[0].load(ordering: .relaxed) == 1, "claimed before it was given back")
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a waiter that gives up",
        rule: "a call that was taken back does not run, and one that runs is not taken back",
        preemptions: 5,
        bodies: { machine in
          machine.place(0, .kernel)
          let record = machine.path(0).sender.record(target: 0)
          return [
            {
              _ = machine.become(0)
              _ = CallRecord.claim(
                record,
                machine.handler { machine, _ in
                  machine.expect(
                    machine.flags[0].load(ordering: .relaxed) == 0, "runs after it was taken back")
                  machine.data[0].store(1, ordering: .relaxed)
                }, isWaitedFor: true, site: CallSite("model", 0))
              machine.flags[1].store(1, ordering: .releasing)
              _ = record.value.run(on: 0)
            },
            {
              var backoff = Backoff()
              while machine.flags[1].load(ordering: .acquiring) == 0 { backoff.wait() }
              while true {
                switch CallPath.outcome(of: record, isOver: true) {
                case .timedOut?:
                  machine.flags[0].store(1, ordering: .relaxed)
                  return
                case .executed?:
                  machine.expect(
                    machine.data[0].load(ordering: .relaxed) == 1, "executed, but unseen")
                  return
                default: backoff.wait()
                }
              }
            },
          ]
        }, check: { _ in }),
    ]
  }
#endif
