// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

extension HotPathTests {
  /// Protecting and releasing: no allocation, and no reference count.
  @Suite struct Hazards {
    private final class Table: Sendable {
      let version = 3
    }
    private struct Node: ~Copyable {
      let value: Int
    }

    /// Everything that a reader does, by any fence.
    private func expectFree(_ domain: HazardDomain) {
      let node = UnsafeMutablePointer<Node>.allocate(capacity: 1)
      unsafe node.initialize(to: Node(value: 2))
      let link = unsafe HazardLink<Node>(node)
      let reference = ProtectedReference(Table(), in: domain)
      var hazard = HazardPointer(in: domain)
      var sum = 0
      Counting.expectFree { sum &+= domain.withProtected(link) { $0.value } ?? 0 }
      Counting.expectFree { sum &+= hazard.withProtected(link) { $0.value } ?? 0 }
      Counting.expectFree { sum &+= reference.withObject { $0.version } }
      Counting.expectFree { sum &+= reference.withObject(using: &hazard) { $0.version } }
      Counting.expectFree {
        if let node = unsafe hazard.acquire(link).node { sum &+= unsafe node.pointee.value }
        var expected = link.load()
        if hazard.tryProtect(&expected, in: link) { sum &+= 1 }
        hazard.reset()
      }
      #expect(sum > 10_000)
      unsafe node.deinitialize(count: 1)
      unsafe node.deallocate()
    }

    /// What the system offers: it may refuse membarriers.
    private static let fences: [HazardDomain.Fence] =
      (try? HazardDomain(fence: .membarrier)) == nil ? [.full] : [.full, .membarrier]

    @Test(arguments: fences)
    func byFence(_ fence: HazardDomain.Fence) throws {
      expectFree(try HazardDomain(fence: fence, reclamation: .explicit))
    }

    @Test func byTransition() throws {
      var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
      configuration.pinning = .none
      let coordinator = try Coordinator(configuration)
      let domain = try coordinator.makeHazardDomain(reclamation: .explicit)
      let local = try coordinator.attach(to: 1)
      expectFree(domain)
      local.inUser { expectFree(domain) }
      local.detach()
      expectFree(domain)
    }
  }
}
