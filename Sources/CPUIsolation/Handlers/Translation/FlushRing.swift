// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// The memory of a flush log: the generation, and the ranges of the last generations in a ring.
///
///     offset    0  generation   how many flushes there have been; a line of its own
///             128  slots        stamp, first page, end, one word to spare: half a line's half each
///
/// One thread at a time appends; any number of CPUs read, and never wait. A slot is a sequence lock
/// of its own, as in `TraceRing`.
// Sendable: an address of memory in which every word is atomic.
@frozen @safe @usableFromInline
struct FlushRing: @unchecked Sendable {
  @usableFromInline let base: Address
  /// One less than the number of slots, a power of two.
  @usableFromInline let mask: UInt64

  @usableFromInline
  init(base: Address, mask: UInt64) {
    self.base = base
    self.mask = mask
  }

  /// Lays an empty log out in zeroed memory.
  init(initializing base: Address, ranges: Int) {
    self.init(base: base, mask: UInt64(ranges - 1))
    generationWord.initialize(to: SharedWord(0))
    slot(0).initialize(count: ranges * Self.slotWords)
  }

  private static var slotWords: Int { 4 }
  /// A stamp that no generation has: the slot is being written, or never was.
  private static var busy: UInt64 { 0 }

  static func byteCount(ranges: Int) -> Int { cacheLineStride + ranges * slotWords * 8 }

  @usableFromInline
  var generationWord: Place<SharedWord> {
    // Safety: the ring's memory begins with it, from initialisation on.
    unsafe Place(base)
  }

  private func slot(_ generation: UInt64) -> Table<SharedWord> {
    // Safety: there are as many slots as the mask lets a generation be.
    unsafe Table<SharedWord>(base + cacheLineStride)
      .dropping(Int(truncatingIfNeeded: generation & mask) &* Self.slotWords)
  }

  /// Adds a flush of `first..<end`, and returns its generation. The caller is alone, and has
  /// changed what the flush is about.
  ///
  /// The range comes before the generation: whoever knows of the flush finds what it is about, or
  /// finds that the slot is of a later one.
  @discardableResult
  func append(first: UInt64, end: UInt64) -> UInt64 {
    let next = generationWord.value.load(ordering: .relaxed) &+ 1
    let slot = slot(next)
    slot[0].store(Self.busy, ordering: .relaxed)
    // Release fence — flush:B. The mark comes before the words: a reader that saw one of the new
    // words sees, after its own fence, that the stamp has changed. Pairs with flush:E.
    releaseFence()
    slot[1].store(first, ordering: .relaxed)
    slot[2].store(end, ordering: .relaxed)
    slot[0].store(next, ordering: .relaxed)
    // Sequentially consistent — flush:G. After the change of what is translated, and after the
    // range. Whoever reads the generation sees both. Before the look at who uses its cache:
    // Dekker with lazy:U/lazy:G. Pairs with flush:L, lazy:G.
    generationWord.value.wrappingAdd(1, ordering: .sequentiallyConsistent)
    return next
  }

  /// The generation, for a CPU that is about to catch up with it.
  @usableFromInline
  func currentGeneration() -> UInt64 {
    // Acquire — flush:L. Every change up to this generation is seen by the fills that follow, and
    // its range by the reads that follow. Pairs with flush:G.
    generationWord.value.load(ordering: .acquiring)
  }

  /// The generation, for a CPU that is about to use its cache again.
  @usableFromInline
  func generationAfterUse() -> UInt64 {
    // Sequentially consistent — lazy:G. After lazy:U. Dekker with flush:G/lazy:L, and the acquire
    // side of flush:G: as flush:L. Pairs with flush:G.
    generationWord.value.load(ordering: .sequentiallyConsistent)
  }

  /// The pages of a flush that the caller has read the generation of; nil if a later one has taken
  /// the slot.
  @usableFromInline
  func pages(ofGeneration generation: UInt64) -> (first: UInt64, end: UInt64)? {
    let slot = slot(generation)
    // Relaxed: the generation's acquire (flush:L) has shown this stamp, or a later one.
    guard slot[0].load(ordering: .relaxed) == generation else { return nil }
    let first = slot[1].load(ordering: .relaxed)
    let end = slot[2].load(ordering: .relaxed)
    // Acquire fence — flush:E. If one of the words was of a later flush, the second look at the
    // stamp sees its mark. Pairs with flush:B.
    acquireFence()
    guard slot[0].load(ordering: .relaxed) == generation else { return nil }
    return (first, end)
  }
}
