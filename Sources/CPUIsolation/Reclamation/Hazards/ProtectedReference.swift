// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// A class instance that any thread reads without touching its reference count, and that a writer
/// replaces.
///
///     let routes = ProtectedReference(RoutingTable(), in: domain)
///     …
///     let hop = routes.withObject { table in table.nextHop(for: address) }  // readers
///     …
///     routes.replace(with: try RoutingTable(contentsOf: file))  // a writer
///
/// What a server's configuration or routing table is: read by everybody all the time, changed now
/// and then. A strong reference would have every reader write the one count; this has each of them
/// write a slot of its own. The old object is released within the domain's `maximumAge`, 10 ms, after
/// the last reader that found it has gone, on the library's thread; in a domain that is not
/// `.thread`, by whoever runs its reclaimers, when he does.
///
/// A body that keeps the object takes a reference, as always in Swift: that is safe, and costs what
/// this type is there to spare. Do not use it for an object of which each reader wants a reference of
/// its own.
///
/// - Progress: as each member says
/// - Context: any thread
/// - Allocates: never
@safe
public struct ProtectedReference<Object: AnyObject>: ~Copyable {
  @usableFromInline let word: SharedAddress
  @usableFromInline let core: HazardCore
  private let domain: HazardDomain

  /// Refers to this object; readers' protections are those of the domain.
  ///
  /// - Parameters:
  ///   - object: the first object; the reference retains it.
  ///   - domain: who protects and releases; the process's shared domain unless given.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public init(_ object: Object, in domain: HazardDomain = .shared) {
    // Safety: one reference, which `deinit` or a replacement gives back.
    word = unsafe SharedAddress(UInt(bitPattern: Unmanaged.passRetained(object).toOpaque()))
    core = domain.core
    self.domain = domain
  }

  deinit {
    // Relaxed: nobody else has this any more.
    let address = word.load(ordering: .relaxed)
    // Safety: the reference that the word held.
    unsafe Self.unmanaged(address).release()
  }

  @inlinable @inline(__always)
  static func unmanaged(_ address: UInt) -> Unmanaged<Object> {
    // Safety: the word holds nothing but addresses of such objects.
    unsafe .fromOpaque(UnsafeRawPointer(bitPattern: address).unsafelyUnwrapped)
  }

  /// Calls the body with the object, and nothing else: no reference is taken.
  @inlinable @inline(__always)
  static func lend<Result, Failure: Error>(
    _ address: UInt, to body: (Object) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // The standard library's form knows no typed errors.
    // Safety: the caller protects the object for as long as it lends it.
    let outcome = unsafe unmanaged(address)._withUnsafeGuaranteedRef {
      object -> Swift.Result<Result, Failure> in
      do throws(Failure) { return .success(try body(object)) } catch { return .failure(error) }
    }
    return try outcome.get()
  }

  /// Lends the object that is current; it lives at least until the body has returned.
  ///
  /// - Parameter body: gets the object, and may keep it: that retains it as usual.
  /// - Returns: what `body` returned.
  /// - Throws: what `body` throws.
  /// - Progress: wait-free on an isolated CPU in kernel in a domain by transition; else lock-free:
  ///   it looks again when the object has been replaced
  /// - Context: any thread; not in a signal handler
  /// - Allocates: never, but for a scope that is nested deeper than 13
  @inlinable @inline(__always)
  public func withObject<Result, Failure: Error>(
    _ body: (Object) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let scope = core.beginScope()
    defer { core.endScope(scope) }
    let address = core.protect(scope.slot, word)
    return try Self.lend(address, to: body)
  }

  /// Protects the object that is current by a holder of the same domain; its address.
  @inlinable @inline(__always)
  func protect(
    by hazard: inout HazardPointer, _ file: StaticString, _ line: UInt
  ) -> UInt {
    // A holder of another domain would protect nothing: passes of this one do not look there.
    if hazard.core.base != core.base { Self.refuseHolder(file, line) }
    return core.protect(hazard.slot, word)
  }

  @usableFromInline @inline(never)
  static func refuseHolder(_ file: StaticString, _ line: UInt) -> Never {
    misuse("withObject: the holder belongs to another domain than the reference", file, line)
  }

  /// The same through a holder of the reference's domain that the caller has: for a protection that
  /// outlasts an `await`, or moves to another thread with it.
  ///
  /// - Parameters:
  ///   - hazard: a holder of the same domain; it protects the object until its next use.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  ///   - body: gets the object.
  /// - Returns: what `body` returned.
  /// - Throws: what `body` throws.
  /// - Progress: as the other form
  /// - Context: any thread; not in a signal handler
  /// - Allocates: never
  @inlinable @inline(__always)
  public func withObject<Result, Failure: Error>(
    using hazard: inout HazardPointer, file: StaticString = #fileID, line: UInt = #line,
    _ body: (Object) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let address = protect(by: &hazard, file, line)
    defer { hazard.reset() }
    return try Self.lend(address, to: body)
  }

  /// The same across suspensions.
  ///
  ///     var hazard = HazardPointer(in: domain)
  ///     try await routes.withObject(using: &hazard) { table in try await table.probe() }
  ///
  /// - Parameters:
  ///   - hazard: a holder of the same domain, which nothing else uses meanwhile.
  ///   - isolation: the actor that `body` runs on: the caller's.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  ///   - body: gets the object, and may suspend.
  /// - Returns: what `body` returned.
  /// - Throws: what `body` throws.
  /// - Progress: as the other form; suspends where the body does
  /// - Context: any task
  /// - Allocates: as async functions do
  public func withObject<Result, Failure: Error>(
    using hazard: inout HazardPointer, isolation: isolated (any Actor)? = #isolation,
    file: StaticString = #fileID, line: UInt = #line,
    _ body: (Object) async throws(Failure) -> Result
  ) async throws(Failure) -> Result {
    let address = protect(by: &hazard, file, line)
    defer { hazard.reset() }
    // Safety: the holder protects the object.
    return try await body(unsafe Self.unmanaged(address).takeUnretainedValue())
  }

  /// Has readers find this object from now on. The old one is released when no reader uses it any
  /// more; `freeing` says how many bytes go with it, for the domain's `maximumBytes`.
  ///
  ///     routes.replace(with: table, freeing: 10 << 20)
  ///
  /// - Parameters:
  ///   - object: the new object; the reference retains it.
  ///   - byteCount: how many bytes go with the old object, 0 or more, for the domain's
  ///     `maximumBytes`.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Progress: as `HazardDomain.retire`
  /// - Context: any thread; not in a signal handler
  /// - Allocates: as `HazardDomain.retire`
  public func replace(
    with object: Object, freeing byteCount: Int = 0, file: StaticString = #fileID,
    line: UInt = #line
  ) {
    // Safety: one reference for the word; that of the old object goes to the domain.
    let new = unsafe UInt(bitPattern: Unmanaged.passRetained(object).toOpaque())
    // Acquire and release — hazardLink:X. Pairs with hazard:V and hazard:T.
    let old = word.exchange(new, ordering: .acquiringAndReleasing)
    unsafe domain.retire(
      instance: Self.unmanaged(old), byteCount: byteCount, file: file, line: line)
  }
}

// Sendable: one atomic word, and an object that several threads may look at if it is Sendable.
extension ProtectedReference: @unchecked Sendable where Object: Sendable {}
