// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

@testable import CPUIsolationTextPatching

extension TextPatchingTests {
  /// The event `text_poke`: that text changes, where, and who wanted it.
  @Suite struct TextPoke {
    @Test func isRecordedForEachSiteThatChanges() throws {
      let coordinator = try Coordinator(.init(housekeeping: [0], isolated: [], watchdog: nil))
      let patcher = try TextPatcher(coordinator: coordinator)
      let first = try patcher.makeSite("first", original: Functions.original)
      let second = try patcher.makeSite("second", original: Functions.original)
      try patcher.patch(first, to: .nop)
      try coordinator.tracer.start(.textPoke)
      try patcher.patch([(first, .nop), (second, .jump(to: Functions.replacement))])
      let snapshot = coordinator.tracer.snapshot()
      let events = snapshot.rings.flatMap(\.events)
      // The first one is what it was: nothing is written there.
      try #require(events.count == 1)
      let words = unsafe events[0].payload.withUnsafeBytes { bytes in
        (0..<4).map { unsafe bytes.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self) }
      }
      #expect(events[0].payload.count == 32)
      #expect(words[1] == second.memory.address(1, second.memory.layout.siteOffset))
      #expect(words[2] == UInt64(NativeCode.siteLength))
      let place = snapshot.symbols.first { $0.addresses.contains(words[3]) }
      #expect(place?.name.hasPrefix("TextPokeTests.swift:") == true)
    }
  }
}
