// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// Memory for the nodes of one structure: out of a pool, and back into it when no reader uses it any
/// more. No operation allocates, but for the batches of `retire`.
///
/// What has been retired is in nobody's hands until a pass has looked at all slots: a pool for a
/// structure of n nodes has more than n objects, by about `HazardDomain.unreclaimedBound`.
final class PooledNodes: Sendable {
  /// What reclaimers use. They may retain it for a moment and even be the last to let it go; if they
  /// retained what waits for them in its `deinit`, that would wait inside a reclaimer.
  private final class Memory: Sendable {
    let pool: RawObjectPool
    let byteCount: Int

    init(capacity: Int, byteCount: Int) throws {
      pool = try RawObjectPool(capacity: capacity, objectBytes: byteCount)
      self.byteCount = byteCount
    }
  }

  private let memory: Memory
  private let domain: HazardDomain
  private let cohort: HazardDomain.Cohort

  private var pool: RawObjectPool { memory.pool }

  /// So many nodes of a type that needs no `deinit`.
  init<Node: ~Copyable>(_ type: Node.Type, capacity: Int, in domain: HazardDomain) throws {
    memory = try Memory(capacity: capacity, byteCount: MemoryLayout<Node>.size)
    self.domain = domain
    cohort = domain.makeCohort()
  }

  deinit {
    // Reclaimers use the pool.
    let outcome = domain.barrier(cohort: cohort, timeout: .seconds(60))
    precondition(outcome == .settled, "nodes are held at the end: \(outcome)")
  }

  /// Memory for a node; nil if all are in use. Not by an isolated CPU, which must not reclaim.
  func take() -> UnsafeMutableRawPointer? {
    if let node = unsafe pool.pop() { return unsafe node }
    domain.reclaim()
    return unsafe pool.pop()
  }

  /// Gives back what has been linked nowhere.
  func giveBack(_ node: UnsafeMutableRawPointer) { unsafe pool.push(node) }

  /// Gives back what has been unlinked, when no reader uses it any more.
  func retire(_ node: UnsafeMutableRawPointer) {
    // Not retained: the end of its owner waits for the cohort.
    let context = unsafe Unmanaged.passUnretained(memory).toOpaque()
    unsafe domain.retire(node, context: context, cohort: cohort) { node, context in
      let memory = unsafe Unmanaged<Memory>.fromOpaque(context.unsafelyUnwrapped)
        .takeUnretainedValue()
      // Whoever still uses it finds out.
      unsafe node.initializeMemory(as: UInt8.self, repeating: 0xdd, count: memory.byteCount)
      unsafe memory.pool.push(node)
    }
  }

  /// Waits until everything that was retired is back; then tells how many nodes are not in use, by
  /// taking all of them. Nobody else uses the structure meanwhile.
  func countFree() -> Int {
    guard domain.barrier(cohort: cohort, timeout: .seconds(60)) == .settled else { return -1 }
    var taken: Set<UInt> = []
    while let node = unsafe pool.pop() {
      let isNew = taken.insert(UInt(bitPattern: node)).inserted
      precondition(isNew, "a node was in the pool twice")
    }
    for node in taken {
      unsafe pool.push(UnsafeMutableRawPointer(bitPattern: node).unsafelyUnwrapped)
    }
    return taken.count
  }
}
