// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Testing

@testable import CPUIsolation

/// A thread that is told at which point it ends, in the middle of everything.
private enum Death {
  /// The point that this thread ends at, counted from 1, as the thread's own value of a key.
  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    unsafe pthread_key_create(&key, nil)
    return key
  }()

  static func await(at point: Int) {
    unsafe pthread_setspecific(key, UnsafeMutableRawPointer(bitPattern: point + 1))
  }

  static let hook: @convention(c) (Int) -> Void = { point in
    if unsafe Int(bitPattern: pthread_getspecific(key)) == point + 1 { pthread_exit(nil) }
  }
}

extension StressTests.HazardTorture {
  /// Threads end in the middle of a protection or a retirement, and nothing cleans up after them.
  ///
  /// What that costs: a protection holds its one object, and the barrier says that a thread which has
  /// ended does; an object that was in no batch yet, and a batch that was in nobody's line, are never
  /// reclaimed. Nobody else is held up. Not survived, and not tried here: the end inside `acquire`,
  /// whose wildcard holds the domain back, and inside a pass, which has the scanner's lock.
  @Test(.enabled(if: HazardFault.isCompiledIn, "points exist in debug builds alone"))
  func survivesDeaths() throws {
    let deaths = 4
    let domain = try HazardDomain(reclamation: .retiring)
    let quiet = Target()
    let busy = Target()
    let stop = SharedFlag()
    HazardFault.setHook(Death.hook)
    defer { HazardFault.setHook(nil) }

    // Everybody who lives has a number before the first one dies: theirs would be free again.
    domain.withProtected(quiet.link) { quiet.look($0) }
    let numbered = SharedCounter()
    let others = (0..<2).map { index in
      TestThread {
        domain.withProtected(busy.link) { busy.look($0) }
        numbered.add()
        while !stop.isSet {
          domain.withProtected(busy.link) { busy.look($0) }
          if index == 0 { busy.replace(in: domain) }
        }
      }
    }
    #expect(eventually { numbered.value == 2 })
    // 0 to 2 in a protection, 5 and 6 in a retirement.
    for point in [0, 1, 2, 5, 6] {
      for _ in 0..<deaths {
        let survived = SharedFlag()
        TestThread {
          Death.await(at: point)
          if point < 5 {
            domain.withProtected(quiet.link) { quiet.look($0) }
          } else {
            busy.replace(in: domain)
          }
          survived.set()
        }.join()
        #expect(!survived.isSet, "point \(point) was not met")
      }
    }
    // The others go on.
    let before = domain.counts.reclaimed
    #expect(eventually { domain.counts.reclaimed > before + 1000 })
    stop.set()
    for thread in others { thread.join() }

    let held = unsafe UInt(bitPattern: quiet.link.load().node)
    quiet.replace(in: domain)
    let obstacle = HazardDomain.Obstacle(kind: .scope(thread: 0), address: held)
    #expect(domain.barrier(timeout: .milliseconds(100)) == .timedOut([]))
    #expect(domain.obstacles() == Array(repeating: obstacle, count: 2 * deaths))
    #expect(quiet.poisoned.load(ordering: .relaxed) + busy.poisoned.load(ordering: .relaxed) == 0)
    // The node that is held, and a batch for each thread that ended with one in its hands.
    #expect(domain.counts.pending <= 1 + UInt64(deaths * Limits.hazardBatch))
  }

  private final class Target: Sendable {
    struct Node: ~Copyable {
      let mark = Atomic<UInt64>(0x5051_5253_5455_5657)
    }

    let link = HazardLink<Node>()
    let poisoned = Atomic<Int>(0)

    init() { unsafe link.store(.init(Self.make())) }

    private static func make() -> UnsafeMutablePointer<Node> {
      let node = UnsafeMutablePointer<Node>.allocate(capacity: 1)
      unsafe node.initialize(to: Node())
      return unsafe node
    }

    func look(_ node: borrowing Node) {
      if node.mark.load(ordering: .relaxed) != 0x5051_5253_5455_5657 {
        poisoned.wrappingAdd(1, ordering: .relaxed)
      }
    }

    func replace(in domain: HazardDomain) {
      guard let old = unsafe link.exchange(.init(Self.make())).node else { return }
      unsafe domain.retire(UnsafeMutableRawPointer(old)) { address, _ in
        let node = unsafe address.assumingMemoryBound(to: Node.self)
        unsafe node.pointee.mark.store(0xdead, ordering: .relaxed)
        unsafe node.deinitialize(count: 1)
        unsafe node.deallocate()
      }
    }
  }
}
