// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// A stack of many threads: R. K. Treiber, "Systems Programming: Coping with Parallelism", 1986, on
/// hazard pointers, which keep a node from being reused while somebody compares with it.
final class TreiberStack: Sendable {
  private struct Node: ~Copyable {
    let value: Int
    let next = HazardLink<Node>()
  }

  private let head = HazardLink<Node>()
  private let domain: HazardDomain
  let nodes: PooledNodes

  init(_ domain: HazardDomain, capacity: Int = 1024) throws {
    self.domain = domain
    nodes = try PooledNodes(Node.self, capacity: capacity, in: domain)
  }

  deinit { while pop() != nil {} }

  /// False if there is no node for it.
  @discardableResult
  func push(_ value: Int) -> Bool {
    guard let memory = unsafe nodes.take() else { return false }
    let node = unsafe memory.bindMemory(to: Node.self, capacity: 1)
    unsafe node.initialize(to: Node(value: value))
    var expected = head.load()
    while true {
      unsafe node.pointee.next.store(expected)
      let (exchanged, original) = unsafe head.compareExchange(
        expected: expected, desired: .init(node))
      if exchanged { return true }
      expected = original
    }
  }

  func pop() -> Int? {
    var hazard = HazardPointer(in: domain)
    while true {
      let top = hazard.protect(head)
      guard let node = unsafe top.node else { return nil }
      let next = unsafe node.pointee.next.load()
      guard head.compareExchange(expected: top, desired: next).exchanged else { continue }
      let value = unsafe node.pointee.value
      hazard.reset()
      unsafe nodes.retire(UnsafeMutableRawPointer(node))
      return value
    }
  }
}
