// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

/// What Documentation/Probes.md shows.
@Suite("The article on probes")
struct ProbeArticleTests {
  enum Router {
    static let lookUp = ProbePoint<(UInt64, Int)>("router.lookUp", "key", "length")

    static func route(_ key: UInt64, length: Int) -> UInt64 {
      lookUp.measure(key, length) { key % 16 }
    }
  }

  @Test("latency and counts of a point")
  func example() throws {
    let registry = ProbeRegistry.shared
    _ = Router.route(1, length: 1)
    let long = try registry.attach(.latency, to: "router.lookUp", filter: "length > 100")
    let all = try registry.attach(.count, toAll: "router.*")
    for key in 0..<1000 { _ = Router.route(UInt64(key), length: key) }
    print(registry.summary)
    registry.remove(all + [long])
    #expect(long.hits == 899)
    #expect(long.filtered == 101)
    #expect(all.map(\.hits) == [1000])
  }

  @Test("a histogram of an argument, hit by address")
  func address() throws {
    let registry = ProbeRegistry.shared
    let code = try ProbeRegistry.AddressTable()
    let parser: UInt64 = 7
    _ = code.insert(ProbePoint<Int>("parser.begin", "length"), at: 0x40, of: parser)
    _ = code.map(parser, over: 0x7000_0000..<0x7000_2000)
    let lengths = try code.attach(.values(of: "length"), at: 0x40, of: parser)
    code.hit(at: 0x7000_0040, 17)
    print(lengths.histogram!.percentile(50))
    registry.remove([lengths])
    #expect(lengths.hits == 1)
    #expect(lengths.histogram?.percentile(50) == 17)
  }
}
