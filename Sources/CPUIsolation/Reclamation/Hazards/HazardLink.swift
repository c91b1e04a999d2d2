// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// A word that leads to a node, which hazard pointers protect: the head of a stack, a bucket, the
/// link from one node to the next.
///
///     struct Node: ~Copyable {
///       let value: Int
///       let next = HazardLink<Node>()
///     }
///     let head = HazardLink<Node>()
///     head.store(.init(node))
///
/// The lowest bit of the address is a mark that the structure may use: a node whose `next` is
/// marked is being taken out (T. Harris, "A Pragmatic Implementation of Non-blocking Linked-lists",
/// 2001). Nodes lie at even addresses.
///
/// What a plain `load` returns may be compared, and stored elsewhere; looking into the node needs a
/// ``HazardPointer`` or `HazardDomain.withProtected`.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: never
@frozen @safe
public struct HazardLink<Node: ~Copyable>: ~Copyable {
  @usableFromInline let word: SharedAddress

  /// A link to nothing.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable @inline(__always)
  public init() { word = SharedAddress(0) }

  /// A link to this node.
  ///
  /// - Parameter node: where it leads; nil is nowhere. The memory stays the caller's.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable @inline(__always)
  public init(_ node: UnsafeMutablePointer<Node>?) {
    word = SharedAddress(UInt(bitPattern: node))
  }

  /// What a link holds: a node or none, and the mark.
  @frozen @safe
  public struct Value: Equatable {
    @usableFromInline let rawValue: UInt

    @inlinable @inline(__always)
    init(rawValue: UInt) { self.rawValue = rawValue }

    /// A node or none, marked or not.
    ///
    /// - Parameters:
    ///   - node: where it leads; nil is nowhere. Its address is even.
    ///   - isMarked: a flag of the caller's, in the lowest bit of the address.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    @inlinable @inline(__always)
    public init(_ node: UnsafeMutablePointer<Node>?, isMarked: Bool = false) {
      rawValue = UInt(bitPattern: node) | (isMarked ? 1 : 0)
    }

    /// The node; nil at an end.
    @inlinable @inline(__always)
    public var node: UnsafeMutablePointer<Node>? {
      // Safety: an address; who may look there is what protection is about.
      unsafe UnsafeMutablePointer(bitPattern: rawValue & ~1)
    }

    /// Whether the mark is set.
    @inlinable @inline(__always)
    public var isMarked: Bool { rawValue & 1 != 0 }

    @inlinable @inline(__always)
    var address: UInt { rawValue & ~1 }
  }

  /// What it holds now.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable @inline(__always)
  public func load() -> Value {
    // Acquire — hazardLink:L. Pairs with hazardLink:S and hazardLink:X.
    Value(rawValue: word.load(ordering: .acquiring))
  }

  /// Puts another value in its place; what was written to the node before is seen by whoever finds
  /// it here.
  ///
  /// - Parameter value: the new value.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable @inline(__always)
  public func store(_ value: Value) {
    // Release — hazardLink:S. Pairs with hazardLink:L, hazard:P and hazard:T.
    word.store(value.rawValue, ordering: .releasing)
  }

  /// Puts another value in its place, and returns the one that was there: its node is the caller's
  /// to retire.
  ///
  /// - Parameter value: the new value.
  /// - Returns: the value before.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable @inline(__always)
  public func exchange(_ value: Value) -> Value {
    // Acquire and release — hazardLink:X. Pairs with hazardLink:L, hazard:P and hazard:T.
    Value(rawValue: word.exchange(value.rawValue, ordering: .acquiringAndReleasing))
  }

  /// Puts another value in its place if it holds `expected`; tells whether it did, and what it
  /// held.
  ///
  /// - Parameters:
  ///   - expected: the value that is replaced: the node and the mark.
  ///   - desired: the new value.
  /// - Returns: whether it was replaced, and the value before.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable @inline(__always)
  public func compareExchange(
    expected: Value, desired: Value
  ) -> (exchanged: Bool, original: Value) {
    // Acquire and release — hazardLink:X, as above.
    let (exchanged, original) = word.compareExchange(
      expected: expected.rawValue, desired: desired.rawValue,
      successOrdering: .acquiringAndReleasing, failureOrdering: .acquiring)
    return (exchanged, Value(rawValue: original))
  }
}

// Sendable: one atomic word; who may look at the nodes is what protection is about.
extension HazardLink: @unchecked Sendable where Node: ~Copyable {}

// Sendable: an address, which nothing here looks into.
extension HazardLink.Value: @unchecked Sendable where Node: ~Copyable {}
