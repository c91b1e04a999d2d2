// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

extension HotPathTests {
  /// Looking up what is mapped: a hit, a miss, and the flush in between.
  @Suite struct Translations {
    private func space() throws -> AddressSpace {
      var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
      configuration.pinning = .none
      let space = try AddressSpace(
        try Coordinator(configuration), AddressSpace.Options(pages: 1 << 20))
      for page in 0..<64 as Range<UInt64> { #expect(try space.map(page, to: page + 1) == .mapped) }
      return space
    }

    @Test func hits() throws {
      let space = try space()
      let cpu = try space.coordinator.attach(to: 1)
      let translations = space.open(on: cpu)
      var sum: UInt64 = 0
      for page in 0..<64 as Range<UInt64> { sum &+= translations.lookUp(page, on: cpu) ?? 0 }
      let fills = space.statistics(of: 1).fills
      Counting.expectFree(.nothingInRelease) {
        for page in 0..<64 as Range<UInt64> { sum &+= translations.lookUp(page, on: cpu) ?? 0 }
      }
      #expect(sum > 0)
      // They were hits.
      #expect(space.statistics(of: 1).fills == fills)
    }

    @Test func missesAndFlushes() throws {
      let space = try space()
      let coordinator = space.coordinator
      let cpu = try coordinator.attach(to: 1)
      let translations = space.open(on: cpu)
      let sender = try coordinator.makeSender()
      let log = try FlushLog()
      let cache = try TranslationCache<UInt64, UInt64>(entries: 64, of: log)
      var sum: UInt64 = 0
      // Not mapped, so never cached: each one walks the table.
      Counting.expectFree(.nothingInRelease) { sum &+= translations.lookUp(4711, on: cpu) ?? 1 }
      Counting.expectFree(.nothingInRelease) {
        cpu.enterUser()
        sender.send(space.flushRangeWork, to: 1)
        sender.send(space.flushAllWork, to: 1)
        cpu.enterKernel()
        sum &+= translations.lookUp(7, on: cpu) ?? 0
      }
      Counting.expectFree(.nothingInRelease) {
        cache.insert(sum, for: 7)
        log.append(6..<9)
        cache.catchUp(with: log)
        sum &+= cache.lookUp(7) ?? 1
      }
      #expect(sum > 0)
      #expect(space.statistics(of: 1).coveredFlushes >= 2000)
    }
  }
}
