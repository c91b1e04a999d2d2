// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

extension HotPathTests {
  /// Regions, caches and points: what threads do that nobody may disturb.
  @Suite struct Probes {
    @Test func regionLookups() throws {
      let map = try RegionMap<UInt64>(capacity: 1000)
      for index in 0..<1000 as Range<UInt64> {
        #expect(map.insert(index, over: index * 16..<index * 16 + 8) == .inserted)
      }
      var sum: UInt64 = 0
      let before = map.statistics
      Counting.expectFree(.nothingInRelease) {
        sum &+= map.lookUpSpeculatively(160)?.value ?? 0
        sum &+= map.lookUp(7 * 16)?.value ?? 0
      }
      // The locked path allocates nothing either.
      Counting.expectFree(.nothingInRelease) { sum &+= map.lookUp(9)?.value ?? 1 }
      #expect(sum > 0)
      let after = map.statistics
      #expect(after.hits >= before.hits + 2000 && after.locked >= before.locked + 1000)
    }

    @Test func cachedLookups() throws {
      var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
      configuration.pinning = .none
      let coordinator = try Coordinator(configuration)
      let cache = try LookupCache<UInt64, UInt64>(coordinator, "numbers")
      let cpu = try coordinator.attach(to: 1)
      let local = cache.open(on: cpu)
      var sum: UInt64 = 0
      Counting.expectFree(.nothingInRelease) {
        for key in 0..<16 as Range<UInt64> {
          sum &+= local.lookUp(key, on: cpu, orIn: { $0 &+ 1 }) ?? 0
        }
        sum &+= cache.lookUp(99, orIn: { $0 }) ?? 0
      }
      #expect(sum > 0)
      #expect(cache.statistics(of: 1).fills >= 16)
      cpu.detach()
    }

    @Test func hits() throws {
      let registry = try ProbeRegistry(capacity: 8)
      let point = ProbePoint<(UInt64, Int)>("point", "key", "length", in: registry)
      Counting.expectFree(.nothingInRelease) { point.hit(7, -7) }
      let probes =
        [
          try registry.attach(.count, to: "point", filter: "key != 5"),
          try registry.attach(.counts(by: "key"), to: "point"),
          try registry.attach(.values(of: "length"), to: "point"),
          try registry.attach(.latency, to: "point"),
        ]
      Counting.expectFree(.nothingInRelease) {
        point.hit(7, -7)
        point.hit(5, 3)
        point.measure(8, 1) {}
      }
      for probe in probes { #expect(probe.hits >= 2000, "\(probe)") }
      registry.remove(probes)
    }
  }
}
