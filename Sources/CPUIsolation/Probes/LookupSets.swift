// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// One CPU's cache of what a table says, as a trivially copyable handle round one address: sets of
/// four ways, 68 bytes each.
///
///     offset    0  LookupOwner  generation, attachment and counts: written by the owner
///             128  indices      a word of 32 bits per set: the fills so far, and whether one is
///                               going on
///                  sets         four tags, then four values: a line
///
/// Only the CPU's own thread touches it, and the handlers of signals that interrupt it. Between
/// those two stand the rules of the index:
///
/// - A fill marks the set before it touches it and moves the index on when it is through. Code that
///   interrupts a fill finds the mark, takes nothing out of the set and puts nothing into it.
/// - A lookup looks at the index before and after. If a fill came in between, it looks again.
///
/// So an entry is never half of one key and half of another, wherever a signal arrives. No fence is
/// needed, since it is all one thread; the compiler is held by barriers.
///
/// - Source: M. Hiramatsu, "kprobes: Introduce kprobe cache to reduce cache misshits", 2014: the
///   sets, the index and the order of a fill. There nothing interrupts a fill that could fill; here
///   a handler may, which is why a fill marks its set.
// Sendable: an address of memory in which every word is atomic.
@frozen @safe @usableFromInline
struct LookupSets: @unchecked Sendable {
  @usableFromInline let base: Address

  @usableFromInline
  init(base: Address) { self.base = base }

  /// Lays an empty cache out in zeroed memory. `sets` is a power of two.
  init(initializing base: Address, sets: Int) {
    self.base = base
    // Safety: the memory is this long, and nobody else has it yet.
    unsafe Place(base).initialize(to: LookupOwner(sets: sets, at: base))
    clear(0)
  }

  @inlinable @inline(__always)
  static var ways: Int { 4 }
  @inlinable @inline(__always)
  static var setBytes: Int { 64 }

  /// The bytes of a cache: an odd number of pairs of lines, so that the caches of many CPUs do not
  /// all fall into the same sets of the processor's.
  static func stride(sets: Int) -> Int {
    let bytes = 128 + indexBytes(sets: sets) + sets * setBytes
    return ((bytes + cacheLineStride - 1) / cacheLineStride | 1) * cacheLineStride
  }

  @inlinable @inline(__always)
  static func indexBytes(sets: Int) -> Int { (sets &* 4 &+ 63) & ~63 }

  @inlinable @inline(__always)
  var owner: LookupOwner {
    // Safety: the memory begins with it, from initialisation on.
    unsafeAddress { unsafe base.line(LookupOwner.self, at: 0) }
  }

  /// The number of the set that a key falls into: Fibonacci's hash.
  @inlinable @inline(__always)
  func set(of key: UInt64) -> Int {
    let shift = owner.hashShift
    return Int(truncatingIfNeeded: (key &* 0x9e37_79b9_7f4a_7c15) &>> shift)
  }

  @inlinable @inline(__always)
  func index(_ set: Int) -> Place<SharedWord32> {
    // Safety: there is one for each set.
    unsafe Place(base + (128 &+ set &* 4))
  }

  /// The tags of a set; the values stand after them.
  @inlinable @inline(__always)
  func tags(_ set: Int) -> Table<SharedWord> {
    // Safety: as above.
    unsafe Table(owner.tags + set &* Self.setBytes)
  }

  /// The tag of a way without an entry: a key that falls into another set, so that no lookup takes it for
  /// its own. Key 0 falls into set 0; key 1 does not, since its hash begins with a one.
  @inlinable @inline(__always)
  static func vacant(_ set: Int) -> UInt64 { set == 0 ? 1 : 0 }

  // MARK: What the owner does

  /// What is cached for a key.
  @inlinable @inline(__always)
  func find(_ key: UInt64) -> UInt64? {
    let set = set(of: key)
    let index = index(set)
    let tags = tags(set)
    while true {
      // As it stands while no fill goes on.
      let before = index.value.load(ordering: .relaxed) & ~1
      HazardThread.compilerBarrier()
      // Without a branch for each way: which one it is nobody can predict.
      let second = tags[1].load(ordering: .relaxed) == key ? 1 : 0
      let third = tags[2].load(ordering: .relaxed) == key ? 2 : 0
      let fourth = tags[3].load(ordering: .relaxed) == key ? 3 : 0
      let way = second | third | fourth
      let found = tags[way].load(ordering: .relaxed)
      let value = tags[Self.ways &+ way].load(ordering: .relaxed)
      HazardThread.compilerBarrier()
      let after = index.value.load(ordering: .relaxed)
      if _slowPath(after != before) {
        // Odd: we are a handler, and interrupted a fill, whose stores the compiler may have put in
        // another order. Else a handler has filled the set in between.
        if after & 1 != 0 { return nil }
        continue
      }
      return found == key ? value : nil
    }
  }

