// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

@Suite("Hazard pointers")
struct HazardMisuseTests {
  @Test("an object at an odd address")
  func oddAddress() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let domain = try HazardDomain(reclamation: .explicit)
      unsafe domain.retire(UnsafeMutableRawPointer(bitPattern: 4097)!) { _, _ in }
    }
    result.expect(
      "an object at an odd address cannot be retired: its lowest bit is the mark of links")
  }

  @Test("an object that holds less than nothing")
  func negativeBytes() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      final class Table: Sendable {}
      let domain = try HazardDomain(reclamation: .explicit)
      unsafe domain.retire(instance: .passRetained(Table()), byteCount: -1)
    }
    result.expect("an object cannot hold -1 bytes")
  }

  @Test("an isolated CPU that reclaims")
  func isolated() async {
    let reclaim = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let domain = try coordinator.makeHazardDomain(reclamation: .explicit)
        let local = try coordinator.attach(to: 1)
        domain.reclaim()
        local.detach()
      }
    }
    reclaim.expect("an isolated CPU must not reclaim: reclaimers run on other threads")
    let barrier = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let domain = try coordinator.makeHazardDomain(reclamation: .explicit)
        let local = try coordinator.attach(to: 1)
        local.inUser { _ = domain.barrier() }
        local.detach()
      }
    }
    barrier.expect("an isolated CPU must not wait for a barrier: reclaimers run on other threads")
  }

  @Test("a reference through a holder of another domain")
  func foreignHolder() async {
    final class Table: Sendable {}
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let reference = ProtectedReference(Table(), in: try HazardDomain(reclamation: .explicit))
      var hazard = HazardPointer(in: try HazardDomain(reclamation: .explicit))
      reference.withObject(using: &hazard) { _ in }
    }
    result.expect(
      "withObject: the holder belongs to another domain than the reference")
    let suspending = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent])
    {
      let reference = ProtectedReference(Table(), in: try HazardDomain(reclamation: .explicit))
      var hazard = HazardPointer(in: try HazardDomain(reclamation: .explicit))
      await reference.withObject(using: &hazard) { _ in await Task.yield() }
    }
    suspending.expect(
      "withObject: the holder belongs to another domain than the reference")
  }

  @Test("a reclaimer that waits for its own domain")
  func insideReclaimer() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let domain = try HazardDomain(reclamation: .explicit)
      let context = unsafe Unmanaged.passRetained(domain).toOpaque()
      unsafe domain.retire(
        UnsafeMutableRawPointer.allocate(byteCount: 8, alignment: 8), context: context
      ) {
        _, context in
        _ = unsafe Unmanaged<HazardDomain>.fromOpaque(context!).takeUnretainedValue().barrier()
      }
      domain.reclaim()
    }
    result.expect("a reclaimer must not wait for a barrier: it would wait for itself")
  }
}
