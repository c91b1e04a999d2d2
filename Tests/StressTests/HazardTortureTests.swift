// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Testing

@testable import CPUIsolation

extension StressTests {
  /// Hazard pointers under fault injection, in the manner of the kernel's torture tests: threads are
  /// held up, for a moment or to the end, at the numbered points of a protection, a retirement and a
  /// pass (`HazardFault`), while others read, replace and reclaim. What is reclaimed is poisoned
  /// first.
  ///
  /// The points exist in debug builds alone; without them the same runs happen undisturbed.
  @Suite(.serialized) struct HazardTorture {
    struct Case: Sendable, CustomTestStringConvertible {
      var seed: UInt64
      var fence = HazardDomain.Fence.full
      var byTransition = false
      var readers = 2
      var writers = 2
      /// Readers that stop inside a protection and stay there to the end.
      var stopped = 0
      /// Threads that come, protect, retire and go.
      var guests = 0
      /// Whether readers acquire by wildcards: what stops there holds everything back.
      var acquires = true
      var testDescription: String {
        "seed \(seed): \(byTransition ? "transition" : "\(fence)"), \(readers) readers, "
          + "\(writers) writers, \(stopped) stopped, \(guests) guests"
      }
    }

    /// A filter may refuse membarriers.
    private static let hasMembarrier = (try? HazardDomain(fence: .membarrier)) != nil

    private static let cases = [
      Case(seed: 81),
      Case(seed: 82, readers: 4, stopped: 3, acquires: false),
      Case(seed: 83, fence: .membarrier, writers: 1, stopped: 1),
      Case(seed: 84, byTransition: true, stopped: 1),
      Case(seed: 85, byTransition: true, readers: 4, writers: 1, guests: 2),
      Case(seed: 86, readers: 1, writers: 3, stopped: 1, guests: 3, acquires: false),
    ].filter { $0.fence != .membarrier || hasMembarrier }

    @Test(arguments: cases)
    func survives(_ test: Case) throws { try HazardTorture.Run(test).run() }
  }
}

/// What the points do; the hook can be passed nothing.
private enum Faults {
  private static let state = Atomic<UInt64>(1)
  static let met = Atomic<UInt64>(0)

  static let hook: @convention(c) (Int) -> Void = { point in
    // SplitMix64 over a shared counter: threads disturb each other's choices, as they should.
    var mixed = state.wrappingAdd(0x9e37_79b9_7f4a_7c15, ordering: .relaxed).newValue
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed ^= mixed >> 27
    met.bitwiseOr(1 << UInt64(point), ordering: .relaxed)
    switch mixed >> 20 & 127 {
    case 0: usleep(UInt32(mixed >> 40 & 255))
    case 1...8: sched_yield()
    default: break
    }
  }
}

extension StressTests.HazardTorture {
  // Sendable: links and counters are atomic, and the rest is constant.
  final class Run: @unchecked Sendable {
    private struct Node: ~Copyable {
      static let sound: UInt64 = 0x5051_5253_5455_5657
      static let poison: UInt64 = 0xdead_dead_dead_dead
      let first = Atomic<UInt64>(Node.sound)
      let last = Atomic<UInt64>(Node.sound)
    }

    private static let links = 4
    private let test: Case
    private let domain: HazardDomain
    private let coordinator: Coordinator
    private let links: [Link]
    private let stop = SharedFlag()
    private let poisoned = Atomic<Int>(0)
    private let overBound = Atomic<Int>(0)
    private let reads = Atomic<Int>(0)
    private let stoppedReaders = Atomic<Int>(0)

    private final class Link: Sendable {
      let link = HazardLink<Node>()
      init() { unsafe link.store(.init(Run.makeNode())) }
    }

    init(_ test: Case) throws {
      self.test = test
      coordinator = try Coordinator.quiet(housekeeping: [0], isolated: CPUMask(1..<9))
      domain =
        test.byTransition
        ? try coordinator.makeHazardDomain(reclamation: .retiring)
        : try HazardDomain(fence: test.fence, reclamation: .retiring)
      links = (0..<Self.links).map { _ in Link() }
    }

    private static func makeNode() -> UnsafeMutablePointer<Node> {
      let node = UnsafeMutablePointer<Node>.allocate(capacity: 1)
      unsafe node.initialize(to: Node())
      return unsafe node
    }

    private func replace(_ link: Int) {
      let old = unsafe links[link].link.exchange(.init(Self.makeNode())).node.unsafelyUnwrapped
      unsafe domain.retire(UnsafeMutableRawPointer(old)) { address, _ in
        let node = unsafe address.assumingMemoryBound(to: Node.self)
        unsafe node.pointee.first.store(Node.poison, ordering: .relaxed)
        unsafe node.pointee.last.store(Node.poison, ordering: .relaxed)
        unsafe node.deinitialize(count: 1)
        unsafe node.deallocate()
      }
    }

