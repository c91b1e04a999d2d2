// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

/// A fixed number of objects of one size, given out and taken back by any thread without a lock:
/// memory for paths that must not allocate.
///
///     let pool = try RawObjectPool(capacity: 256, objectBytes: 64)
///     let local = pool.register()!  // once per thread: a ring of its own
///     if let record = local.pop() {
///       fill(record)
///       local.push(record)
///     }
///
/// A registered thread works in its own ring, one locked instruction for a pop and a push, and takes
/// from the others when that is empty: an object that is free anywhere is found. Order and fairness
/// are given up for speed: the object that was freed last comes first, while its cache lines are
/// warm, and lands where it is freed. Threads without a ring use `pop()` and `push(_:)` of the pool
/// itself, which cost seven locked instructions.
///
/// The pool never grows. When every object is out, `pop` returns nil at once: 4 objects per
/// processor are a good beginning, and more where threads block or are preempted while they hold
/// one.
///
/// Pushing an object twice, or one that is not the pool's, ends the process with a sentence: a mark
/// before each object says whether it is in or out. Looking at it and changing it costs a load
/// and a store on the object's own line, for each pop and each push. Two threads that push the same
/// object at the same instant may both get past; the pop that would give it out a second time finds
/// it, unless two pops come at the same instant, too.
///
/// Not for objects that are allocated once and kept, or where the number in use has no bound: use
/// malloc. For elements with an `init` and a `deinit` use ``ObjectPool``.
///
/// - Source: Matt Wu's `objpool` in Linux 6.7 (lib/objpool.c) has a ring per processor and disables
///   interrupts; user threads can do neither, so a ring is a thread's, and the rings are the
///   work-stealing queues of D. Chase and Y. Lev, SPAA 2005.
/// - Progress: as each member says
/// - Context: any thread
/// - Allocates: once, when it is made
public final class RawObjectPool: Sendable {
  @usableFromInline let core: PoolCore

  /// A pool of so many objects.
  ///
  /// - Parameters:
  ///   - capacity: How many objects there are, at most 16 777 216.
  ///   - objectBytes: The size of each, aligned to 16 bytes.
  ///   - rings: How many threads can be registered at once, at most 4096; nil is one for each
  ///     processor.
  ///   - isCompact: Objects stand as close as they can, instead of 128 bytes apart: less memory, but
  ///     two threads that write neighbours share cache lines.
  ///   - file: The caller's file, for messages.
  ///   - line: The caller's line.
  /// - Throws: `outOfMemory`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: the whole pool, see `byteCount`
  public convenience init(
    capacity: Int, objectBytes: Int, rings: Int? = nil, isCompact: Bool = false,
    file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) {
    try self.init(
      PoolCore.Geometry(
        checking: capacity, objectBytes: objectBytes, rings: rings, isCompact: isCompact, file, line
      ))
  }

  /// - Parameter position: Where the counters begin: for tests of the wrap.
  init(
    _ geometry: PoolCore.Geometry, position: UInt64 = 0,
    end: @escaping @Sendable (PoolCore) -> Void = { _ in }
  ) throws(IsolationError) {
    core = try PoolCore(mapping: geometry, position: position, end: end)
  }

  deinit {
    _ = core.close()
    PoolCore.dropControl(core.control)
  }

  /// Ends the memory with the objects that are out, for an owner who alone can reach them.
  func endWithObjects() { core.endWithObjects() }

  /// Gives the calling thread a ring of its own; nil when all are taken, or the pool is closed.
  ///
  /// A ring whose thread has died without ending its registration is taken over, with the objects in
  /// it.
  ///
  /// - Progress: wait-free; a system call per ring when all are taken
  /// - Context: any thread
  /// - Allocates: never
  public func register() -> Local? {
    guard core.hold() else { return nil }
    if !core.isClosed, let ring = core.claimRing() { return Local(core: core, ring: ring) }
    core.drop(1)
    return nil
  }

  /// Takes an object, for a thread that has no ring; nil when none was found, or the pool is closed.
  ///
  /// The contents are what the last one left there; at first, zeroes.
  ///
  /// - Progress: lock-free
  /// - Context: any thread, also inside a handler
  /// - Allocates: never
  public func pop() -> UnsafeMutableRawPointer? {
    guard core.hold() else { return nil }
    defer { core.drop(1) }
    let index = core.takeAsGuest(NoFaults.self)
    return index == PoolRing.none ? nil : unsafe core.give(index).pointer
  }

