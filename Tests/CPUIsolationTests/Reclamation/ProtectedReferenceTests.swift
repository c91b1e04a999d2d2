// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("ProtectedReference")
struct ProtectedReferenceTests {
  final class Table: Sendable {
    let version: Int
    let ended: Counter
    init(_ version: Int, _ ended: Counter) { (self.version, self.ended) = (version, ended) }
    deinit { ended.increment() }
  }

  let domain: HazardDomain
  let ended = Counter()

  init() throws { domain = try HazardDomain(reclamation: .explicit) }

  @Test("readers find the current object; the old one ends when the last reader has gone")
  func replaces() {
    let reference = ProtectedReference(Table(1, ended), in: domain)
    reference.withObject { table in
      #expect(table.version == 1)
      reference.replace(with: Table(2, ended))
      domain.reclaim()
      #expect(ended.value == 0)
      #expect(table.version == 1)
      #expect(reference.withObject { $0.version } == 2)
    }
    domain.reclaim()
    #expect(ended.value == 1)
  }

  @Test("a body may keep the object, by a reference of its own")
  func keeps() {
    let reference = ProtectedReference(Table(1, ended), in: domain)
    var kept: Table? = reference.withObject { $0 }
    reference.replace(with: Table(2, ended))
    domain.reclaim()
    #expect(ended.value == 0)
    #expect(kept?.version == 1)
    kept = nil
    #expect(ended.value == 1)
  }

  @Test("the last object ends with the reference")
  func ends() {
    do {
      let reference = ProtectedReference(Table(1, ended), in: domain)
      #expect(reference.withObject { $0.version } == 1)
    }
    #expect(ended.value == 1)
    #expect(domain.counts.retired == 0)
  }

  @Test("errors come through")
  func throwing() {
    struct Stop: Error {}
    let reference = ProtectedReference(Table(1, ended), in: domain)
    #expect(throws: Stop.self) { try reference.withObject { _ throws(Stop) in throw Stop() } }
    reference.replace(with: Table(2, ended))
    #expect(domain.reclaim() == 1)
  }

  @Test("through a holder, over suspensions")
  func holder() async {
    let reference = ProtectedReference(Table(1, ended), in: domain)
    var hazard = HazardPointer(in: domain)
    #expect(reference.withObject(using: &hazard) { $0.version } == 1)
    let version = await reference.withObject(using: &hazard) { table in
      reference.replace(with: Table(2, ended))
      for _ in 0..<20 {
        await Task.yield()
        domain.reclaim()
      }
      #expect(ended.value == 0)
      return table.version
    }
    #expect(version == 1)
    domain.reclaim()
    #expect(ended.value == 1)
  }

  @Test("in the shared domain by default")
  func shared() {
    let reference = ProtectedReference(Table(1, ended))
    reference.replace(with: Table(2, ended))
    #expect(HazardDomain.shared.barrier(timeout: .seconds(20)) == .settled)
    #expect(ended.value == 1)
  }
}
