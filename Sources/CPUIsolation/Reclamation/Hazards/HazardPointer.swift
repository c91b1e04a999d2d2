// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// Protects one node at a time from being reclaimed: a holder of one slot.
///
///     var hazard = HazardPointer(in: domain)
///     if let node = hazard.protect(head).node {
///       use(node)  // is there for as long as `hazard` protects it
///     }
///     hazard.reset()
///
/// The protection lies in the holder, not in the thread: it may be kept across an `await`, and the
/// holder may move to another thread. A holder protects what it protected last. It protects that one
/// node, and nothing that the node links to: to go on to the next, protect it by a second holder,
/// from the link in the first one's node, and see that the first node is still in the structure.
///
/// For a few instructions, use `HazardDomain.withProtected`, which needs no holder.
///
/// After M. Michael, "Hazard Pointers: Safe Memory Reclamation for Lock-Free Objects", IEEE TPDS
/// 2004, and C++26 `std::hazard_pointer`, with these names: `protect`, `tryProtect` for
/// `try_protect`, `reset` for `reset_protection`. `swap(&a, &b)` exchanges two holders; no
/// protection ever moves from one slot to another, which is why scans may look at slots in any
/// order.
///
/// - Progress: as each member says
/// - Context: any thread, one at a time; in a signal handler what says so
/// - Allocates: when made: now and then a chunk of slots
@safe
public struct HazardPointer: ~Copyable {
  @usableFromInline let slot: Place<SharedAddress>
  @usableFromInline let core: HazardCore
  private let domain: Unmanaged<HazardDomain>

  /// Takes a slot of the domain, which lives for as long as its holders.
  ///
  /// There are always enough of them: more are made when they run out.
  ///
  /// - Parameter domain: whose objects it protects.
  /// - Progress: lock-free
  /// - Context: any thread; to be used in a signal handler, make it beforehand
  /// - Allocates: a chunk for every 945 holders that exist at the same time
  public init(in domain: HazardDomain) {
    core = domain.core
    slot = domain.core.takeHolderSlot()
    // Safety: one reference, which `deinit` gives back.
    unsafe self.domain = unsafe Unmanaged.passRetained(domain)
  }

  deinit {
    // Release — hazard:R. The last use of the node comes before. Pairs with hazard:S.
    slot.value.store(0, ordering: .releasing)
    core.giveBackHolderSlot(slot)
    // Safety: the reference of `init`.
    unsafe domain.release()
  }

  /// Protects the node that the link leads to, in place of what this protected before.
  ///
  /// - Parameter link: of the holder's domain.
  /// - Returns: what the link holds: its node is protected until the next `protect`, `reset` or the
  ///   end of this holder.
  /// - Progress: wait-free on an isolated CPU in kernel in a domain by transition; else lock-free:
  ///   it looks again when the link has changed
  /// - Context: any thread; not in a signal handler
  /// - Allocates: never
  @inlinable @inline(__always)
  public mutating func protect<Node: ~Copyable>(
    _ link: borrowing HazardLink<Node>
  ) -> HazardLink<Node>.Value {
    HazardLink<Node>.Value(rawValue: core.protect(slot, link.word))
  }

  /// Protects this node if the link still holds exactly that; else protects nothing, and `expected`
  /// is what the link held.
  ///
  /// - Parameters:
  ///   - expected: what was read from the link before; after a failure, what it held instead.
  ///   - link: of the holder's domain.
  /// - Returns: whether the node is protected now.
  /// - Progress: wait-free
  /// - Context: any thread; not in a signal handler
  /// - Allocates: never
  @inlinable @inline(__always)
  public mutating func tryProtect<Node: ~Copyable>(
    _ expected: inout HazardLink<Node>.Value, in link: borrowing HazardLink<Node>
  ) -> Bool {
    let result = core.tryProtect(slot, expected.rawValue, link.word)
    expected = HazardLink<Node>.Value(rawValue: result.now)
    return result.isProtected
  }

  /// The same as `protect`, in a bounded number of steps however often the link changes.
  ///
  /// For the few nanoseconds in between, nothing of the whole domain can be reclaimed; a thread that
  /// is preempted there holds everything back until it goes on. Use it where a link changes all the
  /// time and a reader must not be held up by that; nowhere else.
  ///
  /// After M. Desnoyers' hazard pointers for Linux (2025).
  ///
  /// - Parameter link: of the holder's domain.
  /// - Returns: as `protect`.
  /// - Progress: wait-free
  /// - Context: any thread; not in a signal handler
  /// - Allocates: never
  @inlinable
  public mutating func acquire<Node: ~Copyable>(
    _ link: borrowing HazardLink<Node>
  ) -> HazardLink<Node>.Value {
    HazardLink<Node>.Value(rawValue: core.acquire(slot, link.word))
  }

  /// The same as `protect`, for a signal handler, which may have come in the middle of a transition
  /// of its thread: by a fence, whatever the domain's way.
  ///
  /// The holder is the handler's own, made beforehand.
  ///
  /// - Parameter link: of the holder's domain.
  /// - Returns: as `protect`.
  /// - Progress: lock-free
  /// - Context: any thread, also in a signal handler
  /// - Allocates: never
  public mutating func protectInSignalHandler<Node: ~Copyable>(
    _ link: borrowing HazardLink<Node>
  ) -> HazardLink<Node>.Value {
    HazardLink<Node>.Value(rawValue: core.protectFenced(slot, link.word))
  }

  /// Protects nothing any more.
  ///
  /// - Progress: wait-free
  /// - Context: any thread, also in a signal handler
  /// - Allocates: never
  @inlinable @inline(__always)
  public mutating func reset() {
    // Release — hazard:R. The last use of the node comes before. Pairs with hazard:S.
    slot.value.store(0, ordering: .releasing)
  }

  /// Lends the node that the link leads to, protected for as long as the body runs; nil if there is
  /// none.
  ///
  /// - Parameters:
  ///   - link: of the holder's domain.
  ///   - body: runs at most once.
  /// - Returns: what `body` returned; nil if the link leads nowhere.
  /// - Throws: what `body` throws.
  /// - Progress: as `protect`, and the body
  /// - Context: any thread; not in a signal handler
  /// - Allocates: never
  @inlinable @inline(__always)
  public mutating func withProtected<Node: ~Copyable, Result: ~Copyable, Failure: Error>(
    _ link: borrowing HazardLink<Node>, _ body: (borrowing Node) throws(Failure) -> Result
  ) throws(Failure) -> Result? {
    // Safety: the holder protects the node until it is reset.
    guard let node = unsafe protect(link).node else { return nil }
    defer { reset() }
    return try unsafe body(node.pointee)
  }
}

// Sendable: there is one value per slot, whoever has it, and the slot is an atomic word.
extension HazardPointer: @unchecked Sendable {}
