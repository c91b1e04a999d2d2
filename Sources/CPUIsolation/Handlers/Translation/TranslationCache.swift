// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
public import Synchronization

/// What a translation cache can be asked for: a trivial value with a number that ranges of
/// invalidations are about.
///
///     struct Route: TranslationKey {
///       var prefix: UInt32
///       var pageNumber: UInt64 { UInt64(prefix) }
///     }
///
/// Two keys are the same if their numbers are. `UInt64.max` is no number: it is never cached.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: never
public protocol TranslationKey: BitwiseCopyable {
  /// The number of the key.
  var pageNumber: UInt64 { get }
}

extension UInt64: TranslationKey {
  /// The number itself.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable @inline(__always)
  public var pageNumber: UInt64 { self }
}

/// The translations that one CPU has looked up of late: its TLB.
///
///     if let frame = cache.lookUp(page) { return frame }
///     let frame = table[page]
///     cache.insert(frame, for: page)
///
/// Set-associative, four ways; a full set loses its entries in turn. Only the owner's thread reads
/// and writes it, in kernel and in the handlers of its own drain, or a helper with the pin: there
/// is nothing atomic in a lookup, and nothing to wait for. Nobody else can invalidate an entry; a
/// housekeeper adds to the ``FlushLog``, sends, and the owner drops the entries before it looks
/// again.
///
/// **The contract of a lookup.** What `lookUp` answers, and what a miss reads from the table, holds
/// until the CPU's next safe point, exit or quiescent state, and not beyond:
/// - A change that comes before the lookup's kernel section began, and whose flush was sent, has
///   been dropped by the drain at entry.
/// - A change that comes during the section is `queued`: the entry is dropped at the next safe
///   point. Whoever frees what the entry leads to waits for that (``AddressSpace/Retirement``).
/// - A miss that reads the table before a change and inserts after it is no exception: both happen
///   on the owner's thread, so the drain that serves the flush comes after the insertion and drops
///   it.
/// - A thread that attaches to a CPU whose cache has entries catches up (`catchUp`) before its first
///   lookup: what was sent while nobody had the CPU went to nobody. `AddressSpace.LocalTranslations` does that.
///
/// Not for values that have to be current: a cache is what may lag.
///
/// - Progress: as each member says
/// - Context: owner, in kernel
/// - Allocates: at creation
@frozen @safe
public struct TranslationCache<Key: TranslationKey, Value: BitwiseCopyable>: ~Copyable {
  @usableFromInline let base: Address
  /// How far a hash is shifted down to be the number of a set.
  @usableFromInline let hashShift: UInt64
  /// The bytes of the mapping that this value owns; 0 if the memory is somebody else's.
  @usableFromInline let ownedBytes: Int

  /// An empty cache for so many translations, rounded up to a power of two of at least eight, which
  /// has caught up with the log.
  ///
  /// - Parameters:
  ///   - entries: how many translations it has room for.
  ///   - log: whose flushes it will follow.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Throws: `outOfMemory`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public init(
    entries: Int, of log: FlushLog, file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) {
    TranslationCacheLayout<Value>.requireRoom(forEntries: entries, file, line)
    let memory = try CacheMemory.map(
      TranslationCacheLayout<Value>.byteCount(entries: entries))
    self.init(initializing: memory.address, entries: entries, ownedBytes: memory.byteCount)
    withExtendedLifetime(log) { join(log.ring) }
  }

  /// Lays a cache out in zeroed memory.
  init(initializing base: Address, entries: Int, ownedBytes: Int) {
    self.base = base
    let sets = TranslationCacheLayout<Value>.sets(entries: entries)
    hashShift = UInt64(64 - sets.trailingZeroBitCount)
    self.ownedBytes = ownedBytes
    // Safety: the memory is as long as the layout says, and nobody else has it yet.
    unsafe Place(base).initialize(to: CacheUse())
    unsafe Place(base + 128).initialize(to: CacheOwner(sets: sets))
  }

  /// The cache in somebody else's memory.
  @inlinable
  init(viewing base: Address) {
    self.base = base
    // Safety: a cache was initialised there.
    hashShift = unsafe Place<CacheOwner>(base + 128).value.hashShift
    ownedBytes = 0
  }

  deinit {
    if ownedBytes != 0 { CacheMemory.unmap(base, ownedBytes) }
  }

  // MARK: Memory

  @inlinable @inline(__always)
  var use: CacheUse {
    // Safety: the memory begins with it, from initialisation on.
    unsafeAddress { unsafe base.line(CacheUse.self, at: 0) }
  }

  @inlinable @inline(__always)
  var owner: CacheOwner {
    // Safety: as above; the layout says where.
    unsafeAddress { unsafe base.line(CacheOwner.self, at: 128) }
    nonmutating unsafeMutableAddress {
      unsafe Place<CacheOwner>(base + 128).pointer
    }
  }

  /// The tags of the set that a number falls into; the values stand after them.
  ///
  /// The hash is Fibonacci's: neighbours and powers of two spread alike.
  @inlinable @inline(__always)
  func set(of number: UInt64) -> Table<UInt64> {
    let index = Int(truncatingIfNeeded: (number &* 0x9e37_79b9_7f4a_7c15) &>> hashShift)
    return set(index)
  }

  @inlinable @inline(__always)
  func set(_ index: Int) -> Table<UInt64> {
    // Safety: the index is below the number of sets.
    unsafe Table(base + 256 + index &* TranslationCacheLayout<Value>.setBytes)
  }

  @inlinable @inline(__always)
  static func values(of set: Table<UInt64>) -> Table<Value> {
    // Safety: a set's values follow its tags.
    unsafe Table(set.first.address + TranslationCacheLayout<Value>.valuesOffset)
  }
}

