// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// What a table says, cached by each CPU for itself, and dropped without disturbing any.
///
///     let sessions = try LookupCache<UInt64, UInt32>(coordinator, "sessions")
///     …
///     let local = sessions.open(on: cpu)
///     if let number = local.lookUp(key, on: cpu, orIn: { table.find($0) }) { use(number) }
///     …
///     table.remove(key)
///     _ = sessions.invalidate([key]).wait(until: .covered)  // no CPU finds it any more
///
/// A cache of 512 sets with four ways takes 34 KB a CPU. Only what the table has is cached, not that
/// it has something not. An invalidation is deferred: a CPU in user runs it when it next enters
/// kernel, before it can look anything up.
///
/// **Invalidated is not unused.** When the ticket has settled no CPU finds the old value, but code
/// that found it before may be using it, in a kernel section that goes on. Before what the value
/// leads to is freed, wait for a grace period as well, or protect it. (The kernel's probe cache, this
/// one's model, needed neither: its invalidation was an interrupt that every CPU had to finish, and
/// its users ran with interrupts off. Deferral takes that guarantee away.)
///
/// Do not use it before a table that is fast enough: `isolation-bench --only lookup` measures both.
///
/// - Source: M. Hiramatsu, "kprobes: Introduce kprobe cache to reduce cache misshits", 2014.
/// - Progress: as each member says
/// - Context: any thread
/// - Allocates: at creation
public final class LookupCache<
  Key: FixedWidthInteger & UnsignedInteger & Sendable, Value: BitwiseCopyable & Sendable
>: Sendable {
  /// The coordinator whose CPUs have the caches.
  public var coordinator: Coordinator { storage.coordinator }
  /// The work type that drops what was invalidated.
  public var work: WorkType { storage.work }

  @usableFromInline let storage: LookupStorage

  /// Makes an empty cache for each CPU, and registers a work type.
  ///
  /// Keys and values have at most 64 bits; a larger type ends the process with a sentence, and so
  /// does a number of sets outside 2 to 1 048 576.
  ///
  /// - Parameters:
  ///   - coordinator: whose CPUs look up.
  ///   - name: the name of the work type, for statistics and traces.
  ///   - sets: how many sets of four a CPU has; rounded up to a power of two.
  ///   - ceiling: how many keys a CPU drops one by one before it drops everything.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Throws: `outOfMemory`; as `Coordinator.register`.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers and kernel sections
  /// - Allocates: 68 bytes per set and CPU
  public init(
    _ coordinator: Coordinator, _ name: String, sets: Int = 512, ceiling: Int = 64,
    file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) {
    for (what, type, size) in [
      ("key", "\(Key.self)", MemoryLayout<Key>.size),
      ("value", "\(Value.self)", MemoryLayout<Value>.size),
    ] where size > 8 {
      misuse(
        "a lookup cache cannot have a \(what) of \(size) bytes, \(type): 8 are the most", file, line
      )
    }
    if !(2...1 << 20).contains(sets) {
      misuse("a lookup cache cannot have \(sets) sets: it takes 2 to 1048576", file, line)
    }
    if ceiling < 0 {
      misuse("the ceiling of a lookup cache cannot be \(ceiling) keys", file, line)
    }
    storage = try LookupStorage(coordinator, name, sets: sets, ceiling: ceiling)
  }

  /// The bytes of each CPU's cache.
  public var byteCountPerCPU: Int { storage.stride }

  // MARK: Invalidating

  /// Has every CPU drop keys, whose entries in the table have been changed or removed before.
  ///
  /// - Parameters:
  ///   - keys: the changed keys; more than the cache's ceiling drop everything.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: the ticket of the send: `covered` says that no CPU finds the old value any more.
  /// - Progress: blocking, for as long as another thread invalidates
  /// - Context: any thread, outside signal handlers
  /// - Allocates: never for CPUs below 128
  @discardableResult
  public func invalidate(
    _ keys: some Collection<Key>, file: StaticString = #fileID, line: UInt = #line
  ) -> Ticket {
    storage.invalidate(keys.lazy.map { UInt64($0) }, file, line)
  }

  /// Has every CPU drop everything.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: the ticket of the send: `covered` says that no CPU finds an old value any more.
  /// - Progress: blocking, for as long as another thread invalidates
  /// - Context: any thread, outside signal handlers
  /// - Allocates: never for CPUs below 128
  @discardableResult
  public func invalidateAll(file: StaticString = #fileID, line: UInt = #line) -> Ticket {
    storage.invalidate(nil as [UInt64]?, file, line)
  }

  // MARK: Looking up

  /// What the table says of a key, for code that has no `LocalCPU`: any thread, also a signal handler.
  ///
  ///     let number = sessions.lookUp(key) { table.find($0) }
  ///
  /// A CPU in kernel looks into its cache first. One in user does not, since what was invalidated
  /// may be there still; nor does one that drains, a thread that is no CPU, and code that interrupted
  /// a lookup: they ask the table.
  ///
  /// - Parameters:
  ///   - key: what is looked up.
  ///   - table: asked where the cache has no answer. Nil means that the key is in no table, and is
  ///     not cached.
  /// - Returns: the value; nil if the table has none.
  /// - Progress: wait-free, and as `table`
  /// - Context: any thread, also in user, inside handlers and signal handlers if `table` may be called there
  /// - Allocates: never
  @inlinable
  public func lookUp(_ key: Key, orIn table: (Key) -> Value?) -> Value? {
    guard let sets = storage.ownSets() else { return table(key) }
    return Self.lookUp(key, sets, table)
  }

  @inlinable @inline(__always)
  static func lookUp(_ key: Key, _ sets: LookupSets, _ table: (Key) -> Value?) -> Value? {
    if let word = sets.find(UInt64(truncatingIfNeeded: key)) { return value(word) }
    let generation = sets.owner.generation.load(ordering: .relaxed)
    guard let value = table(key) else { return nil }
    sets.fill(UInt64(truncatingIfNeeded: key), word(value), at: generation)
    return value
  }

  // Safety: a word has room for a value, which was copied to its first bytes.
  @inlinable @inline(__always)
  static func value(_ word: UInt64) -> Value {
    // Safety: a value was stored to the word, and fits.
    unsafe withUnsafeBytes(of: word) { unsafe $0.loadUnaligned(as: Value.self) }
  }

  @inlinable @inline(__always)
  static func word(_ value: Value) -> UInt64 {
    var word: UInt64 = 0
    // Safety: a value fits into the word.
    unsafe withUnsafeMutableBytes(of: &word) { unsafe $0.storeBytes(of: value, as: Value.self) }
    return word
  }

  /// What a CPU's cache has been through.
  public struct Statistics: Hashable, Sendable {
    /// Lookups that the table answered, and whose answer was cached.
    public let fills: UInt64
    /// Entries that were dropped one by one.
    public let drops: UInt64
    /// How often everything was dropped.
    public let clears: UInt64
  }

  /// What a CPU's cache has been through.
  ///
  /// - Parameters:
  ///   - cpu: the number of a CPU of the coordinator; any other ends the process with a sentence.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: the counts since the cache was made.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public func statistics(
    of cpu: Int, file: StaticString = #fileID, line: UInt = #line
  ) -> Statistics {
    coordinator.requireCPU(cpu, file, line)
    let sets = storage.sets(of: cpu)
    return Statistics(
      fills: sets.owner.fills.load(ordering: .relaxed),
      drops: sets.owner.drops.load(ordering: .relaxed),
      clears: sets.owner.clears.load(ordering: .relaxed))
  }

  /// Ends the work type: nothing is invalidated any more, and lookups ask the table alone.
  ///
  /// - Parameter timeout: how long to wait at most; nil waits for ever, and zero looks once.
  /// - Throws: as `Coordinator.unregister`.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers and kernel sections
  /// - Allocates: yes
  public func close(timeout: Duration? = nil) throws(IsolationError) {
    try storage.close(timeout: timeout)
  }
}

