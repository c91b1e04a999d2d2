// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import ModelEngine

  /// A pool of two objects, and who has which.
  @safe
  private final class PoolModel {
    static let capacity = 2
    let machine: ModelMachine
    let core: PoolCore
    /// Whether somebody has the object, and what he wrote into it last.
    private var isOut = [Bool](repeating: false, count: capacity)
    private var written = [UInt64](repeating: 0, count: capacity)
    /// What a thread has taken along that died.
    var mayBeLost: UInt32? = nil

    /// The counters begin one step before they wrap, so that every scenario goes across.
    init(_ machine: ModelMachine, rings: Int, registered: Int) {
      self.machine = machine
      let base = unsafe machine.traceMemory.address
      unsafe base.initializeMemory(
        as: UInt8.self, repeating: 0, count: machine.traceMemory.byteCount)
      let control = unsafe (base + 3072).assumingMemoryBound(to: PoolControl.self)
      let geometry = PoolCore.Geometry(
        capacity: Self.capacity, rings: rings, objectBytes: 8, isCompact: true)
      unsafe control.initialize(
        to: PoolControl(
          shape: PoolShape(base: base, geometry),
          references: UInt64(Self.capacity + 1 + registered), holders: Self.holders,
          memory: try! PoolMemory(byteCount: 1) { _ in machine.checkFreedPool() }))
      core = unsafe PoolCore(initializing: control, position: 0 &- 1)
      for number in 0..<registered { _ = core.ring(number).claim(as: 1, after: 0) }
      let statistics = 7 * 8
      machine.engine.privateRanges =
        (0..<rings).map { number in
          let owner = unsafe UInt(bitPattern: core.ring(number).owner)
          // All but the last word of the owner's line.
          return owner..<owner + UInt(statistics - 8)
        } + [
          unsafe UInt(bitPattern: core.shelf.pops)..<UInt(bitPattern: core.shelf.pops) + 32
        ]
      nameWords(rings)
    }

    /// More than there are, so that a second end is counted and not done.
    private static let holders: UInt64 = 100

    private func nameWords(_ rings: Int) {
      let engine = machine.engine!
      for number in 0..<rings {
        let ring = core.ring(number)
        unsafe engine.names[UInt(bitPattern: ring.top)] = "top\(number)"
        unsafe engine.names[UInt(bitPattern: ring.bottom)] = "bottom\(number)"
        for cell in 0...core.mask {
          unsafe engine.names[UInt(bitPattern: ring.cell(cell, core.mask))] =
            "cell\(number).\(cell)"
        }
      }
      unsafe engine.names[UInt(bitPattern: core.control)] = "closed"
    }

    // MARK: What bodies do

    /// Somebody has got an object: he alone, and he sees what the last one wrote.
    @discardableResult
    func got(_ index: UInt32) -> UInt32? {
      if index == PoolRing.none { return nil }
      let number = Int(index)
      machine.expect(number < Self.capacity, "there is no object \(number)")
      machine.expect(!isOut[number], "object \(number) was given out twice")
      isOut[number] = true
      let read = machine.data[number].load(ordering: .relaxed)
      machine.expect(
        read == written[number], "object \(number): read \(read), written \(written[number])")
      return index
    }

    /// Somebody writes into the object that he has, and parts with it.
    func part(_ index: UInt32) {
      let number = Int(index)
      written[number] += 1
      machine.data[number].store(written[number], ordering: .relaxed)
      isOut[number] = false
    }

    func take(at ring: Int) -> UInt32? { got(core.take(at: core.ring(ring), NoFaults.self)) }

    func put(_ index: UInt32?, at ring: Int) {
      guard let index else { return }
      part(index)
      if !core.put(index, at: core.ring(ring), NoFaults.self) { core.drop(1) }
    }

    func steal(from ring: Int) -> UInt32? {
      got(core.ring(ring).steal(core.mask, NoFaults.self))
    }

    func takeAsGuest() -> UInt32? {
      guard core.hold() else { return nil }
      let index = got(core.takeAsGuest(NoFaults.self))
      core.drop(1)
      return index
    }

    func putAsGuest(_ index: UInt32?) {
      guard let index else { return }
      part(index)
      core.holdAsGuest()
      core.putAsGuest(index)
    }

    // MARK: What has to hold at the end

    /// Every object is with somebody or in the pool, once.
    func checkConservation() {
      var found: [UInt32] = []
      for ring in 0..<core.ringCount {
        while let index = steal(from: ring) { found.append(index) }
      }
      while let index = got(core.shelf.take(from: 0, NoFaults.self)) { found.append(index) }
      // `got` has seen to it that none of them was out.
      machine.expect(
        isOut.indices.allSatisfy { isOut[$0] || mayBeLost == UInt32($0) },
        "an object is lost: \(found.sorted()) were found")
    }

    /// Whoever frees the memory sees what was done to the objects, and nobody has one.
    func checkEnd() {
      for number in 0..<Self.capacity {
        machine.expect(!isOut[number], "the memory is freed, and somebody has object \(number)")
        let read = machine.data[number].load(ordering: .relaxed)
        machine.expect(
          read == written[number],
          "the end of object \(number) reads \(read), written was \(written[number])")
      }
    }

    func checkFreed() {
      let references = unsafe core.control.pointee.references.load(ordering: .relaxed)
      let ends = unsafe Self.holders - core.control.pointee.holders.load(ordering: .relaxed)
      machine.expect(
        references == 0, "\(references) references are left, and nobody frees the memory")
      machine.expect(ends == 1, "the memory was freed \(ends) times")
    }
  }

  // Sendable: bodies run on one thread, one at a time.
  extension ModelMachine: @unchecked Sendable {
    fileprivate func checkFreedPool() { pool.checkEnd() }

    fileprivate var pool: PoolModel {
      get { poolModel as! PoolModel }
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
          let pool = PoolModel(machine, rings: 1, registered: 1)
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
          let pool = PoolModel(machine, rings: 2, registered: 2)
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
          let pool = PoolModel(machine, rings: 2, registered: 2)
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
          let pool = PoolModel(machine, rings: 1, registered: 1)
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
          let pool = PoolModel(machine, rings: 1, registered: 1)
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
          let pool = PoolModel(machine, rings: 1, registered: 1)
          machine.pool = pool
          let ring = pool.core.ring(0)
          let last = unsafe ring.bottom.pointee.load(ordering: .relaxed) &- 1
          let lost = unsafe ring.cell(last, pool.core.mask).pointee.load(ordering: .relaxed)
          pool.mayBeLost = lost
          return [
            {
              // When the owner looks at the top, there are two entries. Whoever takes the ring over
              // afterwards takes the first one out before the owner goes on.
              let own = pool.steal(from: 0)
              // The owner lowers the bottom, and dies.
              unsafe ring.owner.pointee.bottom.store(last, ordering: .relaxed)
              _ = unsafe ring.bottom.pointee.exchange(last, ordering: .sequentiallyConsistent)
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
          let pool = PoolModel(machine, rings: 1, registered: 1)
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
          let pool = PoolModel(machine, rings: 2, registered: 1)
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
          let pool = PoolModel(machine, rings: 1, registered: 0)
          machine.pool = pool
          return [{ _ = pool.core.close() }, { _ = pool.core.close() }]
        }, check: { $0.pool.checkFreed() }),
    ]
  }
#endif
