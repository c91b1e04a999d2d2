// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// A lock-free list that many threads push to and that is always taken whole.
///
/// The nodes are the caller's memory: a node is any memory that begins with a `SharedAddress`,
/// which holds the next node while the node is in the list. Taking the list whole needs no
/// protection against reuse of nodes, the weak spot of a Treiber stack that pops one by one.
///
/// After R. K. Treiber, "Systems Programming: Coping with Parallelism", 1986; the take-all form is
/// that of Linux's `llist`.
@usableFromInline
struct Inbox: ~Copyable {
  private let head = SharedAddress(0)

  init() {}

  /// Memory that begins with a `SharedAddress`, for as long as it is in a list or on its way from one.
  // Sendable: an address; what is there belongs to the list, or to whoever has taken it.
  @safe @usableFromInline
  struct Node: @unchecked Sendable {
    let base: Address

    init(_ base: Address) { self.base = base }

    init?(at address: UInt) {
      guard let base = Address(at: address) else { return nil }
      self.base = base
    }

    var bits: UInt { base.bits }

    // Safety: a node begins with it.
    fileprivate var next: Place<SharedAddress> { unsafe Place(base) }
  }

  /// Puts a node on top and tells whether the list was empty: who fills an empty list rings the
  /// bell.
  ///
  /// Lock-free: a loop repeats only when another push or take got in between.
  func push(_ node: Node) -> Bool {
    var expected = head.load(ordering: .relaxed)
    while true {
      node.next.value.store(expected, ordering: .relaxed)
      // Sequentially consistent — Inbox:P. The node's content and its `next` are written
      // before the head points to it (release; pairs with Inbox:T), and whoever pushes and
      // then looks at a word has pushed before that look. Dekker with detach:Q.
      let (exchanged, original) = head.weakCompareExchange(
        expected: expected, desired: node.bits,
        successOrdering: .sequentiallyConsistent, failureOrdering: .relaxed)
      if exchanged { return expected == 0 }
      expected = original
    }
  }

  /// Takes every node, in the order in which they were pushed.
  ///
  /// Exactly one of several takers gets each node.
  func takeAll() -> Node? {
    // Acquire — Inbox:T. Pairs with Inbox:P. A node below the top was released by
    // its own push, and the later pushes, being read-modify-writes of the same word, continue its
    // release sequence.
    var node = Node(at: head.exchange(0, ordering: .acquiring))
    var reversed: Node? = nil
    while let current = node {
      node = Self.next(after: current)
      Self.setNext(after: current, reversed)
      reversed = current
    }
    return reversed
  }

  /// The node after this one in a list that `takeAll` returned.
  static func next(after node: Node) -> Node? {
    Node(at: node.next.value.load(ordering: .relaxed))
  }

  /// Links a node of a list that `takeAll` returned to another one.
  static func setNext(after node: Node, _ next: Node?) {
    node.next.value.store(next?.bits ?? 0, ordering: .relaxed)
  }

  /// Whether the list is empty, after everything this thread did before.
  var isEmpty: Bool {
    // Sequentially consistent — detach:Q. After leave:W. Dekker with Inbox:P and send:L.
    head.load(ordering: .sequentiallyConsistent) == 0
  }
}
