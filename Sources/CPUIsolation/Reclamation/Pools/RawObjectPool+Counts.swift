// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension RawObjectPool {
  /// What a pool has done so far, ring by ring.
  ///
  ///     print(pool.statistics.total.misses)  // pops that found nothing: is the capacity too small?
  ///
  /// Each ring's counters are written by the thread that works there, a load and a store each; they
  /// are read without stopping anybody, so counters of one moment need not agree to the last step.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the table
  public struct Counts: Hashable, Sendable {
    /// The counters of one ring, or their sum.
    public struct Counters: Hashable, Sendable {
      /// Objects that the threads which worked in the ring have taken, wherever they found them.
      public var pops: UInt64 = 0
      /// Objects that they have put into it.
      public var pushes: UInt64 = 0
      /// Pops that found nothing anywhere.
      public var misses: UInt64 = 0
      /// Those of the pops that found nothing in the ring itself, and something elsewhere.
      public var steals: UInt64 = 0
      /// Objects that are in the ring now.
      public var free = 0
    }

    /// Ring by ring.
    public let rings: [Counters]
    /// Threads without a ring.
    public let shared: Counters
    /// The sum.
    public var total: Counters {
      (rings + [shared]).reduce(into: Counters()) { sum, ring in
        sum.pops &+= ring.pops
        sum.pushes &+= ring.pushes
        sum.misses &+= ring.misses
        sum.steals &+= ring.steals
        sum.free += ring.free
      }
    }

    init(_ core: PoolCore) {
      guard core.hold() else {
        rings = []
        shared = Counters()
        return
      }
      defer { core.drop(1) }
      rings = (0..<core.ringCount).map { number in
        let ring = core.ring(number)
        return Counters(
          pops: ring.owner.pops.load(ordering: .relaxed),
          pushes: ring.owner.pushes.load(ordering: .relaxed),
          misses: ring.owner.misses.load(ordering: .relaxed),
          steals: ring.owner.steals.load(ordering: .relaxed), free: ring.count)
      }
      let shelf = core.shelf
      shared = Counters(
        pops: shelf.pops.value.load(ordering: .relaxed),
        pushes: shelf.pushes.value.load(ordering: .relaxed),
        misses: shelf.misses.value.load(ordering: .relaxed),
        steals: shelf.steals.value.load(ordering: .relaxed),
        free: Int(truncatingIfNeeded: shelf.count.value.load(ordering: .relaxed)))
    }
  }
}