extension LookupCache {
  /// A cache as its CPU sees it.
  ///
  /// A lookup takes the `LocalCPU` as proof that it is made by the CPU's thread, outside handlers.
  /// What it answers holds until the CPU's next safe point, exit or quiescent state.
  ///
  /// - Progress: as each member says
  /// - Context: owner
  /// - Allocates: never
  @frozen @safe
  public struct Local: ~Copyable {
    @usableFromInline let sets: LookupSets
    @usableFromInline let slot: CPUSlot
    @usableFromInline let storage: Unmanaged<LookupStorage>

    init(_ storage: LookupStorage, _ slot: CPUSlot) {
      // Safety: one reference, which `deinit` gives back.
      unsafe self.storage = unsafe Unmanaged.passRetained(storage)
      self.slot = slot
      sets = storage.sets(of: OwnerTransitions.number(slot))
    }

    // Safety: the reference of `init`.
    deinit { unsafe storage.release() }

    /// What the table says of a key, out of the cache if it is there.
    ///
    /// - Parameters:
    ///   - key: what is looked up.
    ///   - cpu: the CPU that this view was opened on.
    ///   - table: asked where the cache has no answer. Nil means that the key is in no table, and
    ///     is not cached.
    /// - Returns: the value; nil if the table has none.
    /// - Progress: wait-free, and as `table`
    /// - Context: owner, in kernel, outside handlers
    /// - Allocates: never
    @inlinable @inline(__always)
    public func lookUp(
      _ key: Key, on cpu: borrowing LocalCPU, orIn table: (Key) -> Value?
    ) -> Value? {
      if cpu.slot != slot || ContextTracker(slot).ownContext | sets.isForeign(to: slot) != 0 {
        // Safety: the reference of `init`.
        guard unsafe LookupStorage.rejoin(storage, slot, cpu.slot) else { return table(key) }
      }
      return LookupCache.lookUp(key, sets, table)
    }
  }

  /// Gives a CPU its view.
  ///
  /// - Parameters:
  ///   - cpu: the calling thread's CPU, of the cache's coordinator.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Returns: a view that finds the CPU's cache without asking which thread calls.
  /// - Progress: wait-free
  /// - Context: owner, in kernel
  /// - Allocates: never
  public func open(
    on cpu: borrowing LocalCPU, file: StaticString = #fileID, line: UInt = #line
  ) -> Local {
    let number = OwnerTransitions.number(cpu.slot)
    if cpu.path.core != coordinator.core {
      misuse("CPU \(number) opened a lookup cache of another coordinator", file, line)
    }
    guard storage.ownSets() != nil else {
      misuse(
        "CPU \(number) can open a lookup cache in kernel alone, while it is not closed", file, line)
    }
    return Local(storage, cpu.slot)
  }
}

// What is one CPU's stays with its thread.
@available(*, unavailable)
extension LookupCache.Local: Sendable {}
