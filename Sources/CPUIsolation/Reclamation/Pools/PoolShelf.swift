// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// Where threads without a ring put objects, and where they look first: one bit per object.
///
/// Any number of threads push and pop. A set bit is a free object, so there is room for all, nothing
/// is ever overwritten, and a thread that dies between two steps takes at most the object that it
/// holds along.
///
///     0    how many bits may be set, at most
///     128  statistics
///     256  the bits
// Sendable: an address of memory in which every word is atomic.
@frozen @safe @usableFromInline
struct PoolShelf: @unchecked Sendable {
  @usableFromInline let base: Address
  @usableFromInline let words: Int

  @inlinable @inline(__always)
  init(base: Address, words: Int) {
    self.base = base
    self.words = words
  }

  /// The bytes of a shelf for so many objects.
  static func byteCount(capacity: Int) -> Int {
    let bytes = 2 * cacheLineStride + (capacity + 63) / 64 * 8
    return (bytes + cacheLineStride - 1) / cacheLineStride * cacheLineStride
  }

  @inlinable @inline(__always)
  var count: Place<SharedWord> {
    // Safety: the shelf's memory begins with it, from initialisation on.
    unsafe Place(base)
  }

  var pops: Place<SharedWord> { word(16) }
  var pushes: Place<SharedWord> { word(17) }
  var misses: Place<SharedWord> { word(18) }
  var steals: Place<SharedWord> { word(19) }
  @inlinable @inline(__always)
  var bits: Table<SharedWord> {
    // Safety: as above; there is one for each 64 objects.
    unsafe Table(base + 256)
  }

  // Safety: as above; the map says where.
  private func word(_ index: Int) -> Place<SharedWord> { unsafe Place(base + index * 8) }

  /// Whether nothing is here: one load.
  @inlinable @inline(__always)
  var isEmpty: Bool {
    // Relaxed — a push that happened before this look has counted before, too.
    count.value.load(ordering: .relaxed) == 0
  }

  func initialize() {
    count.initialize(to: SharedWord(0))
    for index in 0..<4 { word(16 + index).initialize(to: SharedWord(0)) }
    bits.initialize(count: words)
  }

  /// Puts an object here. False: it was here already.
  ///
  /// Wait-free.
  @inlinable
  func put<Faults: PoolFaults>(_ index: UInt32, _: Faults.Type) -> Bool {
    // Before the bit: the count is never below the number of bits.
    count.value.wrappingAdd(1, ordering: .relaxed)
    Faults.reach(.shelfCounted)
    // Sequentially consistent — poolShelf:O. What was done to the object is seen by who takes it,
    // and the bit is there before the look at whether the pool was closed. Pairs with poolShelf:T,
    // pool:X.
    let wasHere = bits[Int(index >> 6)].setBit(UInt64(index & 63))
    Faults.reach(.shelfPlaced)
    return !wasHere
  }

  /// Takes an object from here, looking from a word on that differs from thread to thread; `none` if
  /// there is none. Whoever wants to know that there is none does not ask `isEmpty` before.
  ///
  /// Lock-free.
  @inlinable @inline(never)
  func take<Faults: PoolFaults>(from start: Int, _: Faults.Type) -> UInt32 {
    for step in 0..<words {
      let word = (start + step) % words
      var seen = bits[word].load(ordering: .relaxed)
      while seen != 0 {
        let bit = UInt64(truncatingIfNeeded: seen.trailingZeroBitCount)
        Faults.reach(.shelfSeen)
        // Acquire — poolShelf:T. Only one clears the bit, and sees what was done to the object.
        // Pairs with poolShelf:O.
        let mask: UInt64 = 1 &<< bit
        if bits[word].bitwiseAnd(~mask, ordering: .acquiring).oldValue & mask != 0 {
          Faults.reach(.shelfTaken)
          count.value.wrappingAdd(.max, ordering: .relaxed)
          return UInt32(truncatingIfNeeded: word << 6) | UInt32(truncatingIfNeeded: bit)
        }
        seen &= seen &- 1
      }
    }
    return PoolRing.none
  }
}
