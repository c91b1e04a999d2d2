// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolationTrace

/// The pages of a ring buffer.
@Suite struct TracePageTests {
  private struct Event: Equatable {
    var timestamp: UInt64
    var payload: [UInt8]
    var loss: TraceLoss?
  }

  private func events(
    of encoder: TracePageEncoder, _ layout: TracePageLayout
  ) throws -> [Event] {
    let source = TraceSource(bytes: encoder.pages, name: "test")
    var stream = TraceStream(
      TracePages(source: source, offset: 0, size: source.size, layout: layout), buffer: 0, cpu: 0)
    var events: [Event] = []
    while let timestamp = try stream.advance(), let record = stream.record {
      events.append(
        Event(timestamp: timestamp, payload: Array(record.payload), loss: record.loss))
    }
    return events
  }

  /// What goes in comes out, whatever the distances in time, lengths, losses and sizes of pages.
  @Test(arguments: [(256, 8), (256, 4), (4096, 8), (65536, 8)])
  func roundTrip(pageSize: Int, longSize: Int) throws {
    let layout = TracePageLayout(pageSize: pageSize, longSize: longSize)
    var generator = SeededGenerator(state: UInt64(pageSize + longSize))
    var encoder = TracePageEncoder(layout: layout)
    var expected: [Event] = []
    var time: UInt64 = 1 << 40
    for _ in 0..<2_000 {
      var loss: TraceLoss?
      switch UInt.random(in: 0..<40, using: &generator) {
      case 0: time &-= UInt64.random(in: 0..<1 << 39, using: &generator)
      case 1: time &+= UInt64.random(in: 0..<1 << 58, using: &generator)
      case 2: time = UInt64.random(in: 0...UInt64.max, using: &generator)
      case 3: time &+= 1 << 27
      case 4: time &+= 1 << 27 - 1
      case 5: loss = .events(UInt64.random(in: 1..<1 << 31, using: &generator))
      case 6: loss = .unknown
      case 7: break
      default: time &+= UInt64.random(in: 0..<1 << 20, using: &generator)
      }
      let limit = min(TracePageEncoder.maximumPayload(layout), 600)
      let length = UInt.random(in: 0..<8, using: &generator) == 0 ? limit : 40
      let words = Int.random(in: 1...length / 4, using: &generator)
      let payload = (0..<words * 4).map { _ in UInt8.random(in: 0...255, using: &generator) }
      if let loss { encoder.lose(loss) }
      encoder.append(timestamp: time, payload: payload)
      expected.append(Event(timestamp: time, payload: payload, loss: loss))
    }
    #expect(encoder.pages.count % pageSize == 0)
    #expect(try events(of: encoder, layout) == expected)
  }

  /// A payload that is no whole number of words has zeros after it.
  @Test func payloadsAreFilledUp() throws {
    let layout = TracePageLayout()
    var encoder = TracePageEncoder(layout: layout)
    encoder.append(timestamp: 1, payload: [1, 2, 3, 4, 5])
    #expect(try events(of: encoder, layout).map(\.payload) == [[1, 2, 3, 4, 5, 0, 0, 0]])
  }

  /// Losses that come one after the other are one loss; one without a count takes the count away.
  @Test func lossesAdd() throws {
    let layout = TracePageLayout()
    var encoder = TracePageEncoder(layout: layout)
    encoder.append(timestamp: 1, payload: [0, 0, 0, 0])
    encoder.lose(.events(2))
    encoder.lose(.events(3))
    encoder.append(timestamp: 2, payload: [0, 0, 0, 0])
    encoder.lose(.events(2))
    encoder.lose(.unknown)
    encoder.append(timestamp: 3, payload: [0, 0, 0, 0])
    #expect(try events(of: encoder, layout).map(\.loss) == [nil, .events(5), .unknown])
  }

  /// The kernel fills what it took back, and the rest of a page, with padding.
  @Test func paddingIsSkipped() throws {
    var bytes: [UInt8] = []
    bytes.appendLittleEndian(UInt64(1_000))
    bytes.appendLittleEndian(UInt64(44))
    bytes.appendLittleEndian(UInt32(5 << 5 | 29))  // padding, 5 ns, 12 bytes after the first word
    bytes.appendLittleEndian(UInt32(12))
    bytes.appendZeros(8)
    bytes.appendLittleEndian(UInt32(7 << 5 | 1))  // 7 ns, one word
    bytes.appendLittleEndian(UInt32(0xdead))
    bytes.appendLittleEndian(UInt32(0 << 5 | 29))  // the rest is empty
    bytes.appendLittleEndian(UInt32(0xffff_ffff))
    bytes.appendZeros(256 - bytes.count)
    var page = TracePage()
    try unsafe page.decode(bytes.span.bytes, at: 0, TracePageLayout(pageSize: 256, longSize: 8))
    #expect(page.events.map(\.timestamp) == [1_012])
    #expect(page.events.map(\.payload) == [36..<40])
  }
}

/// The same numbers in every run.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
    return value ^ value >> 31
  }
}
