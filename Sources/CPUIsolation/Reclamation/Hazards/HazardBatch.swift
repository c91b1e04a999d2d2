// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// An object that waits to be reclaimed.
@safe
struct HazardRetired {
  var address: UInt
  var reclaim: @convention(c) (UnsafeMutableRawPointer, UnsafeMutableRawPointer?) -> Void
  var context: UnsafeMutableRawPointer?
  /// The number of its cohort, or 0.
  var cohort: UInt64
  /// The pass that found it, once one has.
  var pass: UInt64 = 0
}

/// A batch of retired objects: a handle round memory that begins with the link of an
/// `Inbox`.
///
///      0  next
///      8  count
///     16  bytes    what whoever retired the objects said that they hold
///     24  objects
@safe
struct HazardBatch {
  let node: Inbox.Node

  init(_ node: Inbox.Node) { self.node = node }

  init?(address: UInt) {
    guard let node = Inbox.Node(at: address) else { return nil }
    self.node = node
  }

  static func make() -> HazardBatch {
    #if ModelChecking
      if let batch = kept.free.popLast() { return begun(batch.node) }
    #endif
    let bytes = 24 + Limits.hazardBatch * MemoryLayout<HazardRetired>.stride
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: bytes, alignment: MemoryLayout<HazardRetired>.alignment)
    // Safety: new memory, until `free`.
    return begun(Inbox.Node(unsafe Address(memory)))
  }

  private static func begun(_ node: Inbox.Node) -> HazardBatch {
    // Safety: the memory is as the map above says, and nobody else has it.
    unsafe Place(node.base).initialize(to: SharedAddress(0))
    unsafe Place(node.base + 8).initialize(to: 0)
    unsafe Place(node.base + 16).initialize(to: UInt64(0))
    return HazardBatch(node)
  }

  #if ModelChecking
    /// A store to a batch may still sit in a simulated buffer when the batch is freed: what is freed
    /// is used again in a later execution.
    // Sendable: explorations run one at a time.
    private final class Kept: @unchecked Sendable {
      var free: [HazardBatch] = []
      var freed: [HazardBatch] = []
    }
    private static let kept = Kept()

    static func beginExecution() {
      kept.free += kept.freed
      kept.freed = []
    }

    func free() { Self.kept.freed.append(self) }
  #else
    // Safety: the batch is the caller's, and it is the last use.
    func free() { unsafe node.base.pointer.deallocate() }
  #endif

  var address: UInt { node.bits }

  var count: Int {
    // Safety: `make` put it there.
    unsafeAddress { unsafe node.base.line(Int.self, at: 8) }
    nonmutating unsafeMutableAddress { unsafe Place<Int>(node.base + 8).pointer }
  }

  var byteCount: UInt64 {
    // Safety: as above.
    unsafeAddress { unsafe node.base.line(UInt64.self, at: 16) }
    nonmutating unsafeMutableAddress { unsafe Place<UInt64>(node.base + 16).pointer }
  }

  var isFull: Bool { count == Limits.hazardBatch }

  // Safety: there is room for as many as make it full, and the first `count` are there.
  var objects: Table<HazardRetired> { unsafe Table(node.base + 24) }

  func append(_ object: HazardRetired) {
    objects.place(count).initialize(to: object)
    count += 1
  }
}

/// A list of batches that one thread uses, through the links of the stack that they come from.
@safe
struct HazardBatches {
  private(set) var first: HazardBatch? = nil

  var isEmpty: Bool { first == nil }

  /// What all batches say that their objects hold.
  var byteCount: UInt64 {
    var sum: UInt64 = 0
    var batch = first
    while let current = batch {
      sum &+= current.byteCount
      batch = Inbox.next(after: current.node).map(HazardBatch.init)
    }
    return sum
  }

  mutating func prepend(_ batch: HazardBatch) {
    Inbox.setNext(after: batch.node, first?.node)
    first = batch
  }

  mutating func popFirst() -> HazardBatch? {
    guard let batch = first else { return nil }
    first = Inbox.next(after: batch.node).map(HazardBatch.init)
    Inbox.setNext(after: batch.node, nil)
    return batch
  }

  /// Takes all batches of another list.
  mutating func take(_ other: inout HazardBatches) {
    while let batch = other.popFirst() { prepend(batch) }
  }

  /// Takes what a stack gave.
  mutating func take(_ nodes: Inbox.Node?) {
    var node = nodes
    while let current = node {
      node = Inbox.next(after: current)
      prepend(HazardBatch(current))
    }
  }

  func forEach(_ body: (Place<HazardRetired>) -> Void) {
    var batch = first
    while let current = batch {
      for index in 0..<current.count { body(current.objects.place(index)) }
      batch = Inbox.next(after: current.node).map(HazardBatch.init)
    }
  }
}
