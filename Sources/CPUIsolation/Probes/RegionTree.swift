// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Where the parts of a region map are, and the words that its readers and its writer share.
@safe
struct RegionHeader: ~Copyable {
  // The first line is read by every lookup, and written by every change.

  /// Even while nothing changes; a change is between two steps of one.
  let sequence = SharedWord(0)
  /// The root's number, and from bit 32 on how many levels are below it.
  let root = SharedWord(0)
  let nodes: PoolCore
  let records: PoolCore
  /// The words of a record: where the region begins and ends, and the value.
  let recordWords: Int
  // 5 words so far: the rest of two lines.
  private let padding: InlineArray<11, UInt64> = .init(repeating: 0)
  /// How a speculation failed, of any thread.
  let writerActive = SharedWord(0)
  let changed = SharedWord(0)
  let unknown = SharedWord(0)
  /// Lookups that took the lock.
  let locked = SharedWord(0)
  // What the writer alone uses.
  let regions = SharedWord(0)
  let usedNodes = SharedWord(0)

  init(nodes: PoolCore, records: PoolCore, recordWords: Int) {
    self.nodes = nodes
    self.records = records
    self.recordWords = recordWords
  }
}

/// Disjoint regions of addresses in a search tree that one thread changes while others read it
/// without a lock: a trivially copyable handle round one address.
///
///     offset    0  RegionHeader
///             256  hits         a line for each of the first 63 threads, before them one for all others
///
/// A node has up to 14 entries, each the lowest key below it and the number of a node; in a leaf, the
/// number of a record. Nodes and records come out of pools: memory that a reader may look at at any
/// time, since it never becomes anything but another node or record. What a reader finds there while
/// a change is going on may be nonsense; the sequence tells it so before it says anything.
///
/// - Source: the tree is that of R. Bayer and E. McCreight, 1972, with all records in leaves; the
///   sequence is Linux's seqcount. Speculation on memory of constant type: A. Nakryiko's lockless
///   lookup of uprobes (Linux 6.13).
// Sendable: an address of memory in which every word is atomic or constant.
@safe
struct RegionTree: @unchecked Sendable {
  let header: Place<RegionHeader>

  @inline(__always)
  static var fan: Int { Limits.regionFan }
  /// The count, the keys, the numbers.
  static var nodeBytes: Int { (1 + 2 * fan) * 8 }
  /// The most words that a value may have.
  static var largestValue: Int { 6 }
  /// Lines of hits: the first is that of all threads without one of their own.
  static var stripes: Int { 64 }
  static var byteCount: Int { 256 + stripes * cacheLineStride }

  /// Nodes that so many regions need at most, in whatever order they come and go: neighbours below
  /// one node that would fit into one are joined, so each has five entries on average.
  static func nodeCapacity(regions: Int) -> Int { regions / (fan > 4 ? 4 : 1) + 16 }

  /// Lays an empty tree out in zeroed memory, whose root is a leaf without an entry.
  init(
    initializing base: Address, nodes: PoolCore, records: PoolCore,
    recordWords: Int
  ) {
    // Safety: the memory is this long, and nobody else has it yet.
    header = unsafe Place(base)
    header.initialize(
      to: RegionHeader(nodes: nodes, records: records, recordWords: recordWords))
    for stripe in 0..<Self.stripes { hits(stripe).initialize(to: SharedWord(0)) }
    let root = takeNode()
    word(ofNode: root, 0).value.store(0, ordering: .relaxed)
    header.value.root.store(UInt64(root), ordering: .relaxed)
  }

  // MARK: Memory

  func hits(_ stripe: Int) -> Place<SharedWord> {
    // Safety: the stripes follow the header.
    unsafe Place(header.address + (256 + stripe &* 128))
  }

  /// The words of a node, whatever number a reader has found.
  @inline(__always)
  func node(_ number: UInt32) -> Table<SharedWord> {
    let nodes = header.value.nodes
    let index = UInt64(number) < nodes.capacity ? number : 0
    // Safety: an object of the pool.
    return unsafe Table(nodes.object(index))
  }

  func word(ofNode number: UInt32, _ index: Int) -> Place<SharedWord> {
    node(number).place(index)
  }

  /// The words of a record, whatever number a reader has found.
  @inline(__always)
  func record(_ number: UInt32) -> Table<SharedWord> {
    let records = header.value.records
    let index = UInt64(number) < records.capacity ? number : 0
    // Safety: an object of the pool.
    return unsafe Table(records.object(index))
  }
}

