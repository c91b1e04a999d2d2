// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// A hash map of many threads, with a sorted chain per bucket: M. Michael, "High Performance Dynamic
/// Lock-Free Hash Tables and List-Based Sets", SPAA 2002.
///
///     var walk = HashMap.Walk(through: map)  // once per thread
///     walk.insert(4711, for: 1)
///     walk.value(for: 1)
///
/// A node whose `next` is marked has been taken out, and nothing is put after it any more; whoever
/// comes by unlinks it, and whoever unlinks it retires it.
@safe
final class HashMap: Sendable {
  struct Node: ~Copyable {
    let key: Int
    let value: Int
    let next = HazardLink<Node>()
  }

  // Unchecked: constant, and the nodes' links are atomic.
  nonisolated(unsafe) private let buckets: UnsafeMutablePointer<Node>
  private let mask: Int
  let domain: HazardDomain
  let nodes: PooledNodes
  /// What a test has happen where it matters that others get in.
  let pause: @Sendable () -> Void

  /// - Parameter bucketCount: A power of two.
  init(
    _ domain: HazardDomain, bucketCount: Int, capacity: Int,
    pause: @escaping @Sendable () -> Void = {}
  ) throws {
    self.domain = domain
    self.pause = pause
    nodes = try PooledNodes(Node.self, capacity: capacity, in: domain)
    mask = bucketCount - 1
    unsafe buckets = .allocate(capacity: bucketCount)
    for index in 0..<bucketCount {
      unsafe (buckets + index).initialize(to: Node(key: .min, value: 0))
    }
  }

  deinit {
    // Nobody walks any more: a walk keeps the map.
    for index in 0...mask {
      var next = unsafe buckets[index].next.load().node
      while let node = unsafe next {
        unsafe next = unsafe node.pointee.next.load().node
        unsafe nodes.giveBack(UnsafeMutableRawPointer(node))
      }
    }
    unsafe buckets.deinitialize(count: mask + 1)
    unsafe buckets.deallocate()
  }

  /// The node before a key's chain, which is never taken out.
  func bucket(of key: Int) -> UnsafeMutablePointer<Node> {
    // Fibonacci hashing, as for the scanner's addresses.
    let hash = UInt(bitPattern: key) &* 0x9e37_79b9_7f4a_7c15
    return unsafe buckets + (Int(truncatingIfNeeded: hash >> 32) & mask)
  }
}
