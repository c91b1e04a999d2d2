// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

/// The rings by themselves: what is kept, what is lost, and that both are told.
@Suite struct TraceRingTests {
  private final class Memory {
    let memory: MappedMemory
    let ring: TraceRing

    init(events: Int, isShared: Bool, payloadWords: Int = 6) throws {
      memory = try MappedMemory(
        byteCount: TraceRing.byteCount(events: events, payloadWords: payloadWords))
      ring = TraceRing(
        base: memory.address, mask: UInt64(events - 1), payloadWords: payloadWords,
        isShared: isShared)
    }

    @discardableResult
    func write(_ values: [UInt64], at time: UInt64) -> Bool {
      var values = values
      let count = values.count
      return unsafe values.withUnsafeMutableBufferPointer {
        unsafe ring.write(Table($0.baseAddress!), words: count, at: time)
      }
    }

    var snapshot: Tracer.Snapshot.Ring { ring.snapshot(cpu: 0) { $0 } }

    var firstWords: [UInt64] {
      snapshot.events.map { event in
        unsafe event.payload.withUnsafeBytes { unsafe $0.loadUnaligned(as: UInt64.self) }
      }
    }
  }

  @Test(arguments: [false, true])
  func keepsWhatFits(isShared: Bool) throws {
    let memory = try Memory(events: 8, isShared: isShared)
    #expect(memory.snapshot.events.isEmpty)
    for value in 1...8 as ClosedRange<UInt64> { memory.write([value, 0, value], at: value) }
    let snapshot = memory.snapshot
    #expect(snapshot.lost == 0)
    #expect(snapshot.events.map(\.timestamp) == Array(1...8))
    #expect(snapshot.events.allSatisfy { $0.payload.count == 24 && $0.lostBefore == 0 })
    #expect(memory.firstWords == Array(1...8))
  }

  @Test(arguments: [false, true])
  func overwritesItsOldestAndCountsIt(isShared: Bool) throws {
    let memory = try Memory(events: 4, isShared: isShared)
    for value in 1...11 as ClosedRange<UInt64> { memory.write([value], at: value) }
    let snapshot = memory.snapshot
    #expect(snapshot.lost == 7)
    #expect(snapshot.events.first?.lostBefore == 7)
    #expect(snapshot.events.dropFirst().allSatisfy { $0.lostBefore == 0 })
    #expect(memory.firstWords == [8, 9, 10, 11])
  }

  /// A slot that a writer holds is not waited for: the event is given up, and the gap is told.
  @Test(arguments: [false, true])
  func givesUpWhatMeetsABusySlot(isShared: Bool) throws {
    let memory = try Memory(events: 4, isShared: isShared)
    for value in 1...4 as ClosedRange<UInt64> { memory.write([value], at: value) }
    // As if a writer had stopped in the second slot: its stamp says busy.
    let stamp = unsafe Place<SharedWord>(memory.ring.base + 128 + 8 * 8)
    let before = stamp.value.load(ordering: .relaxed)
    stamp.value.store(before | 1, ordering: .relaxed)
    #expect(memory.write([5], at: 5))
    #expect(!memory.write([6], at: 6))
    #expect(memory.write([7], at: 7))
    #expect(memory.firstWords == [4, 5, 7])
    let snapshot = memory.snapshot
    #expect(snapshot.events.map(\.lostBefore) == [3, 0, 1])
    #expect(snapshot.lost == 4)
  }

  /// A writer that took its position long ago does not overwrite a newer event.
  @Test func aLateWriterGivesUp() throws {
    let memory = try Memory(events: 2, isShared: true)
    for value in 1...2 as ClosedRange<UInt64> { memory.write([value], at: value) }
    // Back to position 1, as a thread that slept since would be.
    let next = unsafe Place<SharedWord>(memory.ring.base)
    next.value.store(0, ordering: .relaxed)
    #expect(memory.write([9], at: 9))
    next.value.store(4, ordering: .relaxed)
    #expect(memory.write([10], at: 10))
    next.value.store(2, ordering: .relaxed)
    #expect(!memory.write([11], at: 11))
  }

  @Test func timesOfARingDoNotGoBack() throws {
    let memory = try Memory(events: 4, isShared: false)
    for time in [5, 9, 7, 8] as [UInt64] { memory.write([time], at: time) }
    #expect(memory.snapshot.events.map(\.timestamp) == [5, 9, 9, 9])
  }
}
