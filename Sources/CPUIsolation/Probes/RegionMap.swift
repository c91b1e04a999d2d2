// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Which region of memory an address is in: disjoint ranges of 64-bit addresses with a value each,
/// looked up without a lock.
///
///     let code = try RegionMap<ModuleID>(capacity: 4096)
///     _ = code.insert(.parser, over: 0x4000..<0x9000)
///     …
///     if let region = code.lookUp(address) {
///       count(region.value, offset: address - region.bounds.lowerBound)
///     }
///
/// For what changes now and then and is asked all the time: memory maps, code that was compiled at
/// run time, ranges of keys that servers own. A lookup searches while a change may be going on, on
/// memory that never becomes anything else, and believes what it found if nothing changed meanwhile.
/// It makes one such try, and never waits for a writer in it; if that did not find a region, the
/// locked lookup decides.
///
/// What it tells was so at some instant of the call, and may have changed when the caller looks at
/// it. Values are plain words, numbers and keys: what is after a key has to be protected by other
/// means if it can go away.
///
/// Do not use it where most addresses are in no region, since those lookups take the lock, nor for
/// single keys, which a hash table finds faster.
///
/// - Source: A. Nakryiko, "uprobes: add speculative lockless VMA-to-inode-to-uprobe resolution"
///   (Linux 6.13), which searches a map of memory in the same way.
/// - Progress: as each member says
/// - Context: any thread
/// - Allocates: at creation
public final class RegionMap<Value: BitwiseCopyable & Sendable>: Sendable {
  @usableFromInline let storage: RegionStorage

  /// A region: its addresses, and what they stand for.
  ///
  ///     region.bounds.lowerBound  // the first address
  public struct Region: Sendable {
    /// The addresses.
    public let bounds: Range<UInt64>
    /// What was inserted for them.
    public let value: Value

    @inlinable
    init(bounds: Range<UInt64>, value: Value) {
      self.bounds = bounds
      self.value = value
    }
  }

  /// An empty map with room for so many regions.
  ///
  /// A value of more than 48 bytes ends the process with a sentence, and so does a capacity outside
  /// 1 to 4 194 304.
  ///
  /// - Parameters:
  ///   - capacity: how many regions there can be.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Throws: `outOfMemory`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: the whole map, see `byteCount`
  public init(
    capacity: Int = 4096, file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) {
    storage = try RegionStorage(
      capacity: capacity, valueBytes: MemoryLayout<Value>.size, type: "\(Value.self)", file,
      line)
  }

  /// How many regions there can be.
  public var capacity: Int { storage.capacity }

  /// The bytes of the whole map.
  public var byteCount: Int { storage.byteCount }

  // MARK: Looking up

