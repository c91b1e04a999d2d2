// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import ModelEngine

  // Sendable: bodies run on one thread, one at a time.
  extension ModelMachine: @unchecked Sendable {
    func checkFreedPool() { pool.checkEnd() }

    fileprivate var pool: PoolTrial {
      get { poolModel as! PoolTrial }
      set { poolModel = newValue }
    }
  }

  extension ModelScenario {
    private static let conserved: @Sendable (ModelMachine) -> Void = {
      $0.pool.checkConservation()
    }

    static let poolScenarios: [ModelScenario] = [
      ModelScenario(
        "a ring and two thieves",
        rule: "an entry has one taker, who sees what was done to the object",
        preemptions: 2,
        bodies: { machine in
          let pool = PoolTrial(machine, rings: 1, registered: 1)
          machine.pool = pool
          return [
            {
              let first = pool.take(at: 0)
              pool.put(first, at: 0)
              let second = pool.take(at: 0)
              pool.put(second, at: 0)
            },
            { _ = pool.steal(from: 0) },
            { _ = pool.steal(from: 0) },
          ]
        }, check: conserved),
      ModelScenario(
        "a thief that stalls",
        rule: "what was read from a cell that is used again is thrown away",
        preemptions: 2,
        bodies: { machine in
          let pool = PoolTrial(machine, rings: 2, registered: 2)
          machine.pool = pool
          return [
            {
              // Empties both rings, then goes once round its own.
              let (first, second) = (pool.take(at: 0), pool.take(at: 0))
              pool.put(second, at: 0)
              pool.put(first, at: 0)
            },
            { pool.put(pool.steal(from: 0), at: 1) },
            { _ = pool.steal(from: 0) },
          ]
        }, check: conserved),
      ModelScenario(
        "two threads that steal from each other",
        rule: "objects are neither lost nor given out twice, and a pop finds what is free",
        preemptions: 2,
        bodies: { machine in
          let pool = PoolTrial(machine, rings: 2, registered: 2)
          machine.pool = pool
          let turn = { (ring: Int) in
            let (first, second) = (pool.take(at: ring), pool.take(at: ring))
            pool.put(first, at: ring)
            pool.put(second, at: ring)
            // There is one for each of us, and nobody holds more than two: this one has come back.
            pool.put(pool.take(at: ring), at: ring)
          }
          return [{ turn(0) }, { turn(1) }]
        }, check: conserved),
      ModelScenario(
        "threads without a ring",
        rule: "the shelf loses nothing, gives nothing out twice, and carries what was done",
        preemptions: 2,
        bodies: { machine in
          let pool = PoolTrial(machine, rings: 1, registered: 1)
          machine.pool = pool
          let own = pool.take(at: 0)
          return [
            { pool.putAsGuest(own) },
            { pool.putAsGuest(pool.takeAsGuest()) },
            { _ = pool.take(at: 0) },
          ]
        }, check: conserved),
      ModelScenario(
        "a ring that changes hands",
        rule: "the next owner goes on where the last one stopped, thieves or not",
        preemptions: 3,
        bodies: { machine in
          let pool = PoolTrial(machine, rings: 1, registered: 1)
          machine.pool = pool
          let ring = pool.core.ring(0)
          return [
            {
              pool.put(pool.take(at: 0), at: 0)
              ring.release()
            },
            {
              let holder = ring.holder
              guard PoolRing.thread(of: holder) == 0, ring.claim(as: 2, after: holder) else {
                return
              }
              let (first, second) = (pool.take(at: 0), pool.take(at: 0))
              pool.put(first, at: 0)
              pool.put(second, at: 0)
            },
            { _ = pool.steal(from: 0) },
          ]
        }, check: conserved),
      ModelScenario(
        "the ring of a thread that died in a pop",
        rule: "whatever step it died at, the next owner has a ring that works",
        preemptions: 3,
        bodies: { machine in
          let pool = PoolTrial(machine, rings: 1, registered: 1)
          machine.pool = pool
          let ring = pool.core.ring(0)
          let last = ring.bottom.value.load(ordering: .relaxed) &- 1
          let lost = ring.cell(last, pool.core.mask).value.load(ordering: .relaxed)
          pool.mayBeLost = lost
          return [
            {
              // When the owner looks at the top, there are two entries. Whoever takes the ring over
              // afterwards takes the first one out before the owner goes on.
              let own = pool.steal(from: 0)
              // The owner lowers the bottom, and dies.
              ring.owner.bottom.store(last, ordering: .relaxed)
              _ = ring.bottom.value.exchange(last, ordering: .sequentiallyConsistent)
              let isOurs = ring.claim(as: 2, after: ring.holder)
              machine.expect(isOurs, "the ring cannot be taken over")
              pool.put(own, at: 0)
              let (first, second) = (pool.take(at: 0), pool.take(at: 0))
              machine.expect(
                (first == nil || first == own) && second == nil,
                "the dead thread's object is given out")
              pool.put(first, at: 0)
            },
            { _ = pool.steal(from: 0) },
          ]
        }, check: conserved),
      ModelScenario(
        "closing while objects are out",
        rule: "the memory is freed once, when everything has come back, and not before",
        preemptions: 3,
        bodies: { machine in
          let pool = PoolTrial(machine, rings: 1, registered: 1)
          machine.pool = pool
          let own = pool.take(at: 0)
          let other = pool.take(at: 0)
          return [
            {
              pool.put(own, at: 0)
              pool.core.leave(pool.core.ring(0))
            },
            { pool.putAsGuest(other) },
            { _ = pool.core.close() },
          ]
        }, check: { $0.pool.checkFreed() }),
      ModelScenario(
        "closing while objects change hands",
        rule: "a pop that is under way when the pool is closed gets an object or none",
        preemptions: 2,
        bodies: { machine in
          let pool = PoolTrial(machine, rings: 2, registered: 1)
          machine.pool = pool
          return [
            {
              pool.put(pool.take(at: 0), at: 0)
              pool.core.leave(pool.core.ring(0))
            },
            { pool.putAsGuest(pool.takeAsGuest()) },
            { _ = pool.core.close() },
          ]
        }, check: { $0.pool.checkFreed() }),
      ModelScenario(
        "two threads that close",
        rule: "one of them closes the pool",
        preemptions: 4,
        bodies: { machine in
          let pool = PoolTrial(machine, rings: 1, registered: 0)
          machine.pool = pool
          return [{ _ = pool.core.close() }, { _ = pool.core.close() }]
        }, check: { $0.pool.checkFreed() }),
    ]
  }
#endif