// What is one CPU's stays with its thread.
@available(*, unavailable)
extension TranslationCache: Sendable {}

extension TranslationCache {
  /// The translation of a key, if it is cached.
  ///
  /// - Parameter key: what is looked up.
  /// - Returns: the translation; nil if it is not cached.
  /// - Progress: wait-free
  /// - Context: owner, in kernel
  /// - Allocates: never
  @inlinable @inline(__always)
  public func lookUp(_ key: Key) -> Value? {
    let tag = key.pageNumber &+ 1
    let set = set(of: key.pageNumber)
    // Without a branch for each way: which one it is nobody can predict, and guessing wrong costs
    // more than looking at all four.
    let second = set[1] == tag ? 1 : 0
    let third = set[2] == tag ? 2 : 0
    let fourth = set[3] == tag ? 3 : 0
    let way = second | third | fourth
    // The tag of nothing is 0, which is also that of UInt64.max.
    guard set[way] == tag, tag != 0 else { return nil }
    return Self.values(of: set)[way]
  }

  /// Caches a translation that was read from the table in this kernel section.
  ///
  /// - Parameters:
  ///   - value: what the table says now.
  ///   - key: what it says that of.
  /// - Progress: wait-free
  /// - Context: owner, in kernel
  /// - Allocates: never
  @inlinable
  public func insert(_ value: Value, for key: Key) {
    let tag = key.pageNumber &+ 1
    if tag == 0 { return }
    let set = set(of: key.pageNumber)
    var way = -1
    for index in 0..<TranslationCacheLayout<Value>.ways {
      if set[index] == tag {
        way = index
        break
      }
      if way < 0 && set[index] == 0 { way = index }
    }
    if way < 0 {
      way = Int(truncatingIfNeeded: owner.victim & 3)
      owner.victim &+= 1
    }
    Self.values(of: set)[way] = value
    set[way] = tag
    owner.fills.countOne()
  }

  /// Forgets one key.
  @inlinable @inline(__always)
  func remove(number: UInt64) {
    let tag = number &+ 1
    let set = set(of: number)
    for index in 0..<TranslationCacheLayout<Value>.ways where set[index] == tag {
      set[index] = 0
    }
  }

  /// Forgets everything.
  ///
  /// - Progress: wait-free
  /// - Context: owner, in kernel
  /// - Allocates: never
  @inlinable
  public func removeAll() {
    let sets = owner.sets
    for index in 0..<sets {
      let set = set(index)
      set[0] = 0
      set[1] = 0
      set[2] = 0
      set[3] = 0
    }
  }
}

/// What flushers look at: whether the CPU uses its cache.
@safe @usableFromInline
struct CacheUse: ~Copyable {
  @usableFromInline let isUsed = SharedWord(0)

  @usableFromInline
  init() {}
}

/// What only the owner writes, in its kernel sections and its drains.
@safe @usableFromInline
struct CacheOwner: ~Copyable {
  /// The generation that the entries are of.
  @usableFromInline let generation = SharedWord(0)
  /// Counts, for anybody to read.
  @usableFromInline let full = SharedWord(0)
  @usableFromInline let partial = SharedWord(0)
  @usableFromInline let covered = SharedWord(0)
  @usableFromInline let pages = SharedWord(0)
  @usableFromInline let fills = SharedWord(0)
  /// The way that a full set loses next.
  @usableFromInline var victim: UInt64 = 0
  /// The attachment that has the cache open, by the counter that it began with; all ones
  /// is nobody. Whoever closes the space looks at it.
  let openedBy = SharedWord(.max)
  @usableFromInline let sets: Int

  init(sets: Int) { self.sets = sets }

  @usableFromInline
  var hashShift: UInt64 { UInt64(64 - sets.trailingZeroBitCount) }
}
