// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

/// What remains of a pool's threads, and of the pool.
@Suite struct PoolEndTests {
  /// Runs something once, where a thief has read its entry and not yet claimed it.
  private enum StalledThief: PoolFaults {
    // Unchecked: one thread alone.
    nonisolated(unsafe) static var body: (() -> Void)? = nil

    static func reach(_ point: PoolPoint) {
      guard point == .entryRead, let body = unsafe body else { return }
      unsafe Self.body = nil
      body()
    }
  }

  @Test func aThiefThatStalledBeforeTheOwnerDied() throws {
    let pool = try RawObjectPool(capacity: 2, objectBytes: 8, rings: 1)
    let core = pool.core
    let ring = core.ring(0)
    try #require(ring.claim(as: 4711, after: ring.holder))
    let first = ring.steal(core.mask, NoFaults.self)
    unsafe StalledThief.body = {
      // The owner saw the first entry when it began its pop: it lowers the bottom, and dies.
      let last = ring.bottom.value.load(ordering: .relaxed) &- 1
      ring.owner.bottom.store(last, ordering: .relaxed)
      ring.bottom.value.store(last, ordering: .relaxed)
      // Whoever has the first object takes the ring over, and puts it there.
      #expect(ring.claim(as: 4712, after: ring.holder))
      ring.push(first, core.mask, NoFaults.self)
    }
    // The entry that the thief read was the dead owner's. The thief fails there, and finds the other.
    #expect(ring.steal(core.mask, StalledThief.self) == first)
    #expect(unsafe StalledThief.body == nil)
    #expect(ring.pop(core.mask, NoFaults.self) == PoolRing.none)
    ring.push(first, core.mask, NoFaults.self)
    #expect(ring.pop(core.mask, NoFaults.self) == first)
    ring.push(first, core.mask, NoFaults.self)
    #expect(ring.steal(core.mask, NoFaults.self) == first)
  }

  @Test func isFreedBehindTheElements() throws {
    final class Witness: Sendable {
      let pool = Mutex<ObjectPool<Element>?>(nil)
      let seen = Mutex<[Bool]>([])
    }
    struct Element: ~Copyable {
      let witness: Witness
      deinit {
        let isFreed = witness.pool.withLock { $0!.isFreed }
        witness.seen.withLock { $0.append(isFreed) }
      }
    }
    let witness = Witness()
    let pool = try ObjectPool(capacity: 2, rings: 1) { _ in Element(witness: witness) }
    witness.pool.withLock { $0 = pool }
    #expect(!pool.isFreed)
    pool.close()
    #expect(pool.isFreed)
    #expect(witness.seen.withLock { $0 } == [false, false])
    witness.pool.withLock { $0 = nil }
  }
}