    private func look(_ node: borrowing Node, pausing: Bool) {
      let isSound = node.first.load(ordering: .relaxed) == Node.sound
      if pausing { sched_yield() }
      if !isSound || node.last.load(ordering: .relaxed) != Node.sound {
        poisoned.wrappingAdd(1, ordering: .relaxed)
      }
      reads.wrappingAdd(1, ordering: .relaxed)
    }

    private func read(
      _ index: Int, _ generator: inout SeededGenerator, _ hazard: inout HazardPointer
    ) {
      let link = links[generator.below(Self.links)]
      let pausing = generator.oneIn(64)
      switch generator.below(4) {
      case 0: domain.withProtected(link.link) { look($0, pausing: pausing) }
      case 1:
        domain.withProtected(link.link) { outer in
          domain.withProtected(links[generator.below(Self.links)].link) {
            look($0, pausing: pausing)
          }
          look(outer, pausing: false)
        }
      case 2 where test.acquires:
        let content = hazard.acquire(link.link)
        if let node = unsafe content.node { look(unsafe node.pointee, pausing: pausing) }
        if generator.oneIn(8) { hazard.reset() }
      default: _ = hazard.withProtected(link.link) { look($0, pausing: pausing) }
      }
    }

    private func reader(_ index: Int) {
      var generator = SeededGenerator(seed: test.seed, stream: index)
      var hazard = HazardPointer(in: domain)
      if test.byTransition, let local = try? coordinator.attach(to: 1 + index) {
        while !stop.isSet {
          for _ in 0..<generator.below(4) { read(index, &generator, &hazard) }
          local.inUser {
            if generator.oneIn(16) { read(index, &generator, &hazard) }
            if generator.oneIn(256) { sched_yield() }
          }
        }
      } else {
        while !stop.isSet { read(index, &generator, &hazard) }
      }
    }

    /// Stops while it protects a node, and looks at it when all is over.
    private func stoppedReader(_ index: Int) {
      domain.withProtected(links[index % Self.links].link) { node in
        stoppedReaders.wrappingAdd(1, ordering: .relaxed)
        while !stop.isSet { usleep(1000) }
        look(node, pausing: false)
      }
    }

    private func writer(_ index: Int) {
      var generator = SeededGenerator(seed: test.seed, stream: 100 + index)
      // What is retired while a CPU is in kernel, or a wildcard stands, comes on top.
      let isBounded = !test.byTransition && !test.acquires
      while !stop.isSet {
        replace(generator.below(Self.links))
        if generator.oneIn(4096) { domain.reclaim() }
        if isBounded, generator.oneIn(64), let bound = domain.unreclaimedBound {
          // Not `pending`: what is retired and reclaimed between its two looks would count.
          let retired = domain.counts.retired
          let reclaimed = domain.counts.reclaimed
          if retired > reclaimed + UInt64(bound) { overBound.wrappingAdd(1, ordering: .relaxed) }
        }
      }
    }

    /// Threads that leave with batches unfinished.
    private func guest(_ index: Int) {
      var round = 0
      while !stop.isSet {
        round += 1
        let stream = 200 + index + 10 * round
        TestThread { [self] in
          var generator = SeededGenerator(seed: test.seed, stream: stream)
          var hazard = HazardPointer(in: domain)
          for _ in 0..<generator.below(100) {
            read(0, &generator, &hazard)
            replace(generator.below(Self.links))
          }
        }.join()
      }
    }

    func run() throws {
      Faults.met.store(0, ordering: .relaxed)
      HazardFault.setHook(Faults.hook)
      let stoppedThreads = (0..<test.stopped).map { index in
        TestThread { self.stoppedReader(index) }
      }
      #expect(eventually { stoppedReaders.load(ordering: .relaxed) == test.stopped })
      let threads =
        (0..<test.readers).map { index in TestThread { self.reader(index) } }
        + (0..<test.writers).map { index in TestThread { self.writer(index) } }
        + (0..<test.guests).map { index in TestThread { self.guest(index) } }
      let until = Until(StressDuration.ofCase(2))
      while !until.isOver { usleep(10_000) }
      stop.set()
      for thread in threads + stoppedThreads { thread.join() }
      HazardFault.setHook(nil)

      #expect(poisoned.load(ordering: .relaxed) == 0, "a protected node was reclaimed")
      #expect(overBound.load(ordering: .relaxed) == 0, "more was unreclaimed than the bound says")
      #expect(reads.load(ordering: .relaxed) > 1000)
      let held = domain.counts
      #expect(held.retired == held.reclaimed + held.pending)
      #expect(held.reclaimed > 0)
      #expect(domain.barrier(timeout: StressDuration.generous) == .settled)
      #expect(domain.counts.pending == 0)
      if HazardFault.isCompiledIn {
        // Points 0 and 1 are the fences', 3 is the transition's.
        let expected: UInt64 = test.byTransition ? 0b1_1110_1000 : 0b1_1110_0111
        #expect(Faults.met.load(ordering: .relaxed) & expected == expected)
      }
      for link in links {
        let node = unsafe link.link.load().node.unsafelyUnwrapped
        unsafe node.deinitialize(count: 1)
        unsafe node.deallocate()
      }
    }
  }
}