  /// Caches what the table said when the cache stood at a generation.
  @usableFromInline
  func fill(_ key: UInt64, _ value: UInt64, at generation: UInt64) {
    // No range of keys ends after the last one, so it could not be invalidated.
    if key == .max { return }
    let set = set(of: key)
    let index = index(set)
    let tags = tags(set)
    let before = index.value.load(ordering: .relaxed)
    if before & 1 != 0 { return }
    index.value.store(before | 1, ordering: .relaxed)
    HazardThread.compilerBarrier()
    // A handler may have cached the key while the table was asked: one entry a key.
    var way = Int(truncatingIfNeeded: before &>> 1) & 3
    for other in 0..<Self.ways where tags[other].load(ordering: .relaxed) == key {
      way = other
    }
    tags[way].store(Self.vacant(set), ordering: .relaxed)
    tags[Self.ways &+ way].store(value, ordering: .relaxed)
    // A drain has run since the table was asked: what it said may be gone.
    if owner.generation.load(ordering: .relaxed) == generation {
      tags[way].store(key, ordering: .relaxed)
      owner.fills.countOne()
    }
    HazardThread.compilerBarrier()
    index.value.store(before &+ 2, ordering: .relaxed)
  }

  /// Zero while the entries are of the attachment of the CPU's thread, and may be used.
  @inlinable @inline(__always)
  func isForeign(to slot: CPUSlot) -> UInt64 {
    owner.joined.load(ordering: .relaxed)
      ^ slot.owner.counterAtAttach.load(ordering: .relaxed)
  }

  // MARK: What drains do

  /// Drops what the log says, up to its generation now. A drain comes at a safe point: no lookup and
  /// no fill of this CPU is going on.
  func catchUp(with ring: FlushRing, ceiling: Int) {
    let goal = ring.currentGeneration()
    let own = owner.generation.load(ordering: .relaxed)
    if goal == own { return }
    if goal &- own > UInt64(ceiling) {
      removeAll()
    } else {
      var next = own
      while next != goal {
        next &+= 1
        guard let keys = ring.pages(ofGeneration: next), keys.end &- keys.first == 1 else {
          removeAll()
          break
        }
        remove(keys.first)
      }
    }
    owner.generation.store(goal, ordering: .relaxed)
  }

  /// Begins anew for a thread that has attached: what its predecessor cached was invalidated with
  /// nobody there.
  func join(_ ring: FlushRing, attachment: UInt64) {
    let goal = ring.currentGeneration()
    removeAll()
    owner.generation.store(goal, ordering: .relaxed)
    HazardThread.compilerBarrier()
    owner.joined.store(attachment, ordering: .relaxed)
  }

  private func remove(_ key: UInt64) {
    let set = set(of: key)
    let tags = tags(set)
    for way in 0..<Self.ways where tags[way].load(ordering: .relaxed) == key {
      tags[way].store(Self.vacant(set), ordering: .relaxed)
      owner.drops.countOne()
    }
  }

  private func removeAll() {
    for set in 0..<owner.sets { clear(set) }
    owner.clears.countOne()
  }

  private func clear(_ set: Int) {
    let tags = tags(set)
    for way in 0..<Self.ways { tags[way].store(Self.vacant(set), ordering: .relaxed) }
  }
}

/// What only the owner of a cache writes.
@safe @usableFromInline
struct LookupOwner: ~Copyable {
  /// The generation of the log that the entries are of.
  @usableFromInline let generation = SharedWord(0)
  /// The attachment that the entries are of, by the counter that it began with.
  @usableFromInline let joined = SharedWord(.max)
  @usableFromInline let fills = SharedWord(0)
  let drops = SharedWord(0)
  let clears = SharedWord(0)
  @usableFromInline let sets: Int
  @usableFromInline let hashShift: UInt64
  /// Where the sets begin.
  @usableFromInline let tags: Address

  init(sets: Int, at base: Address) {
    self.sets = sets
    hashShift = UInt64(64 - sets.trailingZeroBitCount)
    tags = base + (128 + LookupSets.indexBytes(sets: sets))
  }
}
