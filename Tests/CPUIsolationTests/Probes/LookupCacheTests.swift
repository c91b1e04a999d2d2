// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("LookupCache")
struct LookupCacheTests {
  /// A table that counts how often it is asked.
  private final class Table: Sendable {
    let entries = Guarded<[UInt64: UInt32]>([:])
    let asked = Counter()

    func find(_ key: UInt64) -> UInt32? {
      asked.increment()
      return entries.withLock { $0[key] }
    }

    subscript(key: UInt64) -> UInt32? {
      get { entries.withLock { $0[key] } }
      set { entries.withLock { $0[key] = newValue } }
    }
  }

  private func coordinator() throws -> Coordinator {
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1, 2])
    configuration.pinning = .none
    configuration.watchdog = nil
    return try Coordinator(configuration)
  }

  @Test("the table is asked once, and again when the key was invalidated")
  func once() throws {
    let coordinator = try coordinator()
    let table = Table()
    table[5] = 50
    let cache = try LookupCache<UInt64, UInt32>(coordinator, "numbers")
    let cpu = try coordinator.attach(to: 1)
    let local = cache.open(on: cpu)
    for _ in 0..<10 { #expect(local.lookUp(5, on: cpu, orIn: table.find) == 50) }
    #expect(table.asked.value == 1)
    #expect(cache.statistics(of: 1).fills == 1)
    // What is not there is asked for every time.
    for _ in 0..<3 { #expect(local.lookUp(6, on: cpu, orIn: table.find) == nil) }
    #expect(table.asked.value == 4)
    table[5] = 51
    #expect(local.lookUp(5, on: cpu, orIn: table.find) == 50)
    cpu.enterUser()
    let ticket = cache.invalidate([5])
    #expect(ticket.state(of: 1) == .covered)
    #expect(ticket.wait(until: .covered, timeout: .seconds(60)) == .settled)
    cpu.enterKernel()
    #expect(local.lookUp(5, on: cpu, orIn: table.find) == 51)
    #expect(cache.statistics(of: 1).drops == 1)
    cpu.detach()
    try cache.close()
  }

  @Test("many keys at once are dropped together, and all of them are dropped")
  func batches() throws {
    let coordinator = try coordinator()
    let table = Table()
    let cache = try LookupCache<UInt64, UInt32>(coordinator, "numbers", sets: 64, ceiling: 8)
    let cpu = try coordinator.attach(to: 1)
    let local = cache.open(on: cpu)
    for round in 0..<3 as Range<UInt32> {
      for key in 0..<40 as Range<UInt64> { table[key] = UInt32(key) + round }
      for key in 0..<40 as Range<UInt64> {
        #expect(local.lookUp(key, on: cpu, orIn: table.find) == UInt32(key) + round)
      }
      cpu.enterUser()
      if round == 1 { cache.invalidateAll() } else { cache.invalidate(0..<40) }
      cpu.enterKernel()
    }
    #expect(cache.statistics(of: 1).drops == 0)
    // One when it was opened.
    #expect(cache.statistics(of: 1).clears == 4)
    // Single ones, more than the ceiling before the next look.
    cpu.enterUser()
    for key in 0..<9 as Range<UInt64> { cache.invalidate([key]) }
    cpu.enterKernel()
    #expect(cache.statistics(of: 1).clears == 5)
    cpu.detach()
  }

  @Test("keys that look like an empty place are cached as the others", arguments: [2, 512])
  func peculiarKeys(_ sets: Int) throws {
    let coordinator = try coordinator()
    let table = Table()
    let cache = try LookupCache<UInt64, UInt32>(coordinator, "numbers", sets: sets)
    let cpu = try coordinator.attach(to: 1)
    let local = cache.open(on: cpu)
    // A place that nothing is in is none of them.
    let keys: [UInt64] = [0, 1, 2, .max - 1, .max]
    for key in keys { #expect(local.lookUp(key, on: cpu, orIn: table.find) == nil) }
    for (number, key) in keys.enumerated() { table[key] = UInt32(number + 7) }
    for _ in 0..<3 {
      for (number, key) in keys.enumerated() {
        #expect(local.lookUp(key, on: cpu, orIn: table.find) == UInt32(number + 7))
      }
    }
    // The last key of all is found, and never cached: no range ends after it.
    #expect(table.asked.value == 2 * keys.count + 2)
    cpu.enterUser()
    for key in keys {
      table[key] = nil
      cache.invalidate([key])
    }
    cpu.enterKernel()
    for key in keys { #expect(local.lookUp(key, on: cpu, orIn: table.find) == nil) }
    #expect(table.asked.value == 3 * keys.count + 2)
    cpu.detach()
  }

  @Test("in user, in a handler and on a thread that is no CPU the table is asked")
  func elsewhere() throws {
    let coordinator = try coordinator()
    let table = Table()
    table[5] = 50
    let cache = try LookupCache<UInt64, UInt32>(coordinator, "numbers")
    #expect(cache.lookUp(5, orIn: table.find) == 50)
    #expect(cache.lookUp(5, orIn: table.find) == 50)
    #expect(table.asked.value == 2)
    let cpu = try coordinator.attach(to: 1)
    #expect(cache.lookUp(5, orIn: table.find) == 50)
    #expect(cache.lookUp(5, orIn: table.find) == 50)
    #expect(table.asked.value == 3)
    let work = try coordinator.register("asks") { _ in
      #expect(cache.lookUp(5, orIn: table.find) == 50)
    }
    cpu.enterUser()
    #expect(cache.lookUp(5, orIn: table.find) == 50)
    #expect(table.asked.value == 4)
    coordinator.send(work, to: 1)
    cpu.enterKernel()
    #expect(table.asked.value == 5)
    cpu.detach()
  }

  @Test("a thread that attaches finds nothing of its predecessor")
  func attachment() throws {
    let coordinator = try coordinator()
    let table = Table()
    table[5] = 50
    let cache = try LookupCache<UInt64, UInt32>(coordinator, "numbers")
    var cpu = try coordinator.attach(to: 1)
    #expect(cache.open(on: cpu).lookUp(5, on: cpu, orIn: table.find) == 50)
    cpu.detach()
    table[5] = 51
    // Nobody is there to hear of it.
    #expect(cache.invalidate([5]).wait(until: .covered, timeout: .seconds(60)) == .settled)
    cpu = try coordinator.attach(to: 1)
    #expect(cache.open(on: cpu).lookUp(5, on: cpu, orIn: table.find) == 51)
    cpu.detach()
  }

  @Test("after the end the table is asked, whoever has the cache open")
  func close() throws {
    let coordinator = try coordinator()
    let table = Table()
    table[5] = 50
    let cache = try LookupCache<UInt64, UInt32>(coordinator, "numbers")
    let cpu = try coordinator.attach(to: 0)
    let local = cache.open(on: cpu)
    #expect(local.lookUp(5, on: cpu, orIn: table.find) == 50)
    try cache.close()
    try cache.close()
    table[5] = 51
    #expect(local.lookUp(5, on: cpu, orIn: table.find) == 51)
    #expect(cache.lookUp(5, orIn: table.find) == 51)
    #expect(cache.invalidate([5]).report.refusal == .rejected(.unregistered))
    cpu.detach()
  }

  @Test("a set that overflows loses its oldest, and the memory is what the page says")
  func overflow() throws {
    let coordinator = try coordinator()
    let table = Table()
    let cache = try LookupCache<UInt64, UInt32>(coordinator, "numbers")
    // 512 sets of 68 bytes, and the owner's line.
    #expect(abs(cache.byteCountPerCPU - 34 * 1024) <= 384)
    for key in 0..<4096 as Range<UInt64> { table[key] = UInt32(key) }
    let cpu = try coordinator.attach(to: 1)
    let local = cache.open(on: cpu)
    for _ in 0..<3 {
      for key in 0..<4096 as Range<UInt64> {
        #expect(local.lookUp(key, on: cpu, orIn: table.find) == UInt32(key))
      }
    }
    #expect(table.asked.value > 4096 && table.asked.value <= 3 * 4096)
    cpu.detach()
  }
}
