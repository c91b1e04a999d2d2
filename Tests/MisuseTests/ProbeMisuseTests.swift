// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

@Suite("Regions, caches and probes")
struct ProbeMisuseTests {
  @Test("a region map without room, or with too much", arguments: [0, -1, 4_194_305])
  func capacity(_ capacity: Int) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [capacity] in
      _ = try RegionMap<UInt64>(capacity: capacity)
    }
    result.expect(
      "a region map cannot have room for \(capacity) regions: it takes 1 to 4194304")
  }

  @Test("a value that is too large for a region map")
  func value() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = try RegionMap<InlineArray<7, UInt64>>(capacity: 1)
    }
    result.expect(
      "a region map cannot hold InlineArray<7, UInt64>: it has 56 bytes, and 48 is the most")
  }
}