  /// Gives an object back, by a thread that has no ring.
  ///
  /// - Parameter object: an object of this pool that is out; for any other address the process ends
  ///   with a sentence.
  /// - Progress: wait-free
  /// - Context: any thread, also inside a handler
  /// - Allocates: never
  public func push(_ object: UnsafeMutableRawPointer) {
    guard core.hold() else {
      misuse("push: the pool is closed, and all of its objects had come back: its memory is gone")
    }
    core.putAsGuest(unsafe core.receive(Address(object)))
  }

  /// Closes the pool: from now on every pop returns nil, and what is pushed does not come back.
  ///
  ///     pool.close()  // objects that are out stay valid
  ///
  /// The memory is freed when every object has come back and every registration has ended, by
  /// whoever is the last. A pool whose last reference goes away closes itself.
  ///
  /// - Progress: lock-free
  /// - Context: any thread
  /// - Allocates: never
  public func close() { _ = core.close() }

  /// Whether the pool has been closed.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var isClosed: Bool { core.isClosed }

  /// Whether the memory of the pool has been freed: it was closed, and everything has come back.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var isFreed: Bool { core.isFreed }

  /// How many objects there are.
  public var capacity: Int { Int(core.capacity) }

  /// How many threads can be registered at once.
  public var ringCount: Int { core.ringCount }

  /// The distance between two objects in bytes, the mark before each included.
  public var stride: Int { core.stride }

  /// The bytes of the whole pool: `capacity` objects, one index of four bytes per object in each
  /// ring, the number rounded up to a power of two, and three lines of 128 bytes per ring. Pages that
  /// no ring has touched are not there.
  public var byteCount: Int { core.byteCount }

  /// What has been done so far.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the table
  public var statistics: RawObjectPool.Counts { RawObjectPool.Counts(core) }
}

extension RawObjectPool {
  /// A thread's registration: its own ring.
  ///
  /// The value cannot be copied, and serves the thread that it began on: another one that uses or
  /// ends it ends the process with a sentence, and so does the child of a fork. When it ends, what is
  /// in the ring stays there for the others, and the ring goes to the next thread that registers.
  ///
  /// - Progress: as each member says
  /// - Context: the thread that registered, outside signal handlers
  /// - Allocates: never
  @frozen @safe
  public struct Local: ~Copyable {
    @usableFromInline let core: PoolCore
    @usableFromInline let ring: PoolRing

    @usableFromInline
    init(core: PoolCore, ring: PoolRing) {
      self.core = core
      self.ring = ring
    }

    deinit { core.endRegistration(ring) }

    /// Ends the registration; the same happens when the value goes out of scope.
    ///
    /// - Progress: wait-free; lock-free when the pool is closed
    /// - Context: the thread that registered
    /// - Allocates: never
    public consuming func unregister() {}

    /// Takes an object; nil when none was found, or the pool is closed.
    ///
    /// The contents are what the last one left there; at first, zeroes.
    ///
    /// - Progress: wait-free out of the own ring; lock-free out of the others
    /// - Context: the thread that registered
    /// - Allocates: never
    @inlinable @inline(__always)
    public func pop() -> UnsafeMutableRawPointer? {
      ring.requireOwner()
      let index = core.take(at: ring, NoFaults.self)
      return index == PoolRing.none ? nil : unsafe core.give(index).pointer
    }

    /// Gives an object back, wherever it was taken.
    ///
    /// - Parameter object: an object of this pool that is out; for any other address the process
    ///   ends with a sentence.
    /// - Progress: wait-free
    /// - Context: the thread that registered
    /// - Allocates: never
    @inlinable @inline(__always)
    public func push(_ object: UnsafeMutableRawPointer) {
      ring.requireOwner()
      let index = unsafe core.receive(Address(object))
      if !core.put(index, at: ring, NoFaults.self) { core.drop(1) }
    }
  }
}

@available(*, unavailable)
extension RawObjectPool.Local: Sendable {}
