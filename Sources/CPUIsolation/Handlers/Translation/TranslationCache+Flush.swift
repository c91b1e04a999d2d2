// SPDX-License-Identifier: Apache-2.0

public import Synchronization

extension FlushLog {
  /// What catching up with a flush log took.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public enum Extent: Hashable, Sendable {
    /// An earlier run had covered it: there was nothing to do.
    case covered
    /// These many pages were dropped, one by one.
    case partial(pages: Int)
    /// Everything was dropped: the ranges were too many pages, or no longer known.
    case full
  }
}

extension TranslationCache {
  /// Drops what the log says since the cache's own generation: what the handler of a flush does.
  ///
  ///     let flush = try coordinator.register("flush_routes") { cpu in
  ///       caches[cpu].catchUp(with: log)
  ///     }
  ///
  /// The ranges go one by one if each of them is known and their pages are at most `ceiling`; else
  /// everything goes. It never rests on which flush was delivered: flushes may arrive out of order
  /// (1, all of 3, a range of 2), and one that was covered finds nothing to do.
  ///
  /// The generation is loaded once, before anything is dropped, and is what the cache then stands
  /// at: a change that comes later is of a later generation, whose flush is still to be served.
  /// Loaded again after the drops it would skip it.
  ///
  /// - Parameters:
  ///   - log: the log that the cache was made of.
  ///   - ceiling: the most pages that are dropped one by one.
  /// - Returns: what was dropped: nothing, ranges, or everything.
  /// - Progress: wait-free
  /// - Context: owner, in kernel or in a handler; or a helper that runs the handler for it
  /// - Allocates: never
  @discardableResult
  public func catchUp(with log: FlushLog, ceiling: Int = FlushLog.standardCeiling)
    -> FlushLog.Extent
  {
    // The ring is the log's for as long as somebody holds that.
    withExtendedLifetime(log) { catchUp(with: log.ring, ceiling: ceiling) }
  }

  @inlinable
  func catchUp(with ring: FlushRing, ceiling: Int) -> FlushLog.Extent {
    // Acquire — flush:L, before anything is dropped.
    let current = ring.currentGeneration()
    return catchUp(with: ring, to: current, ceiling: ceiling)
  }

  @inlinable
  func catchUp(with ring: FlushRing, to current: UInt64, ceiling: Int) -> FlushLog.Extent {
    let local = owner.generation.load(ordering: .relaxed)
    // Not the other way round either: a generation never goes back.
    if local >= current {
      owner.covered.countOne()
      return .covered
    }
    let extent = drop(since: local, upTo: current, ring, ceiling)
    if extent == .full { removeAll() }
    owner.generation.store(current, ordering: .relaxed)
    count(extent)
    return extent
  }

  /// Drops the ranges of the generations after `local`; `.full` if that cannot be, or is too much.
  @inlinable
  func drop(
    since local: UInt64, upTo current: UInt64, _ ring: FlushRing, _ ceiling: Int
  ) -> FlushLog.Extent {
    if current &- local > ring.mask &+ 1 { return .full }
    var left = UInt64(Swift.max(0, ceiling))
    var generation = local
    while generation != current {
      generation &+= 1
      guard let pages = ring.pages(ofGeneration: generation) else { return .full }
      let count = pages.end > pages.first ? pages.end &- pages.first : 0
      if count > left { return .full }
      left &-= count
      var page = pages.first
      while page < pages.end {
        remove(number: page)
        page &+= 1
      }
    }
    return .partial(pages: Swift.max(0, ceiling) - Int(truncatingIfNeeded: left))
  }

  @inlinable
  func count(_ extent: FlushLog.Extent) {
    switch extent {
    case .covered: break
    case .partial(let pages):
      owner.partial.countOne()
      let before = owner.pages.load(ordering: .relaxed)
      owner.pages.store(
        before &+ UInt64(truncatingIfNeeded: pages), ordering: .relaxed)
    case .full: owner.full.countOne()
    }
  }

  /// Drops everything, and takes over a generation that was loaded before.
  @inlinable
  func dropAll(at generation: UInt64) {
    removeAll()
    owner.generation.store(generation, ordering: .relaxed)
  }
}

// MARK: - Lazy mode

extension TranslationCache {
  /// Begins to use the cache, empty and at the log's generation: what a CPU does before it may
  /// cache anything.
  ///
  /// The flag comes before the generation, as in `endLazy`.
  func join(_ ring: FlushRing) {
    // Sequentially consistent — lazy:U. Dekker with flush:G/lazy:L. Pairs with lazy:L.
    use.isUsed.store(1, ordering: .sequentiallyConsistent)
    dropAll(at: ring.generationAfterUse())
  }

  /// Stops using the cache: flushers of what merely changed skip this CPU. The entries stay.
  func beginLazy() {
    // Relaxed — lazy:B: a flusher that sees it late sends what nobody needs.
    use.isUsed.store(0, ordering: .relaxed)
  }

  /// Uses the cache again, having caught up with what was not sent meanwhile.
  ///
  /// The argument against a flusher (`flush:G`, `lazy:L`): both sides write one word and then read
  /// the other's.
  /// - If our store comes before the flusher's look, it sees a CPU that uses its cache, and
  ///   sends.
  /// - If its look comes first, so does its generation, and our load after the store sees that:
  ///   we drop what it is about before we look anything up.
  /// - Both cannot miss each other: the four accesses are sequentially consistent. Catching up
  ///   first and setting the flag after it is the kernel's mistake of `kernel_cr3_loaded`: a
  ///   flusher in between skips a CPU that has passed its flush.
  func endLazy(_ ring: FlushRing, ceiling: Int) -> FlushLog.Extent {
    // Sequentially consistent — lazy:U. Dekker with flush:G/lazy:L. Pairs with lazy:L.
    use.isUsed.store(1, ordering: .sequentiallyConsistent)
    let current = ring.generationAfterUse()
    return catchUp(with: ring, to: current, ceiling: ceiling)
  }

  /// Whether the CPU uses its cache, for a flusher after its generation.
  var isUsed: Bool {
    // Sequentially consistent — lazy:L. After flush:G. Pairs with lazy:U.
    use.isUsed.load(ordering: .sequentiallyConsistent) != 0
  }
}
