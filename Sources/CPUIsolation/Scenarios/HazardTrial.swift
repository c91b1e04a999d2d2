// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import ModelEngine

  /// A domain and two nodes for one execution, and what has become of them.
  ///
  /// The nodes are addresses alone, never looked into: 4096 and 8192.
  final class HazardTrial {
    struct Node: ~Copyable {}

    let machine: ModelMachine
    let domain: HazardDomain
    let link = InlineWords()
    /// By node: whether it was reclaimed.
    private let freed = InlineWords()
    /// By reader: how often it used the node that it protected.
    private let uses = InlineWords()
    /// By reader: the node, and how often, as nobody in the model can know it.
    private var users = [(node: Int, count: UInt64)](repeating: (0, 0), count: 4)
    private(set) var reclaimed = [Int](repeating: 0, count: 8)

    init(_ machine: ModelMachine, byTransition: Bool) {
      HazardBatch.beginExecution()
      self.machine = machine
      domain = try! HazardDomain(
        fencing: byTransition ? HazardFencing.byTransition : HazardFencing.full,
        reclamation: .explicit, slots: byTransition ? machine.core.slots : nil,
        isolated: byTransition ? [0] : [], home: nil)
      link[0].store(4096, ordering: .relaxed)
      let core = domain.core
      let scan = core.base.bits + 256
      // The counts that steer when passes are made.
      machine.engine.privateRanges.append(scan + 16..<scan + 40)
      for number in 0..<Limits.hazardThreads {
        let line = core.line(number).bits
        machine.engine.privateRanges.append(line + 14 * 8..<line + 16 * 8)
      }
      if machine.engine.isTracing {
        machine.engine.names[link.address(0)] = "link"
        for number in 1...3 {
          let line = core.line(number).bits
          machine.engine.names[line] = "slot\(number)"
          machine.engine.names[line + 13 * 8] = "batch\(number)"
        }
      }
    }

    /// The slot of a holder that is made before the bodies run.
    func makeHolder() -> Place<SharedAddress> { domain.core.takeHolderSlot() }

    /// The first slot of the running body's own line.
    var ownSlot: Place<SharedAddress> {
      domain.core.line(HazardThread.number).place(0)
    }

    private func word(_ index: Int) -> Place<SharedAddress> {
      // Safety: an address and a word have one shape.
      unsafe Place(Address(at: link.address(index))!)
    }

    func protect(_ slot: Place<SharedAddress>) -> UInt {
      domain.core.protect(slot, word(0).value)
    }

    func tryProtect(_ slot: Place<SharedAddress>, _ expected: UInt) -> UInt {
      domain.core.tryProtect(slot, expected, word(0).value).isProtected ? expected : 0
    }

    func acquire(_ slot: Place<SharedAddress>) -> UInt {
      domain.core.acquire(slot, word(0).value)
    }

    /// Uses a protected node: it has not been reclaimed.
    func use(_ node: UInt, as reader: Int) {
      if node == 0 { return }
      let isFreed = freed[Int(node / 4096)].load(ordering: .relaxed) != 0
      machine.expect(!isFreed, "a protected node was reclaimed")
      users[reader] = (Int(node / 4096), users[reader].count + 1)
      uses[reader].store(users[reader].count, ordering: .relaxed)
    }

    func reset(_ slot: Place<SharedAddress>) {
      domain.core.endScope(HazardScope(slot, isHolders: false))
    }

    /// Takes the node out of the link, or puts another in its place, and retires it.
    func replace(with node: UInt = 0) {
      // Acquire and release — hazardLink:X, as the link itself.
      let old = link[0].exchange(UInt64(node), ordering: .acquiringAndReleasing)
      retire(UInt(old))
    }

    func retire(_ node: UInt) {
      // Safety: the trial outlives its domain; nodes are numbers, which nobody looks into.
      let context = unsafe Unmanaged.passUnretained(self).toOpaque()
      let address = unsafe UnsafeMutableRawPointer(bitPattern: node).unsafelyUnwrapped
      unsafe domain.retire(address, context: context) { address, context in
        let trial = unsafe Unmanaged<HazardTrial>.fromOpaque(context!).takeUnretainedValue()
        trial.reclaim(UInt(bitPattern: address))
      }
    }

    private func reclaim(_ node: UInt) {
      let index = Int(node / 4096)
      reclaimed[index] += 1
      if ModelEngine.current != nil {
        for reader in 0..<4 where users[reader].node == index {
          // Before the load: the reader may go on to another node meanwhile.
          let count = users[reader].count
          machine.expect(
            uses[reader].load(ordering: .relaxed) >= count, "reclaimed before its last use")
        }
        freed[index].store(1, ordering: .relaxed)
      }
    }
  }
#endif
