// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// What reclaims a retired object: a C function, called with the object's address and the context
/// that was given with it.
///
/// It may retire further objects, and must not wait for the domain.
public typealias HazardReclaimFunction =
  @convention(c) (
    UnsafeMutableRawPointer, UnsafeMutableRawPointer?
  ) -> Void

/// An object that waits to be reclaimed.
@safe
struct HazardRetired {
  var address: UInt
  var reclaim: HazardReclaimFunction
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
///     16  objects
@safe
struct HazardBatch {
  let base: UnsafeMutableRawPointer

  init(_ base: UnsafeMutableRawPointer) { unsafe self.base = unsafe base }

  init?(address: UInt) {
    guard let base = unsafe UnsafeMutableRawPointer(bitPattern: address) else { return nil }
    unsafe self.base = unsafe base
  }

  static func make() -> HazardBatch {
    #if ModelChecking
      if let batch = unsafe modelPool.popLast() { return reused(batch) }
    #endif
    let bytes = 16 + Limits.hazardBatch * MemoryLayout<HazardRetired>.stride
    let batch = unsafe HazardBatch(
      .allocate(byteCount: bytes, alignment: MemoryLayout<HazardRetired>.alignment))
    unsafe batch.base.initializeMemory(as: SharedAddress.self, to: SharedAddress(0))
    unsafe (batch.base + 8).initializeMemory(as: Int.self, to: 0)
    return batch
  }

  #if ModelChecking
    // A store to a batch may still sit in a simulated buffer when the batch is freed: what is freed
    // is used again in a later execution. Unchecked: explorations run one at a time.
    nonisolated(unsafe) private static var modelPool: [HazardBatch] = []
    // As above.
    nonisolated(unsafe) private static var modelFreed: [HazardBatch] = []

    private static func reused(_ batch: HazardBatch) -> HazardBatch {
      unsafe batch.base.initializeMemory(as: SharedAddress.self, to: SharedAddress(0))
      batch.count = 0
      return batch
    }

    static func beginExecution() {
      unsafe modelPool += modelFreed
      unsafe modelFreed = []
    }

    func free() { unsafe Self.modelFreed.append(self) }
  #else
    func free() { unsafe base.deallocate() }
  #endif

  var address: UInt { unsafe UInt(bitPattern: base) }

  var count: Int {
    get { unsafe (base + 8).assumingMemoryBound(to: Int.self).pointee }
    nonmutating set { unsafe (base + 8).assumingMemoryBound(to: Int.self).pointee = newValue }
  }

  var isFull: Bool { count == Limits.hazardBatch }

  var objects: UnsafeMutablePointer<HazardRetired> {
    unsafe (base + 16).assumingMemoryBound(to: HazardRetired.self)
  }

  func append(_ object: HazardRetired) {
    unsafe (objects + count).initialize(to: object)
    count += 1
  }
}

/// A list of batches that one thread uses, through the links of the stack that they come from.
@safe
struct HazardBatches {
  private(set) var first: HazardBatch? = nil

  var isEmpty: Bool { first == nil }

  mutating func prepend(_ batch: HazardBatch) {
    unsafe Inbox.setNext(after: batch.base, first?.base)
    first = batch
  }

  mutating func popFirst() -> HazardBatch? {
    guard let batch = first else { return nil }
    first = unsafe Inbox.next(after: batch.base).map { unsafe HazardBatch($0) }
    unsafe Inbox.setNext(after: batch.base, nil)
    return batch
  }

  /// Takes all batches of another list.
  mutating func take(_ other: inout HazardBatches) {
    while let batch = other.popFirst() { prepend(batch) }
  }

  /// Takes what a stack gave.
  mutating func take(_ nodes: UnsafeMutableRawPointer?) {
    var node = unsafe nodes
    while let current = unsafe node {
      unsafe node = unsafe Inbox.next(after: current)
      unsafe prepend(HazardBatch(current))
    }
  }

  func forEach(_ body: (UnsafeMutablePointer<HazardRetired>) -> Void) {
    var batch = first
    while let current = batch {
      for index in 0..<current.count { unsafe body(current.objects + index) }
      batch = unsafe Inbox.next(after: current.base).map { unsafe HazardBatch($0) }
    }
  }
}
