// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

/// What Documentation/Reclamation.md shows: every piece of Swift on the page stands here, line by line.
@Suite("The article on reclamation")
struct ReclamationArticleTests {
  private final class RoutingTable: Sendable {
    let hops = [7]
  }

  private struct Node: ~Copyable {
    let value: Int
  }

  private struct Buffer: ~Copyable, Sendable {
    var bytes: UInt64 = 0
    mutating func fill() { bytes = 0xff }
  }

  @Test("one object that everybody reads")
  func reference() throws {
    let coordinator = try Coordinator(.scripted())
    let domain = try coordinator.makeHazardDomain()
    let routes = ProtectedReference(RoutingTable(), in: domain)
    #expect(routes.withObject { table in table.hops } == [7])
    routes.replace(with: RoutingTable())
    #expect(domain.barrier(timeout: .seconds(20)) == .settled)
    #expect(domain.counts.reclaimed == 1)
  }

  @Test("what goes with an object, and how much may wait")
  func bytes() throws {
    let coordinator = try Coordinator(.scripted())
    let table = RoutingTable()
    let domain = try coordinator.makeHazardDomain(maximumBytes: 256 << 20)
    let routes = ProtectedReference(RoutingTable(), in: domain)
    routes.replace(with: table, freeing: 100 << 20)
    #expect(domain.barrier(timeout: .seconds(20)) == .settled)
  }

  @Test("a lock-free structure, and its end")
  func structure() throws {
    let domain = try HazardDomain(reclamation: .explicit)
    let cohort = domain.makeCohort()
    let head = HazardLink<Node>()
    let node = UnsafeMutablePointer<Node>.allocate(capacity: 1)
    unsafe node.initialize(to: Node(value: 5))
    unsafe head.store(.init(node))
    let value = domain.withProtected(head) { node in node.value }
    #expect(value == 5)
    if let old = unsafe head.exchange(.init(nil)).node {
      unsafe domain.retire(UnsafeMutableRawPointer(old), cohort: cohort) { address, _ in
        unsafe address.deallocate()
      }
    }
    var isOver = false
    if domain.barrier(cohort: cohort, timeout: .seconds(1)) == .settled {
      isOver = true
    } else {
      print(domain.obstacles(to: cohort))  // thread 4711 protects the object at 0x…
    }
    #expect(isOver)
  }

  @Test("memory for paths that must not allocate")
  func pool() throws {
    let buffers = try ObjectPool(capacity: 64) { _ in Buffer() }
    let local = buffers.register()!  // once per thread
    if var buffer = local.pop() {
      buffer.element.fill()
      local.push(buffer)  // or let it go out of scope: it finds its way back
    }
    #expect(local.pop()?.element.bytes == 0xff)
    #expect(buffers.statistics.total.pops == 2)
  }

  private struct Order: Sendable, Equatable { var number: Int }

  @Test("calls that carry something")
  func messages() throws {
    let coordinator = try Coordinator(.scripted(isolated: 1))
    let booked = Journal<Order>()
    @Sendable func book(_ order: Order, on cpu: Int) { booked.append(order) }
    let cpu = try ScriptedThread(coordinator, on: 1)
    let order = Order(number: 7)
    let orders = try CrossCallPool(coordinator, of: Order.self, capacity: 256) { order, cpu in
      book(order, on: cpu)
    }
    orders.post(order, on: 1)  // .queued, or .busy while all 256 are under way
    try cpu.safePoint()
    #expect(booked.entries == [order])
    try cpu.end()
  }
}
