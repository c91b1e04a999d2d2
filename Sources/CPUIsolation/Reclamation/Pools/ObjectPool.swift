// SPDX-License-Identifier: Apache-2.0

/// A fixed number of ready-made elements, given out and taken back by any thread without a lock.
///
///     let buffers = try ObjectPool(capacity: 64) { _ in Buffer(bytes: 4096) }
///     let local = buffers.register()!  // once per thread
///     if var buffer = local.pop() {
///       buffer.element.fill()
///       local.push(buffer)  // or let it go out of scope: it finds its way back
///     }
///
/// The elements are made with the pool and end with it; in between they keep what the last user left
/// in them. That an element is given back once and used by one thread at a time is checked by the
/// compiler: ``ObjectPool/Object`` cannot be copied. Everything else is as in ``RawObjectPool``.
///
/// - Progress: as each member says
/// - Context: any thread
/// - Allocates: once, when it is made
public final class ObjectPool<Element: ~Copyable & Sendable>: Sendable {
  @usableFromInline let core: PoolCore

  /// A pool of so many elements.
  ///
  /// - Parameters:
  ///   - capacity: How many elements there are, at most 16 777 216.
  ///   - rings: How many threads can be registered at once, at most 4096; nil is one for each
  ///     processor.
  ///   - isCompact: Elements stand as close as they can, instead of 128 bytes apart: less memory, but
  ///     two threads that write neighbours share cache lines.
  ///   - file: The caller's file, for messages.
  ///   - line: The caller's line.
  ///   - make: Makes the element of a number from 0.
  /// - Throws: `outOfMemory`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: the whole pool, see `byteCount`
  public convenience init(
    capacity: Int, rings: Int? = nil, isCompact: Bool = false, file: StaticString = #fileID,
    line: UInt = #line, _ make: (Int) -> Element
  ) throws(IsolationError) {
    try self.init(
      PoolCore.Geometry(
        checking: capacity, objectBytes: MemoryLayout<Element>.size, rings: rings,
        isCompact: isCompact, file, line), make)
  }

  init(_ geometry: PoolCore.Geometry, position: UInt64 = 0, _ make: (Int) -> Element)
    throws(IsolationError)
  {
    core = try PoolCore(mapping: geometry, position: position) { core in
      for index in 0..<UInt32(core.capacity) {
        // Safety: the elements were made below, and nobody has one any more.
        unsafe Place<Element>(core.object(index)).pointer.deinitialize(count: 1)
      }
    }
    for index in 0..<geometry.capacity {
      // Safety: the memory is as long, and nobody else has it yet.
      unsafe Place(core.object(UInt32(index))).initialize(to: make(index))
    }
  }

  deinit {
    _ = core.close()
    PoolCore.dropControl(core.control)
  }

  /// See `RawObjectPool.register()`.
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

  /// Takes an element, for a thread that has no ring; nil when none was found, or the pool is closed.
  ///
  /// - Progress: lock-free
  /// - Context: any thread, also inside a handler
  /// - Allocates: never
  public func pop() -> Object? {
    guard core.hold() else { return nil }
    defer { core.drop(1) }
    let index = core.takeAsGuest(NoFaults.self)
    return index == PoolRing.none ? nil : Object(core, core.give(index))
  }

  /// See `RawObjectPool.close()`. The elements end with the memory, where the last one comes back.
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

  /// Whether the elements have ended and the memory has been freed.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var isFreed: Bool { core.isFreed }

  /// How many elements there are.
  public var capacity: Int { Int(core.capacity) }

  /// How many threads can be registered at once.
  public var ringCount: Int { core.ringCount }

  /// See `RawObjectPool.byteCount`.
  public var byteCount: Int { core.byteCount }

  /// What has been done so far.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the table
  public var statistics: RawObjectPool.Counts { RawObjectPool.Counts(core) }
}

extension ObjectPool where Element: ~Copyable {
  /// A thread's registration: its own ring. See ``RawObjectPool/Local``.
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

    /// Takes an element; nil when none was found, or the pool is closed.
    ///
    /// - Progress: wait-free out of the own ring; lock-free out of the others
    /// - Context: the thread that registered
    /// - Allocates: never
    @inlinable @inline(__always)
    public func pop() -> Object? {
      ring.requireOwner()
      let index = core.take(at: ring, NoFaults.self)
      return index == PoolRing.none ? nil : Object(core, core.give(index))
    }

    /// Gives an element back, wherever it was taken.
    ///
    /// - Parameter object: an element of this pool; the caller has it no more.
    /// - Progress: wait-free
    /// - Context: the thread that registered
    /// - Allocates: never
    @inlinable @inline(__always)
    public func push(_ object: consuming Object) {
      ring.requireOwner()
      let index = core.receive(object.release())
      if !core.put(index, at: ring, NoFaults.self) { core.drop(1) }
    }
  }
}

@available(*, unavailable)
extension ObjectPool.Local: Sendable where Element: ~Copyable {}

extension ObjectPool where Element: ~Copyable {
  /// An element that is out of its pool, its user's alone.
  ///
  /// When it goes out of scope it goes back to its pool, as if by a thread without a ring; `push` of a
  /// registration is cheaper.
  ///
  /// - Progress: as each member says
  /// - Context: any thread
  /// - Allocates: never
  @frozen @safe
  public struct Object: ~Copyable, Sendable {
    @usableFromInline let core: PoolCore
    @usableFromInline let address: Address

    @inlinable @inline(__always)
    init(_ core: PoolCore, _ address: Address) {
      self.core = core
      self.address = address
    }

    deinit {
      core.holdAsGuest()
      core.putAsGuest(core.receive(address))
    }

    /// The element itself.
    ///
    /// - Progress: wait-free
    /// - Context: one thread at a time
    /// - Allocates: never
    @inlinable @inline(__always)
    public var element: Element {
      // Safety: the object is this value's alone.
      _read { yield unsafe Place<Element>(address).value }
      _modify { yield &(unsafe Place<Element>(address)).value }
    }

    /// The element's address, for functions of C: valid as long as this value.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    @inlinable
    public var pointer: UnsafeMutablePointer<Element> {
      // Safety: the object is this value's alone.
      unsafe Place<Element>(address).pointer
    }

    /// Parts with the element: it does not go back by itself.
    @inlinable @inline(__always)
    consuming func release() -> Address {
      let address = address
      discard self
      return address
    }
  }
}
