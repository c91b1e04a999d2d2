// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// Points by object and offset, as a trivially copyable handle round one address: open addressing, at
/// most half full, two entries a line.
///
///     offset    0  ProbePlacesHeader
///             128  entries      site, object, offset, and a word that the writer alone uses
///
/// The word of the site is 0 for an entry that was never used, 1 for one whose place was removed, else an
/// address. A search begins at the entry that the key's hash says and ends at one that was never used.
///
/// Claim: what a search finds in a section is the site of its key. An entry gets another key only after
/// every section has ended that had begun when its place was removed (probe:F, probe:S): so the words of
/// the key do not change under a search that has seen a site. And the site is stored after them
/// (place:P), so a search that sees it (place:V) sees its key.
///
/// - Source: hits, removals and waits are those of `ProbeSections`. Linux's get_kprobe searches chains of
///   a table of 512, under the same rule: what is found there is not freed before a grace period.
// Sendable: an address of memory in which every word is atomic or constant.
@frozen @safe @usableFromInline
struct ProbePlaces: @unchecked Sendable {
  @usableFromInline let base: Address

  @inlinable @inline(__always)
  static var headerBytes: Int { 128 }
  @inlinable @inline(__always)
  static var entryWords: Int { 4 }
  @inlinable @inline(__always)
  static var never: UInt { 0 }
  @inlinable @inline(__always)
  static var removed: UInt { 1 }

  /// Twice as many entries as places, rounded up to a power of two.
  static func entries(capacity: Int) -> Int { (2 * capacity).roundedUpToPowerOfTwo }

  static func byteCount(entries: Int) -> Int { headerBytes + entries * entryWords * 8 }

  /// Lays an empty table out in zeroed memory. `entries` is a power of two, and at least 2.
  init(initializing base: Address, entries: Int, core: ProbeCore, regions: RegionTree) {
    self.base = base
    // Safety: the memory is this long, and nobody else has it yet.
    unsafe Place(base).initialize(
      to: ProbePlacesHeader(entries: entries, core: core, regions: regions))
  }

  @inlinable @inline(__always)
  var header: ProbePlacesHeader {
    // Safety: the memory begins with it, from initialisation on.
    unsafeAddress { unsafe base.line(ProbePlacesHeader.self, at: 0) }
  }

  /// The words of an entry.
  @inlinable @inline(__always)
  func entry(_ index: Int) -> Table<SharedAddress> {
    // Safety: there are as many entries as the mask says.
    unsafe Table(base + (Self.headerBytes &+ index &* (Self.entryWords &* 8)))
  }

  /// Where the search for a key begins.
  @inlinable @inline(__always)
  func start(_ object: UInt64, _ offset: UInt64) -> Int {
    // Fibonacci's hash of the offset, moved by the object's.
    let mixed = (object &* 0xd6e8_feb8_6659_fd93 &+ offset) &* 0x9e37_79b9_7f4a_7c15
    return Int(truncatingIfNeeded: mixed &>> header.hashShift)
  }

  /// The entry that a key is in; nil if there is none.
  ///
  /// Wait-free: it looks at each entry once at most. In a section, or under the writers' lock.
  @inlinable @inline(__always)
  func find(_ object: UInt64, _ offset: UInt64) -> UInt? {
    let mask = header.mask
    var index = start(object, offset)
    var left = mask
    while true {
      let entry = entry(index)
      // Sequentially consistent — place:V. After probe:E: if it leads to a site, a remover waits for us,
      // and the key was written before. Dekker with probe:E against probe:F and probe:S. Pairs with
      // place:P.
      let site = entry[0].load(ordering: .sequentiallyConsistent)
      if site == Self.never { return nil }
      if site != Self.removed,
        entry[1].load(ordering: .relaxed) == UInt(truncatingIfNeeded: object),
        entry[2].load(ordering: .relaxed) == UInt(truncatingIfNeeded: offset)
      {
        return site
      }
      if left == 0 { return nil }
      left &-= 1
      index = (index &+ 1) & mask
    }
  }

  // MARK: What the writer does, under its lock

  /// The entry of a key, or where it would go.
  func search(_ object: UInt64, _ offset: UInt64) -> (found: Int?, free: Int?) {
    var index = start(object, offset)
    var free: Int? = nil
    for _ in 0...header.mask {
      let entry = entry(index)
      switch entry[0].load(ordering: .relaxed) {
      case Self.never: return (nil, free ?? index)
      case Self.removed:
        // Not one that a section may be looking at.
        if free == nil, entry[3].load(ordering: .relaxed) == 0 { free = index }
      default:
        if entry[1].load(ordering: .relaxed) == UInt(object),
          entry[2].load(ordering: .relaxed) == UInt(offset)
        {
          return (index, nil)
        }
      }
      index = (index + 1) & header.mask
    }
    return (nil, free)
  }

  /// Has a key lead to a site, in an entry that `search` gave.
  func put(_ site: ProbeSite, _ object: UInt64, _ offset: UInt64, at index: Int) {
    let entry = entry(index)
    entry[1].store(UInt(object), ordering: .relaxed)
    entry[2].store(UInt(offset), ordering: .relaxed)
    // Release — place:P. The key before the site. Pairs with place:V.
    entry[0].store(site.base.bits, ordering: .releasing)
  }

  /// Has searches pass an entry over. It stays as it is until `release`.
  func takeAway(at index: Int) {
    entry(index)[3].store(1, ordering: .relaxed)
    // Relaxed: before the fence of the wait (probe:F).
    entry(index)[0].store(Self.removed, ordering: .relaxed)
  }

  /// Lets an entry be used again, which no section can be looking at any more.
  func release(_ index: Int) {
    entry(index)[3].store(0, ordering: .relaxed)
    // Where the next one was never used no search goes on from here: this one, and those before it that
    // are free, end searches as well.
    if entry((index + 1) & header.mask)[0].load(ordering: .relaxed) != Self.never { return }
    var index = index
    while entry(index)[0].load(ordering: .relaxed) == Self.removed,
      entry(index)[3].load(ordering: .relaxed) == 0
    {
      // Relaxed: nothing follows that a search would have to find.
      entry(index)[0].store(Self.never, ordering: .relaxed)
      index = (index - 1) & header.mask
    }
  }
}

/// What stands before the entries.
@safe @usableFromInline
struct ProbePlacesHeader: ~Copyable {
  @usableFromInline let mask: Int
  @usableFromInline let hashShift: UInt64
  let core: ProbeCore
  let regions: RegionTree
  /// Hits at addresses where no point is.
  let unknown = SharedWord(0)
  /// Hits whose region was being changed all the time.
  let undecided = SharedWord(0)

  init(entries: Int, core: ProbeCore, regions: RegionTree) {
    mask = entries - 1
    hashShift = UInt64(64 - entries.trailingZeroBitCount)
    self.core = core
    self.regions = regions
  }
}