  /// The region that an address is in; nil if there is none.
  ///
  /// One try without the lock, and if that finds nothing, the lock.
  ///
  /// - Parameter address: any address.
  /// - Returns: the region, as it was at some instant of the call; nil if there was none.
  /// - Progress: wait-free where the address is in a region and no change is going on; else blocking
  /// - Context: any thread, outside signal handlers
  /// - Allocates: never
  @inlinable
  public func lookUp(_ address: UInt64) -> Region? {
    // Safety: as below.
    unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 8) { buffer in
      // Safety: as many words as the largest region has.
      let words = unsafe Table(buffer.baseAddress.unsafelyUnwrapped)
      let isFound = storage.find(address, words)
      return isFound ? Self.region(words) : nil
    }
  }

  /// The region that an address is in, where that can be told without the lock. Nil: not known.
  ///
  ///     guard let region = code.lookUpSpeculatively(address) else { return countUnknown() }
  ///
  /// For threads that must not wait, such as isolated CPUs in user, and for signal handlers. It is
  /// not known for an address in no region, while a region is being changed, and if one was changed
  /// during the call; `statistics` counts them apart.
  ///
  /// - Parameter address: any address.
  /// - Returns: the region, as it was at some instant of the call; nil if that is not known.
  /// - Progress: wait-free
  /// - Context: any thread, also in user, inside handlers and signal handlers
  /// - Allocates: never
  @inlinable
  public func lookUpSpeculatively(_ address: UInt64) -> Region? {
    // Safety: as below.
    unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 8) { buffer in
      // Safety: as many words as the largest region has.
      let words = unsafe Table(buffer.baseAddress.unsafelyUnwrapped)
      let isFound = storage.speculate(address, words)
      return isFound ? Self.region(words) : nil
    }
  }

  /// The locked lookup alone, to compare with.
  @inlinable
  package func lookUpLocked(_ address: UInt64) -> Region? {
    // Safety: as below.
    unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 8) { buffer in
      // Safety: as many words as the largest region has.
      let words = unsafe Table(buffer.baseAddress.unsafelyUnwrapped)
      let isFound = storage.findLocked(address, words)
      return isFound ? Self.region(words) : nil
    }
  }

  /// What stands in the words of a region.
  @inlinable @inline(__always)
  static func region(_ words: Table<UInt64>) -> Region {
    // Safety: an instance of Value was copied to these words when the region was inserted.
    unsafe Region(
      bounds: Range(uncheckedBounds: (words[0], words[1])),
      value: words.place(2).address.pointer.loadUnaligned(as: Value.self))
  }

  static func region(_ words: [UInt64]) -> Region {
    var words = words
    return unsafe words.withUnsafeMutableBufferPointer { words in
      // Safety: the words of a region.
      unsafe region(Table(words.baseAddress.unsafelyUnwrapped))
    }
  }

  static func words(_ bounds: Range<UInt64>, _ value: Value) -> [UInt64] {
    var words = [UInt64](repeating: 0, count: 2 + (MemoryLayout<Value>.size + 7) / 8)
    words[0] = bounds.lowerBound
    words[1] = bounds.upperBound
    // Safety: the words have room for a value after the bounds.
    unsafe words.withUnsafeMutableBytes { bytes in
      unsafe bytes.storeBytes(of: value, toByteOffset: 16, as: Value.self)
    }
    return words
  }

  /// Every region, in the order of addresses, as they stood at one instant.
  ///
  /// - Progress: blocking
  /// - Context: any thread, outside signal handlers
  /// - Allocates: the list
  public var regions: [Region] {
    storage.withLock { tree in tree.everyRegion() }.map { Self.region($0) }
  }

  /// How many regions there are.
  ///
  /// - Progress: blocking
  /// - Context: any thread, outside signal handlers
  /// - Allocates: never
  public var count: Int { storage.withLock { tree in tree.regionCount } }

  /// How lookups have ended.
  public struct Statistics: Hashable, Sendable {
    /// Speculations that found a region.
    public let hits: UInt64
    /// Speculations that met a change going on.
    public let writerActive: UInt64
    /// Speculations during which something was changed.
    public let changed: UInt64
    /// Speculations that met no change, and found no region.
    public let unknown: UInt64
    /// Lookups that took the lock.
    public let locked: UInt64
  }

  /// How lookups have ended so far. Counters of one moment need not agree to the last lookup.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var statistics: Statistics {
    let tree = storage.tree
    let hits = (0..<RegionTree.stripes).reduce(0) { sum, stripe in
      sum &+ tree.hits(stripe).value.load(ordering: .relaxed)
    }
    return Statistics(
      hits: hits, writerActive: tree.header.value.writerActive.load(ordering: .relaxed),
      changed: tree.header.value.changed.load(ordering: .relaxed),
      unknown: tree.header.value.unknown.load(ordering: .relaxed),
      locked: tree.header.value.locked.load(ordering: .relaxed))
  }
}

/// The memory of a region map, and the lock of its writers.
@usableFromInline
final class RegionStorage: Sendable {
  let tree: RegionTree
  let capacity: Int
  private let header: MappedMemory
  private let nodes: RawObjectPool
  private let records: RawObjectPool
  private let writer = Lock(())

  init(
    capacity: Int, valueBytes: Int, type: String, _ file: StaticString, _ line: UInt
  ) throws(IsolationError) {
    if valueBytes > RegionTree.largestValue * 8 {
      misuse(
        "a region map cannot hold \(type): it has \(valueBytes) bytes, and 48 is the most", file,
        line)
    }
    if !(1...1 << 22).contains(capacity) {
      misuse(
        "a region map cannot have room for \(capacity) regions: it takes 1 to 4194304", file, line)
    }
    let recordWords = 2 + (valueBytes + 7) / 8
    self.capacity = capacity
    header = try MappedMemory(byteCount: RegionTree.byteCount)
    nodes = try RawObjectPool(
      capacity: RegionTree.nodeCapacity(regions: capacity), objectBytes: RegionTree.nodeBytes,
      rings: 1)
    records = try RawObjectPool(
      capacity: capacity, objectBytes: recordWords * 8, rings: 1, isCompact: true)
    tree = RegionTree(
      initializing: header.address, nodes: nodes.core, records: records.core,
      recordWords: recordWords)
  }

  // What is in the tree is out of the pools, which would wait for it.
  deinit {
    nodes.endWithObjects()
    records.endWithObjects()
  }

  var byteCount: Int { header.byteCount + nodes.byteCount + records.byteCount }

  /// Runs the body with the tree, alone among those that take the lock.
  func withLock<Result>(_ body: (RegionTree) -> Result) -> Result {
    writer.withLock { _ in body(tree) }
  }

  /// One try without the lock.
  @usableFromInline
  func speculate(_ address: UInt64, _ buffer: Table<UInt64>) -> Bool {
    tree.speculate(address, into: buffer) == .found
  }

  /// One try without the lock, then the lock.
  @usableFromInline
  func find(_ address: UInt64, _ buffer: Table<UInt64>) -> Bool {
    if tree.speculate(address, into: buffer) == .found { return true }
    return findLocked(address, buffer)
  }

  /// The locked lookup alone.
  @usableFromInline @inline(never)
  func findLocked(_ address: UInt64, _ buffer: Table<UInt64>) -> Bool {
    tree.header.value.locked.wrappingAdd(1, ordering: .relaxed)
    return writer.withLock { _ in tree.copyRegion(at: address, into: buffer) }
  }
}
