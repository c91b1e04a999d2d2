// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Testing

@testable import CPUIsolation

@Suite("ProbeRegistry.AddressTable")
struct ProbeAddressTableTests {
  private typealias Table = ProbeRegistry.AddressTable

  private func registry() throws -> ProbeRegistry { try ProbeRegistry(capacity: 64) }

  @Test("an address leads to its region, to the object and the offset, and to the point")
  func address() throws {
    let registry = try registry()
    let table = try Table(of: registry, capacity: 8, regions: 4)
    let point = ProbePoint<(UInt64, Int)>("parser.begin", "key", "length", in: registry)
    #expect(table.insert(point, at: 0x40, of: 7) == .inserted)
    #expect(table.map(7, over: 0x1000..<0x2000) == .mapped)
    // The second half of the object stands elsewhere.
    #expect(table.map(7, over: 0x9000..<0xa000, from: 0x1000) == .mapped)
    let end = ProbePoint<UInt64>("parser.end", "key", in: registry)
    #expect(table.insert(end, at: 0x1010, of: 7) == .inserted)
    let seen = Guarded<[UInt64]>([])
    try table.attach(
      .call { hit in
        seen.withLock { list in for index in 0..<hit.count { list.append(hit[index]) } }
      },
      at: 0x40, of: 7)
    let count = try table.attach(.count, at: 0x1010, of: 7, filter: "key > 1")
    #expect(table.hit(at: 0x1040, 5 as UInt8, -1 as Int) == .ran)
    #expect(table.hit(at: 0x9010, 1 as UInt64) == .ran)
    #expect(table.hit(at: 0x9010, 2 as UInt64) == .ran)
    #expect(seen.withLock { $0 } == [5, .max])
    #expect(count.hits == 1 && count.filtered == 1)
    // It is the point's probe, wherever it is hit.
    end.hit(3)
    #expect(count.hits == 2)
    #expect(
      table.location(of: 0x9010) == .init(object: 7, offset: 0x1010, pointName: "parser.end"))
    #expect(table.location(of: 0x1001) == .init(object: 7, offset: 1, pointName: nil))
    #expect(table.location(of: 0x3000) == nil)
    #expect(table.pointName(at: 0x40, of: 7) == "parser.begin")
    #expect(table.pointName(at: 0x40, of: 8) == nil)
    // No region, and no point.
    #expect(table.hit(at: 0x3000) == .unknown)
    #expect(table.hit(at: 0x1041) == .unknown)
    #expect(table.unknownHits == 2 && table.undecidedHits == 0)
  }

  @Test("what a hit has not is zero, and what the point has not is not looked at")
  func arguments() throws {
    let registry = try registry()
    let table = try Table(of: registry, capacity: 2, regions: 1)
    let point = ProbePoint<(Int, Int, Int)>("p", "a", "b", "c", in: registry)
    #expect(table.insert(point, at: 0, of: 1) == .inserted)
    #expect(table.map(1, over: 0..<16) == .mapped)
    let seen = Guarded<[UInt64]>([])
    try registry.attach(
      .call { hit in seen.withLock { $0 = [hit[0], hit[1], hit[2], UInt64(hit.count)] } }, to: "p")
    #expect(table.hit(at: 0, 1, 2, 3, 4, 5) == .ran)
    #expect(seen.withLock { $0 } == [1, 2, 3, 3])
    #expect(table.hit(at: 0, 9) == .ran)
    #expect(seen.withLock { $0 } == [9, 0, 0, 3])
    #expect(table.hit(at: 0) == .ran)
    #expect(seen.withLock { $0 } == [0, 0, 0, 3])
  }

  @Test("an object that goes and comes again elsewhere keeps its points")
  func moving() throws {
    let registry = try registry()
    let table = try Table(of: registry, capacity: 2, regions: 2)
    let point = ProbePoint<UInt64>("p", "key", in: registry)
    #expect(table.insert(point, at: 8, of: 3) == .inserted)
    let probe = try table.attach(.count, at: 8, of: 3)
    #expect(table.hit(at: 108, 1) == .unknown)
    #expect(table.map(3, over: 100..<200) == .mapped)
    #expect(table.map(4, over: 150..<250) == .overlaps(100..<200))
    #expect(table.map(4, over: 300..<300) == .empty)
    #expect(table.hit(at: 108, 1) == .ran)
    #expect(table.unmap(at: 199) == 100..<200)
    #expect(table.unmap(at: 199) == nil)
    #expect(table.hit(at: 108, 1) == .unknown)
    #expect(table.map(3, over: 1000..<1100) == .mapped)
    #expect(table.hit(at: 1008, 1) == .ran)
    #expect(probe.hits == 2)
    #expect(table.map(5, over: 0..<1) == .mapped)
    #expect(table.map(6, over: 1..<2) == .full)
  }

  @Test("places are found whatever came and went before, to the last that there is room for")
  func filling() throws {
    let registry = try ProbeRegistry(capacity: 64)
    let table = try Table(of: registry, capacity: 20, regions: 1)
    let points = (0..<40).map { ProbePoint<UInt64>("p\($0)", "key", in: registry) }
    var random = SystemRandomNumberGenerator()
    var there: [UInt64: Int] = [:]
    for _ in 0..<2000 {
      let offset = UInt64.random(in: 0..<60, using: &random)
      if let known = there[offset] {
        #expect(table.insert(points[0], at: offset, of: 1) == .occupied)
        #expect(table.pointName(at: offset, of: 1) == "p\(known)")
        #expect(table.remove(at: offset, of: 1) == .removed)
        there[offset] = nil
      } else {
        let number = Int.random(in: 0..<40, using: &random)
        let outcome = table.insert(points[number], at: offset, of: 1)
        #expect(outcome == (there.count < 20 ? .inserted : .full))
        if outcome == .inserted { there[offset] = number }
      }
      #expect(table.count == there.count)
    }
    for offset in 0..<60 as Range<UInt64> {
      #expect(table.pointName(at: offset, of: 1) == there[offset].map { "p\($0)" })
      // Twice is as good as once.
      #expect(table.remove(at: offset, of: 1) == .removed)
      #expect(table.remove(at: offset, of: 1) == .removed)
    }
    #expect(table.count == 0)
    // Nothing is left of them that searches would have to pass.
    let entries = 0...table.places.header.mask
    #expect(entries.allSatisfy { table.places.entry($0)[0].load(ordering: .relaxed) == 0 })
  }

  @Test("a removal waits for a hit that found the place, and its entry is not used before")
  func removalWaits() throws {
    let registry = try registry()
    let table = try Table(of: registry, capacity: 1, regions: 1)
    let point = ProbePoint<UInt64>("p", "key", in: registry)
    let other = ProbePoint<UInt64>("q", "key", in: registry)
    #expect(table.insert(point, at: 0, of: 1) == .inserted)
    #expect(table.map(1, over: 0..<100) == .mapped)
    let (isInside, mayLeave) = (Flag(), Flag())
    try registry.attach(
      .call { _ in
        isInside.raise()
        while !mayLeave.isRaised { sched_yield() }
      }, to: "p")
    let hitting = PlainThread.start { table.hit(at: 0, 1 as UInt64) }
    #expect(eventually { isInside.isRaised })
    #expect(table.remove(at: 0, of: 1, timeout: .milliseconds(20)) == .timedOut)
    // Nobody finds it any more, though.
    #expect(table.hit(at: 0, 1 as UInt64) == .unknown)
    // Two entries, and the other one is free.
    #expect(table.insert(other, at: 1, of: 1) == .inserted)
    #expect(table.remove(at: 1, of: 1, timeout: .zero) == .timedOut)
    #expect(table.insert(other, at: 2, of: 1) == .full)
    mayLeave.raise()
    #expect(try hitting.value() == .ran)
    #expect(table.remove(at: 1, of: 1) == .removed)
    #expect(table.insert(other, at: 2, of: 1) == .inserted)
    #expect(table.hit(at: 2, 1 as UInt64) == .ran)
  }

  @Test("a hit inside a probe's function runs nothing, and its point counts it")
  func nested() throws {
    let registry = try registry()
    let table = try Table(of: registry, capacity: 2, regions: 1)
    let point = ProbePoint<UInt64>("p", "key", in: registry)
    #expect(table.insert(point, at: 0, of: 1) == .inserted)
    #expect(table.map(1, over: 0..<2) == .mapped)
    let outcomes = Guarded<[Table.HitOutcome]>([])
    try registry.attach(
      .call { _ in
        let inner = [table.hit(at: 0, 1 as UInt64), table.hit(at: 1)]
        outcomes.withLock { $0 = inner }
      }, to: "p")
    #expect(table.hit(at: 0, 1 as UInt64) == .ran)
    #expect(outcomes.withLock { $0 } == [.nested, .unknown])
    #expect(registry.nestedHits == 1)
    // After the end of the registry a hit runs nothing, and is counted as late.
    registry.close()
    #expect(table.hit(at: 0, 1 as UInt64) == .ran)
    #expect(registry.lateHits == 1)
  }

  @Test("what is wrong is told, and changes nothing")
  func refusals() throws {
    let registry = try ProbeRegistry(capacity: 1)
    let table = try Table(of: registry, capacity: 4, regions: 1)
    _ = ProbePoint<UInt64>("p", "key", in: registry)
    // The registry had no room for it: nothing can be attached there, ever.
    let refused = ProbePoint<UInt64>("q", "key", in: registry)
    #expect(table.insert(refused, at: 0, of: 1) == .full)
    #expect(throws: IsolationError.self) { try table.attach(.count, at: 0, of: 1) }
    do throws(IsolationError) {
      try table.attach(.count, at: 64, of: 9)
    } catch {
      #expect(error.code == .noSuchProbePoint)
      #expect("\(error)".contains("offset 64 of object 9"))
    }
    #expect(table.count == 0)
  }
}
