// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import ModelEngine

  /// A pool of two objects, and who has which.
  @safe
  final class PoolTrial {
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
      machine.traceMemory.clear()
      let base = machine.traceMemory.address
      // Safety: memory of the machine, after the pool's.
      let control = unsafe Place<PoolControl>(base + 3072)
      let geometry = PoolCore.Geometry(
        capacity: Self.capacity, rings: rings, objectBytes: 8, isCompact: true)
      control.initialize(
        to: PoolControl(
          shape: PoolShape(base: base, geometry),
          references: UInt64(Self.capacity + 1 + registered), holders: Self.holders,
          memory: try! PoolMemory(byteCount: 1) { _ in machine.checkFreedPool() }))
      core = PoolCore(initializing: control, position: 0 &- 1)
      for number in 0..<registered { _ = core.ring(number).claim(as: 1, after: 0) }
      let statistics = 7 * 8
      machine.engine.privateRanges =
        (0..<rings).map { number in
          let owner = core.ring(number).base.bits + 256
          // All but the last word of the owner's line.
          return owner..<owner + UInt(statistics - 8)
        } + [
          core.shelf.pops.bits..<core.shelf.pops.bits + 32
        ]
      nameWords(rings)
    }

    /// More than there are, so that a second end is counted and not done.
    private static let holders: UInt64 = 100

    private func nameWords(_ rings: Int) {
      let engine = machine.engine!
      for number in 0..<rings {
        let ring = core.ring(number)
        engine.names[ring.top.bits] = "top\(number)"
        engine.names[ring.bottom.bits] = "bottom\(number)"
        for cell in 0...core.mask {
          engine.names[ring.cell(cell, core.mask).bits] =
            "cell\(number).\(cell)"
        }
      }
      engine.names[core.control.bits] = "closed"
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
      let references = core.control.value.references.load(ordering: .relaxed)
      let ends = Self.holders - core.control.value.holders.load(ordering: .relaxed)
      machine.expect(
        references == 0, "\(references) references are left, and nobody frees the memory")
      machine.expect(ends == 1, "the memory was freed \(ends) times")
    }
  }
#endif
