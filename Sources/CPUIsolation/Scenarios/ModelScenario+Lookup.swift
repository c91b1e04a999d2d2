// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import ModelEngine

  /// The cache of CPU 0 and a log, in memory that is laid out anew for each execution. The table is
  /// the machine's data: what a key stands for, 0 for nothing.
  private struct LookupTrial {
    let machine: ModelMachine
    let sets: LookupSets
    let ring: FlushRing
    /// Keys that fall into one set.
    let keys: [UInt64]

    init(_ machine: ModelMachine) {
      self.machine = machine
      machine.traceMemory.clear()
      let base = machine.traceMemory.address
      sets = LookupSets(initializing: base, sets: 2)
      ring = FlushRing(initializing: base + 1024, ranges: 2)
      let sets = self.sets
      keys = Array((1...64 as ClosedRange<UInt64>).filter { sets.set(of: $0) == 1 }.prefix(7))
      sets.join(ring, attachment: 1)
      let owner = sets.base.bits
      // Counts; the generation is looked at by who interrupts.
      machine.engine.privateRanges.append(owner + 8..<owner + 128)
      if machine.engine.isTracing {
        machine.engine.names[sets.index(1).bits] = "index"
        machine.engine.names[ring.generationWord.bits] = "invalidations"
        for way in 0..<4 {
          machine.engine.names[sets.tags(1).place(way).bits] = "tag\(way)"
          machine.engine.names[sets.tags(1).place(4 + way).bits] = "value\(way)"
        }
      }
    }

    /// What CPU 0 finds; `meanwhile` happens when the table has been asked.
    func lookUp(_ key: Int, meanwhile: () -> Void = {}) -> UInt64? {
      LookupCache<UInt64, UInt64>.lookUp(keys[key], sets) { _ in
        let value = machine.data[key].load(ordering: .relaxed)
        meanwhile()
        return value == 0 ? nil : value
      }
    }

    /// Takes a key out of the table and has CPU 0 drop it; who is told has seen that.
    func remove(_ key: Int, _ work: WorkType) {
      machine.data[key].store(0, ordering: .relaxed)
      ring.append(first: keys[key], end: keys[key] + 1)
      let generation = machine.drawTicket(work)
      _ = machine.path(0).deliver(work, to: 0, from: CallSite("model", 0))
      _ = machine.await(generation, work, on: 0)
      machine.flags[0].store(1, ordering: .releasing)
    }

    func registerDrop() -> WorkType {
      let work = machine.registerType()
      machine.replaceHandler { _ in sets.catchUp(with: ring, ceiling: 2) }
      return work
    }
  }

  extension ModelScenario {
    static let lookupScenarios: [ModelScenario] = [
      ModelScenario(
        "a key that is invalidated while it is looked up",
        rule: "when the ticket of an invalidation has settled, no lookup finds the old value",
        preemptions: 2,
        bodies: { machine in
          let trial = LookupTrial(machine)
          let work = trial.registerDrop()
          machine.data[0].store(7, ordering: .relaxed)
          machine.place(0, .kernel)
          return [
            {
              let slot = machine.become(0)
              func look() {
                let isGone = machine.flags[0].load(ordering: .acquiring) != 0
                let found = trial.lookUp(0)
                machine.expect(found == nil || found == 7, "found \(found ?? 0)")
                machine.expect(!isGone || found == nil, "found after it was gone")
              }
              look()
              OwnerTransitions.safePoint(slot)
              look()
              machine.leave(slot)
              machine.enter(slot)
              look()
              machine.leave(slot)
            },
            { trial.remove(0, work) },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a table that waits while it is asked",
        rule: "what a table said before a drain is not cached after it",
        preemptions: 2,
        bodies: { machine in
          let trial = LookupTrial(machine)
          let work = trial.registerDrop()
          machine.data[0].store(7, ordering: .relaxed)
          machine.place(0, .kernel)
          return [
            {
              let slot = machine.become(0)
              _ = trial.lookUp(0) { OwnerTransitions.safePoint(slot) }
              let isGone = machine.flags[0].load(ordering: .acquiring) != 0
              let found = trial.lookUp(0)
              machine.expect(!isGone || found == nil, "found after it was gone")
              machine.leave(slot)
            },
            { trial.remove(0, work) },
          ]
        }, check: { _ in }),
      ModelScenario(
        "lookups that handlers interrupt",
        rule: "a key is found with its own value or not at all, wherever a handler looks others up",
        memories: [.totalStoreOrder], preemptions: 3,
        bodies: { machine in
          let trial = LookupTrial(machine)
          for key in 0..<7 { machine.data[key].store(UInt64(key) + 100, ordering: .relaxed) }
          func look(_ key: Int) {
            let found = trial.lookUp(key)
            machine.expect(found == UInt64(key) + 100, "key \(key): found \(found ?? 0)")
          }
          return [
            {
              look(0)
              look(1)
              look(0)
            },
            {
              for _ in 0..<2 {
                machine.engine.interrupt(threadID: 1) {
                  // Once round the set, and more.
                  for key in 2..<7 { look(key) }
                  look(0)
                }
              }
            },
          ]
        }, check: { _ in }),
    ]
  }
#endif
