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

  /// Puts a node on top and tells whether the list was empty: who fills an empty list rings the
  /// bell.
  ///
  /// Lock-free: a loop repeats only when another push or take got in between.
  func push(_ node: UnsafeMutableRawPointer) -> Bool {
    let next = unsafe node.assumingMemoryBound(to: SharedAddress.self)
    var expected = head.load(ordering: .relaxed)
    while true {
      unsafe next.pointee.store(expected, ordering: .relaxed)
      // Sequentially consistent — Inbox:P. The node's content and its `next` are written
      // before the head points to it (release; pairs with Inbox:T), and whoever pushes and
      // then looks at a word has pushed before that look. Dekker with detach:Q.
      let (exchanged, original) = head.weakCompareExchange(
        expected: expected, desired: UInt(bitPattern: node),
        successOrdering: .sequentiallyConsistent, failureOrdering: .relaxed)
      if exchanged { return expected == 0 }
      expected = original
    }
  }

  /// Takes every node, in the order in which they were pushed.
  ///
  /// Exactly one of several takers gets each node.
  func takeAll() -> UnsafeMutableRawPointer? {
    // Acquire — Inbox:T. Pairs with Inbox:P. A node below the top was released by
    // its own push, and the later pushes, being read-modify-writes of the same word, continue its
    // release sequence.
    var node = unsafe UnsafeMutableRawPointer(bitPattern: head.exchange(0, ordering: .acquiring))
    var reversed: UnsafeMutableRawPointer? = nil
    while let current = unsafe node {
      let next = unsafe current.assumingMemoryBound(to: SharedAddress.self)
      let following = unsafe UnsafeMutableRawPointer(
        bitPattern: next.pointee.load(ordering: .relaxed))
      unsafe next.pointee.store(UInt(bitPattern: reversed), ordering: .relaxed)
      unsafe reversed = unsafe current
      unsafe node = unsafe following
    }
    return unsafe reversed
  }

  /// The node behind this one in a list that `takeAll` returned.
  static func next(after node: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
    unsafe UnsafeMutableRawPointer(
      bitPattern: node.assumingMemoryBound(to: SharedAddress.self).pointee.load(ordering: .relaxed))
  }

  /// Links a node of a list that `takeAll` returned to another one.
  static func setNext(after node: UnsafeMutableRawPointer, _ next: UnsafeMutableRawPointer?) {
    unsafe node.assumingMemoryBound(to: SharedAddress.self).pointee
      .store(UInt(bitPattern: next), ordering: .relaxed)
  }

  /// Whether the list is empty, behind everything this thread did before.
  var isEmpty: Bool {
    // Sequentially consistent — detach:Q. Behind leave:W. Dekker with Inbox:P and send:L.
    head.load(ordering: .sequentiallyConsistent) == 0
  }
}
