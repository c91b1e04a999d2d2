// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("Sync")
struct SyncTests {
  @Test(
    "a bit is set once, and the others stay", arguments: [0, 1, 31, 32, 60, 61, 63] as [UInt64])
  func setBit(index: UInt64) {
    let word = SharedWord(0x8000_0001_0000_0001 & ~(1 << index))
    let before = word.load(ordering: .relaxed)
    let (first, second) = (word.setBit(index), word.setBit(index))
    let after = word.load(ordering: .relaxed)
    #expect(!first && second)
    #expect(after == before | 1 << index)
  }

  @Test("one of many setters of a bit finds it clear")
  func setBitRace() throws {
    final class Word: Sendable { let word = SharedWord(0) }
    for round in 0..<50 as Range<UInt64> {
      let shared = Word()
      let winners = Counter()
      let steps = (0..<3).map { _ in
        PlainThread.start { if !shared.word.setBit(round) { winners.increment() } }
      }
      for step in steps { try step.value() }
      #expect(winners.value == 1)
    }
  }

  @Test("counting wraps, and a maximum only rises")
  func counters() {
    let word = SharedWord(.max)
    word.countOne()
    let wrapped = word.load(ordering: .relaxed)
    word.raise(to: 7)
    word.raise(to: 3)
    let raised = word.load(ordering: .relaxed)
    #expect(wrapped == 0)
    #expect(raised == 7)
  }

  @Test("a thread that is no CPU has no slot")
  func currentThread() throws {
    let hasSlot = PlainThread.start { CurrentThread.cpu != nil }
    #expect(try !hasSlot.value())
  }
}
