// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import ModelEngine

  /// A region map for one execution, the regions that it has had one after the other, and what
  /// lookups may say.
  private final class RegionTrial {
    private let machine: ModelMachine
    private let storage: RegionStorage
    /// What each state has for the address that readers ask: begin, end, value; empty is no region.
    private(set) var states: [[UInt64]]
    /// How many changes have begun.
    private var begun = 0

    var tree: RegionTree { storage.tree }

    /// The sequence begins one change before it wraps.
    init(_ machine: ModelMachine, _ regions: [[UInt64]]) {
      self.machine = machine
      storage = try! RegionStorage(capacity: 4, valueBytes: 16, type: "", #fileID, #line)
      states = []
      for region in regions { tree.add(region) }
      states = [tree.region(at: Self.address) ?? []]
      let header = tree.header.bits
      tree.header.value.sequence.store(0 &- 2, ordering: .relaxed)
      // All but the sequence and the root: constants and counts.
      machine.engine.privateRanges.append(header + 16..<header + UInt(RegionTree.byteCount))
      for pool in [tree.header.value.nodes, tree.header.value.records] {
        // What the pools keep for themselves: the writer alone takes and puts.
        machine.engine.privateRanges += pool.modelPrivateRanges
      }
      if machine.engine.isTracing {
        machine.engine.names[header] = "sequence"
        machine.engine.names[header + 8] = "root"
      }
    }

    /// What readers ask.
    static let address: UInt64 = 3

    /// One change, which readers are told of when it is over.
    func change(to region: [UInt64], _ body: () -> Void) {
      states.append(region)
      begun += 1
      tree.change(body)
      // Release: who is told has the change.
      machine.flags[0].store(UInt64(begun), ordering: .releasing)
    }

    /// One lookup: what it found was there at some instant of it.
    func lookUp() {
      let first = Int(machine.flags[0].load(ordering: .acquiring))
      var buffer: InlineArray<4, UInt64> = [0, 0, 0, 0]
      let finding = unsafe withUnsafeMutableBytes(of: &buffer) { bytes in
        // Safety: the buffer has four words, as the regions have.
        unsafe tree.speculate(
          Self.address, into: Table(Address(bytes.baseAddress.unsafelyUnwrapped)))
      }
      guard finding == .found else { return }
      let region = (0..<4).map { buffer[$0] }
      machine.expect(
        states[first...begun].contains(region),
        "found \(region), which was not there: \(states[first...begun])")
    }
  }

  extension PoolCore {
    /// Everything but the objects: the marks before them, too.
    fileprivate var modelPrivateRanges: [Range<UInt>] {
      let first = shape.rings.bits
      let objects = objects.bits
      let control = control.bits
      return [first..<objects, control..<control + UInt(MemoryLayout<PoolControl>.stride)]
        + (0..<UInt(capacity)).map {
          objects + $0 * UInt(stride)..<objects + $0 * UInt(stride) + UInt(PoolCore.markBytes)
        }
    }
  }

  extension ModelScenario {
    static let regionScenarios: [ModelScenario] = [
      ModelScenario(
        "a region that is split while it is looked up",
        rule: "a lookup finds what was there at one instant of it: never a half, never a mixture",
        preemptions: 3,
        bodies: { machine in
          let trial = RegionTrial(machine, [[0, 10, 1, 1]])
          return [
            {
              trial.change(to: [0, 5, 2, 2]) {
                trial.tree.replace([0, 5, 2, 2])
                trial.tree.add([5, 10, 3, 3])
              }
            }, { trial.lookUp() },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a region whose memory is used again",
        rule: "what was read from memory that has become another region is thrown away",
        preemptions: 2,
        bodies: { machine in
          let trial = RegionTrial(machine, [[0, 10, 1, 1], [20, 30, 2, 2]])
          return [
            {
              trial.change(to: []) { trial.tree.remove(from: 0) }
              trial.change(to: [2, 9, 4, 4]) { trial.tree.add([2, 9, 4, 4]) }
            },
            { trial.lookUp() },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a tree that grows while it is searched",
        rule: "a lookup that meets a new root or a node that was split finds what was there",
        preemptions: 1,
        bodies: { machine in
          let trial = RegionTrial(machine, [[0, 10, 1, 1], [20, 30, 2, 2]])
          return [
            {
              trial.change(to: [0, 10, 1, 1]) { trial.tree.add([12, 14, 5, 5]) }
              trial.change(to: []) { trial.tree.remove(from: 0) }
            },
            { trial.lookUp() },
          ]
        }, check: { _ in }),
    ]
  }
#endif
