// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

/// What Documentation/Probes.md shows.
@Suite("The article on probes")
struct ProbeArticleTests {
  enum Router {
    static let lookUp = ProbePoint<UInt64, Int>("router.lookUp", "key", "length")

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
}
