// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

/// Points with any number of arguments hand on all of them.
@Suite("Arguments of probe points")
struct ProbePointTests {
  private let registry: ProbeRegistry
  /// What hits, beginnings and ends have seen, word by word.
  private let seen = Guarded<[[UInt64]]>([])

  init() throws { registry = try ProbeRegistry(capacity: 16) }

  /// Attaches a function to a point, which notes the arguments, also at the end of a scope.
  private func note(_ name: String) throws {
    let seen = seen
    _ = try registry.attach(
      .call(
        onEntry: { hit in
          let words = (0..<hit.count).map { hit[$0] }
          seen.withLock { $0.append(words) }
        },
        onReturn: { hit in
          let words = (0..<hit.count).map { hit[$0] }
          seen.withLock { $0.append(words) }
        }), to: name)
  }

  private func expect(_ words: [UInt64], _ times: Int) {
    #expect(seen.withLock { $0 } == Array(repeating: words, count: times))
    seen.withLock { $0 = [] }
  }

  @Test("none, one and two")
  func few() throws {
    let none = ProbePoint<Void>("none", in: registry)
    try note("none")
    none.measure {}
    none.end(none.begin())
    expect([], 4)
    let one = ProbePoint<Int8>("one", "a", in: registry)
    try note("one")
    one.measure(-1) {}
    one.end(one.begin(-1))
    expect([.max], 4)
    let two = ProbePoint<(UInt8, Int16)>("two", "a", "b", in: registry)
    try note("two")
    two.measure(255, -2) {}
    two.end(two.begin(255, -2))
    expect([255, .max - 1], 4)
  }

  @Test("three and four")
  func some() throws {
    let three = ProbePoint<(UInt64, Int, UInt32)>("three", "a", "b", "c", in: registry)
    try note("three")
    #expect(three.measure(.max, -3, 4) { 5 } == 5)
    three.end(three.begin(.max, -3, 4))
    expect([.max, .max - 2, 4], 4)
    let four = ProbePoint<(Int, Int, Int, Int)>("four", "a", "b", "c", "d", in: registry)
    try note("four")
    four.measure(1, 2, 3, -1) {}
    four.end(four.begin(1, 2, 3, -1))
    expect([1, 2, 3, .max], 4)
  }

  @Test("five and sixteen")
  func many() throws {
    let five = ProbePoint<(Int, UInt8, Int, Int8, Int)>(
      "five", "a", "b", "c", "d", "e", in: registry)
    try note("five")
    five.measure(1, 2, 3, -1, 5) {}
    five.end(five.begin(1, 2, 3, -1, 5))
    expect([1, 2, 3, .max, 5], 4)
    let sixteen = ProbePoint<
      (
        Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int8
      )
    >(
      "sixteen", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p",
      in: registry)
    try note("sixteen")
    sixteen.measure(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, -1) {}
    expect((1...15).map { UInt64($0) } + [.max], 2)
  }

  @Test("hits without a scope leave out what is for scopes")
  func hits() throws {
    let point = ProbePoint<(Int, Int)>("plain", "a", "b", in: registry)
    let counted = try registry.attach(.count, to: "plain")
    let measured = try registry.attach(.latency, to: "plain")
    let values = try registry.attach(.values(of: "b"), to: "plain", filter: "a == 1")
    point.hit(1, 2)
    point.hit(2, 2)
    point.measure(1, 7) {}
    #expect(counted.hits == 3 && measured.hits == 1 && values.hits == 2 && values.filtered == 1)
    #expect(values.histogram?.percentile(100) == 7)
  }

  @Test("by address: as many as the hit has, and zeros")
  func byAddress() throws {
    let table = try ProbeRegistry.AddressTable(of: registry, capacity: 4, regions: 4)
    let point = ProbePoint<(Int, Int, Int, Int, Int, Int)>(
      "six", "a", "b", "c", "d", "e", "f", in: registry)
    #expect(table.insert(point, at: 8, of: 1) == .inserted)
    #expect(table.map(1, over: 4096..<8192) == .mapped)
    let seen = seen
    _ = try registry.attach(
      .call { hit in
        let words = (0..<hit.count).map { hit[$0] }
        seen.withLock { $0.append(words) }
      }, to: "six")
    #expect(table.hit(at: 4104) == .ran)
    expect([0, 0, 0, 0, 0, 0], 1)
    #expect(table.hit(at: 4104, 1) == .ran)
    expect([1, 0, 0, 0, 0, 0], 1)
    #expect(table.hit(at: 4104, 1, 2) == .ran)
    expect([1, 2, 0, 0, 0, 0], 1)
    #expect(table.hit(at: 4104, 1, 2, 3) == .ran)
    expect([1, 2, 3, 0, 0, 0], 1)
    #expect(table.hit(at: 4104, 1, 2, 3, 4) == .ran)
    expect([1, 2, 3, 4, 0, 0], 1)
    #expect(table.hit(at: 4104, 1, 2, 3, 4, 5, 6) == .ran)
    expect([1, 2, 3, 4, 5, 6], 1)
    #expect(table.hit(at: 5000, 1) == .unknown)
  }
}
