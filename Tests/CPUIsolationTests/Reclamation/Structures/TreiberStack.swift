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
  let cohort: HazardCohort

  init(_ domain: HazardDomain) {
    self.domain = domain
    cohort = domain.makeCohort()
  }

  deinit { while pop() != nil {} }

  func push(_ value: Int) {
    let node = UnsafeMutablePointer<Node>.allocate(capacity: 1)
    unsafe node.initialize(to: Node(value: value))
    var expected = head.load()
    while true {
      unsafe node.pointee.next.store(expected)
      let (exchanged, original) = unsafe head.compareExchange(
        expected: expected, desired: .init(node))
      if exchanged { return }
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
      unsafe domain.retire(UnsafeMutableRawPointer(node), cohort: cohort) { address, _ in
        let node = unsafe address.assumingMemoryBound(to: Node.self)
        unsafe node.deinitialize(count: 1)
        unsafe node.deallocate()
      }
      return value
    }
  }
}
