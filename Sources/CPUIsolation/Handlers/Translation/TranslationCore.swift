// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// The shared parts of an address space, and the steps of the protocol between them: what handlers
/// get as their context.
///
/// A change takes three steps, in this order: the entries of the table (`table:W`), the generation
/// of the log (`flush:G`), the send. A CPU takes its own in the drain: its generation, the drops,
/// and after them the lookups. See `TranslationCache` for what a lookup may rely on.
final class TranslationCore: Sendable {
  let nodes: PageTableNodes
  let ring: FlushRing
  let coordinator: CoordinatorCore
  let ceiling: Int
  private let caches: CacheTable
  /// What owns the memory: a handler may run for as long as this value lives.
  private let kept: [any AnyObject & Sendable]

  init(
    nodes: PageTableNodes, ring: FlushRing, coordinator: CoordinatorCore, caches: CacheTable,
    ceiling: Int, keeping kept: [any AnyObject & Sendable]
  ) {
    self.kept = kept
    self.nodes = nodes
    self.ring = ring
    self.coordinator = coordinator
    self.caches = caches
    self.ceiling = ceiling
  }

  /// The cache of a CPU.
  func cache(_ cpu: Int) -> TranslationCache<UInt64, UInt64> { caches[cpu] }

  // MARK: Changing

  /// Changes entries, and lets the log know. The caller is the only writer, and sends after this.
  ///
  /// The change comes before the generation: a CPU that stands at the generation fills its cache
  /// from the changed table. With the generation first it could catch up in between, fill from the
  /// old entry, and pass for current.
  @discardableResult
  func publish(_ pages: Range<UInt64>, _ change: () -> Void) -> UInt64 {
    change()
    return ring.append(first: pages.lowerBound, end: pages.upperBound)
  }

  /// Whether a change has to be sent to a CPU. A CPU that does not use its cache compares
  /// generations before it does.
  func mustBeTold(_ cpu: Int) -> Bool { cache(cpu).isUsed }

  /// Whether a CPU has dropped what a flush is about, and uses it no more: the acknowledgement that
  /// whatever is freed waits for.
  ///
  /// - It has run the flush: its lookups since then find nothing, and what it found before it has
  ///   used up to that safe point at the latest.
  /// - It is outside kernel with the flush pending (`mayBeCovered`): it uses nothing now, and drops
  ///   it before it looks anything up.
  /// - Its thread has gone.
  static func hasDropped(_ state: Ticket.State, mayBeCovered: Bool) -> Bool {
    switch state {
    case .executed, .gone: true
    case .covered: mayBeCovered
    case .pending: false
    }
  }

  // MARK: The handlers

  /// Drops what the log says: the handler of `flush_tlb_range`.
  func flushRange(_ cpu: Int) {
    catchUp(cpu, ceiling: ceiling)
  }

  /// Drops everything: the handler of `flush_tlb_all`.
  func flushAll(_ cpu: Int) {
    catchUp(cpu, ceiling: -1)
  }

  // The cache is made anew at each use: a value that cannot be copied, and is looked into by address, would
  // be kept in a box.
  @inline(__always)
  private func catchUp(_ cpu: Int, ceiling: Int) {
    let before = cache(cpu).owner.generation.load(ordering: .relaxed)
    let extent = cache(cpu).catchUp(with: ring, ceiling: ceiling)
    if coordinator.isTraced(.tlbFlush) { trace(cpu, since: before, extent) }
  }

  private func trace(_ cpu: Int, since before: UInt64, _ extent: FlushLog.Extent) {
    let generation = cache(cpu).owner.generation.load(ordering: .relaxed)
    var hull: (first: UInt64, end: UInt64)
    switch extent {
    case .covered: return
    case .full: hull = (0, .max)
    case .partial:
      hull = (.max, 0)
      // No loop over a range of 64-bit numbers: without optimisation that allocates, and this may run in
      // a signal handler.
      var flush = before
      while flush < generation {
        flush += 1
        // A range that has been overwritten since makes it everything.
        let pages = ring.pages(ofGeneration: flush) ?? (0, .max)
        if pages.first >= pages.end { continue }
        hull = (min(hull.first, pages.first), max(hull.end, pages.end))
      }
      if hull.first > hull.end { hull = (0, 0) }
    }
    coordinator.trace(.tlbFlush, UInt64(cpu), hull.first, hull.end, generation)
  }
}

/// A mapping that several hold.
final class SharedMapping: Sendable {
  let memory: MappedMemory

  init(byteCount: Int) throws(IsolationError) {
    memory = try MappedMemory(byteCount: byteCount)
  }
}

/// The caches of all CPUs, in one mapping.
// Sendable: an address; what stands there is each CPU's own, or atomic.
@safe
struct CacheTable: @unchecked Sendable {
  let base: Address
  let stride: Int

  /// The bytes of a CPU's cache: an odd number of pairs of lines, so that the flags of many CPUs do
  /// not all fall into one set of a flusher's cache.
  static func stride(entries: Int) -> Int {
    let bytes = TranslationCacheLayout<UInt64>.byteCount(entries: entries)
    let lines = bytes / cacheLineStride
    return (lines | 1) * cacheLineStride
  }

  /// Lays the caches out in zeroed memory.
  init(initializing base: Address, cpus: Int, entries: Int) {
    self.base = base
    stride = Self.stride(entries: entries)
    for cpu in 0..<cpus {
      _ = TranslationCache<UInt64, UInt64>(
        initializing: base + cpu * stride, entries: entries, ownedBytes: 0)
    }
  }

  subscript(cpu: Int) -> TranslationCache<UInt64, UInt64> {
    TranslationCache(viewing: base + cpu &* stride)
  }
}