// MARK: - Looking up

extension RegionTree {
  /// What a speculation came to.
  enum Finding {
    /// The region is in the buffer, and was in the tree at some instant of the call.
    case found
    /// No region was seen; the locked lookup decides.
    case unknown
    /// A change was going on.
    case writerActive
    /// A change came in between.
    case changed
  }

  /// Copies the region that an address is in, while the writer goes on: begin, end, and the value.
  ///
  /// The argument, against a writer that makes a change between region:B and region:P:
  /// - If one of our loads saw a word of that change, our fence (region:E) comes after its mark
  ///   (region:B), so that the second look at the sequence sees the mark or something later, and
  ///   what we found is thrown away.
  /// - If region:R saw the end of the change (region:P), all of its words were there.
  /// - So a region that is returned was in the tree while the sequence stood at what was seen: at
  ///   some instant between the two looks.
  ///
  /// Whatever the words are meanwhile, the loop ends, since it goes down as often as the root said
  /// levels there are, and every number leads to a node or a record of this tree.
  ///
  /// Wait-free.
  @inline(never)
  func speculate(
    _ address: UInt64, into buffer: Table<UInt64>
  ) -> Finding {
    // Acquire — region:R. The words of every change that has ended. Pairs with region:P.
    let sequence = header.value.sequence.load(ordering: .acquiring)
    if sequence & 1 != 0 {
      header.value.writerActive.wrappingAdd(1, ordering: .relaxed)
      return .writerActive
    }
    let isFound = copyRegion(at: address, into: buffer)
    // Acquire fence — region:E. If one of the words was of a later change, the look at the sequence
    // sees its mark. Pairs with region:B.
    acquireFence()
    if header.value.sequence.load(ordering: .relaxed) != sequence {
      header.value.changed.wrappingAdd(1, ordering: .relaxed)
      return .changed
    }
    if !isFound {
      header.value.unknown.wrappingAdd(1, ordering: .relaxed)
      return .unknown
    }
    countHit()
    return .found
  }

  /// Counts in the calling thread's own line, without a locked instruction; it may be inside a signal
  /// handler that interrupts the same.
  ///
  /// Relaxed throughout: nothing is read by way of a count.
  @inline(__always)
  private func countHit() {
    var number = HazardThread.number
    if number == 0 { number = HazardThread.takeNumber() }
    if number == 0 || number >= Self.stripes {
      hits(0).value.wrappingAdd(1, ordering: .relaxed)
    } else {
      hits(number).value.countOne()
    }
  }

  /// Copies the region that an address is in; false if there is none. Under the lock what it says is
  /// so, without it it may be nonsense.
  @inline(__always)
  func copyRegion(
    at address: UInt64, into buffer: Table<UInt64>
  ) -> Bool {
    copyLastRegion(notAbove: address, into: buffer) && buffer[0] <= address
      && address < buffer[1]
  }

  /// The same for the last region that begins at the address or before, wherever it ends.
  @inline(__always)
  func copyLastRegion(
    notAbove address: UInt64, into buffer: Table<UInt64>
  ) -> Bool {
    let root = header.value.root.load(ordering: .relaxed)
    var number = UInt32(truncatingIfNeeded: root)
    var level = root &>> 32
    while true {
      let words = node(number)
      let position = Self.position(of: address, in: words)
      if level == 0, position == 0 { return false }
      let entry = max(position, 1) &- 1
      number = UInt32(
        truncatingIfNeeded: words[1 &+ Self.fan &+ entry].load(ordering: .relaxed))
      if level == 0 { break }
      level &-= 1
    }
    let words = record(number)
    var index = 0
    while index < header.value.recordWords {
      buffer[index] = words[index].load(ordering: .relaxed)
      index &+= 1
    }
    return true
  }

  /// How many keys of a node are not above an address.
  ///
  /// Without a branch for each: which one is the last nobody can predict.
  @inline(__always)
  static func position(
    of address: UInt64, in words: Table<SharedWord>
  ) -> Int {
    let count = min(words[0].load(ordering: .relaxed), UInt64(fan))
    var position = 0
    var index = 1
    while index <= Int(truncatingIfNeeded: count) {
      position &+= words[index].load(ordering: .relaxed) <= address ? 1 : 0
      index &+= 1
    }
    return position
  }
}
