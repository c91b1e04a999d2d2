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
        isolated: byTransition ? [0] : [], keeper: nil)
      link[0].store(4096, ordering: .relaxed)
      let core = domain.core
      let scan = unsafe UInt(bitPattern: core.scan)
      // The counts that steer when passes are made.
      machine.engine.privateRanges.append(scan + 16..<scan + 40)
      for number in 0..<HazardCore.threads {
        let line = unsafe UInt(bitPattern: core.line(number))
        machine.engine.privateRanges.append(line + 14 * 8..<line + 16 * 8)
      }
      if machine.engine.isTracing {
        machine.engine.names[link.address(0)] = "link"
        for number in 1...3 {
          let line = unsafe UInt(bitPattern: core.line(number))
          machine.engine.names[line] = "slot\(number)"
          machine.engine.names[line + 13 * 8] = "batch\(number)"
        }
      }
    }

    /// The slot of a holder that is made before the bodies run.
    func makeHolder() -> UnsafeMutablePointer<SharedAddress> { unsafe domain.core.takeHolderSlot() }

    /// The first slot of the running body's own line.
    var ownSlot: UnsafeMutablePointer<SharedAddress> {
      unsafe domain.core.line(HazardThread.number)
    }

    private func word(_ index: Int) -> UnsafeMutablePointer<SharedAddress> {
      unsafe UnsafeMutablePointer(bitPattern: link.address(index)).unsafelyUnwrapped
    }

    func protect(_ slot: UnsafeMutablePointer<SharedAddress>) -> UInt {
      unsafe domain.core.protect(slot, word(0).pointee)
    }

    func tryProtect(_ slot: UnsafeMutablePointer<SharedAddress>, _ expected: UInt) -> UInt {
      unsafe domain.core.tryProtect(slot, expected, word(0).pointee).isProtected ? expected : 0
    }

    func acquire(_ slot: UnsafeMutablePointer<SharedAddress>) -> UInt {
      unsafe domain.core.acquire(slot, word(0).pointee)
    }

    /// Uses a protected node: it has not been reclaimed.
    func use(_ node: UInt, as reader: Int) {
      if node == 0 { return }
      let isFreed = freed[Int(node / 4096)].load(ordering: .relaxed) != 0
      machine.expect(!isFreed, "a protected node was reclaimed")
      users[reader] = (Int(node / 4096), users[reader].count + 1)
      uses[reader].store(users[reader].count, ordering: .relaxed)
    }

    func reset(_ slot: UnsafeMutablePointer<SharedAddress>) {
      unsafe domain.core.endScope(HazardScope(slot, isHolders: false))
    }

    /// Takes the node out of the link, or puts another in its place, and retires it.
    func replace(with node: UInt = 0) {
      // Acquire and release — hazardLink:X, as the link itself.
      let old = link[0].exchange(UInt64(node), ordering: .acquiringAndReleasing)
      retire(UInt(old))
    }

    func retire(_ node: UInt) {
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

  extension ModelScenario {
    private static func trial(_ machine: ModelMachine, byTransition: Bool = false) -> HazardTrial {
      let trial = HazardTrial(machine, byTransition: byTransition)
      machine.hazards = trial
      return trial
    }

    static let hazardScenarios: [ModelScenario] = [
      ModelScenario(
        "a hazard by fences",
        rule: "a node that a reader protects and may use is not reclaimed before its last use",
        preemptions: 3,
        bodies: { machine in
          let trial = trial(machine)
          return [
            {
              let slot = unsafe trial.ownSlot
              for _ in 0..<2 {
                unsafe trial.use(trial.protect(slot), as: 0)
                unsafe trial.reset(slot)
              }
            },
            {
              trial.replace(with: 8192)
              trial.domain.reclaim()
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a hazard that is tried",
        rule: "a try that succeeds protects like any other",
        preemptions: 3,
        bodies: { machine in
          let trial = trial(machine)
          return [
            {
              let slot = unsafe trial.ownSlot
              unsafe trial.use(trial.tryProtect(slot, 4096), as: 0)
              unsafe trial.reset(slot)
            },
            {
              trial.replace()
              trial.domain.reclaim()
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a hazard by transition",
        rule: "the end of a section shows what the section protects to a pass that waited for it",
        preemptions: 3,
        bodies: { machine in
          machine.place(0, .user)
          let trial = trial(machine, byTransition: true)
          return [
            {
              let slot = machine.become(0)
              let hazard = unsafe trial.ownSlot
              machine.enter(slot)
              let node = unsafe trial.protect(hazard)
              trial.use(node, as: 0)
              // Held over a stay in user.
              machine.leave(slot)
              machine.enter(slot)
              trial.use(node, as: 0)
              // In place of the node, nothing: the link is empty by now, or still the same.
              unsafe trial.use(trial.protect(hazard), as: 0)
              unsafe trial.reset(hazard)
              machine.leave(slot)
            },
            {
              trial.replace()
              trial.domain.reclaim()
              trial.domain.reclaim()
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a hazard beside transitions",
        rule:
          "in a domain by transition, threads that are no CPU and CPUs in user fence themselves",
        preemptions: 2,
        bodies: { machine in
          machine.place(0, .user)
          let trial = trial(machine, byTransition: true)
          return [
            {
              // In user.
              _ = machine.become(0)
              let hazard = unsafe trial.ownSlot
              unsafe trial.use(trial.protect(hazard), as: 0)
              unsafe trial.reset(hazard)
            },
            {
              // No CPU.
              let hazard = unsafe trial.ownSlot
              unsafe trial.use(trial.protect(hazard), as: 1)
              unsafe trial.reset(hazard)
            },
            {
              trial.replace()
              trial.domain.reclaim()
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a hazard of a thread that attaches",
        rule: "a thread that attaches and protects is waited for like the one before it",
        preemptions: 2,
        bodies: { machine in
          let trial = trial(machine, byTransition: true)
          return [
            {
              let slot = machine.attach(0)
              let hazard = unsafe trial.ownSlot
              let node = unsafe trial.protect(hazard)
              trial.use(node, as: 0)
              OwnerTransitions.detach(slot)
              trial.use(node, as: 0)
              unsafe trial.reset(hazard)
            },
            {
              trial.replace()
              trial.domain.reclaim()
              trial.domain.reclaim()
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a wildcard",
        rule: "an acquisition protects what it finds, however many passes begin in between",
        preemptions: 2,
        bodies: { machine in
          let trial = trial(machine)
          return [
            {
              let hazard = unsafe trial.ownSlot
              for _ in 0..<2 { unsafe trial.use(trial.acquire(hazard), as: 0) }
              unsafe trial.reset(hazard)
            },
            {
              trial.replace(with: 8192)
              trial.domain.reclaim()
              trial.replace()
              trial.domain.reclaim()
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a holder that moves",
        rule: "a protection goes with its holder to another thread",
        preemptions: 2,
        bodies: { machine in
          let trial = trial(machine)
          let hazard = unsafe trial.makeHolder()
          return [
            {
              let node = unsafe trial.protect(hazard)
              trial.use(node, as: 0)
              // Release: what carries a value to another thread. Pairs with the load below.
              machine.flags[0].store(UInt64(node) + 1, ordering: .releasing)
            },
            {
              var backoff = Backoff()
              // Acquire, as above.
              while machine.flags[0].load(ordering: .acquiring) == 0 { backoff.wait() }
              let node = UInt(machine.flags[0].load(ordering: .relaxed)) - 1
              trial.use(node, as: 1)
              unsafe trial.reset(hazard)
            },
            {
              trial.replace()
              trial.domain.reclaim()
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "holders in a new chunk",
        rule: "each holder has a slot of its own, and a pass finds it wherever it is",
        memories: [.totalStoreOrder], preemptions: 2,
        bodies: { machine in
          let trial = trial(machine)
          let hold = { (reader: Int) in
            let hazard = unsafe trial.makeHolder()
            unsafe trial.use(trial.protect(hazard), as: reader)
            unsafe trial.reset(hazard)
            unsafe trial.domain.core.giveBackHolderSlot(hazard)
          }
          return [
            { hold(0) },
            { hold(1) },
            {
              trial.replace()
              trial.domain.reclaim()
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a holder in a new chunk",
        rule: "a pass finds a slot that was made while it began",
        preemptions: 2,
        bodies: { machine in
          let trial = trial(machine)
          let hold = { (reader: Int) in
            let hazard = unsafe trial.makeHolder()
            unsafe trial.use(trial.protect(hazard), as: reader)
            unsafe trial.reset(hazard)
            unsafe trial.domain.core.giveBackHolderSlot(hazard)
          }
          return [
            { hold(0) },
            {
              trial.replace()
              trial.domain.reclaim()
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "batches of several threads",
        rule: "everything that is retired is reclaimed, once, whoever takes its batch when",
        preemptions: 2,
        bodies: { machine in
          let trial = trial(machine)
          return [
            { for node in 1...3 as ClosedRange<UInt> { trial.retire(node * 4096) } },
            { trial.retire(4 * 4096) },
            {
              trial.domain.reclaim()
              trial.domain.reclaim()
            },
          ]
        },
        check: { machine in
          guard let trial = machine.hazards else { return }
          trial.domain.reclaim()
          machine.expect(
            trial.reclaimed[1...4].allSatisfy { $0 == 1 },
            "reclaimed so often: \(trial.reclaimed[1...4])")
        }),
      ModelScenario(
        "a barrier beside a retirement",
        rule:
          "what was retired before a barrier is reclaimed when it answers, wherever its batch is",
        preemptions: 2,
        bodies: { machine in
          let trial = trial(machine)
          return [
            {
              trial.retire(4096)
              // Release: what tells another thread of it. Pairs with the load below.
              machine.flags[0].store(1, ordering: .releasing)
              trial.retire(8192)
            },
            {
              // Acquire, as above.
              guard machine.flags[0].load(ordering: .acquiring) == 1 else { return }
              let scanner = trial.domain.scanner
              var search = HazardScanner.Search()
              for _ in 0..<2 {
                let left = scanner.withLock { scanner.advance(&search, cohort: nil) }
                guard case .some(.some([])) = left else { continue }
                machine.expect(trial.reclaimed[1] == 1, "a barrier would have answered before")
              }
            },
          ]
        }, check: { _ in }),
    ]
  }
#endif
