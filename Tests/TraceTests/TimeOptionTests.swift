// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolationTrace

/// The options that make stamps times, and those that are not known.
@Suite struct TimeOptionTests {
  /// Three events of CPU 0, at 1 s and 3 ms apart.
  private func file(_ options: [(UInt16, [UInt8])], first: UInt64 = 1_000_000_000) throws -> [UInt8]
  {
    var recording = TestRecording.empty(cpuCount: 1)
    for index in 0..<3 as Range<UInt64> {
      recording.append(
        cpu: 0, timestamp: first + index * 3_000_000, event: TestRecording.id("context_user_enter"),
        payload: TestPayload.transition(index, thread: 100))
    }
    return try Version7.file(of: recording, sorted: true, options: options)
  }

  private func times(
    _ options: [(UInt16, [UInt8])], first: UInt64 = 1_000_000_000
  ) throws -> [UInt64] {
    try TraceRecording(bytes: file(options, first: first)).records().map(\.timestamp)
  }

  private static func rate(_ multiplier: UInt32, _ shift: UInt32, offset: UInt64 = 0) -> (
    UInt16, [UInt8]
  ) {
    (
      TraceFileOption.tickRate,
      TestPayload.bytes(multiplier) + TestPayload.bytes(shift) + TestPayload.bytes(offset)
    )
  }

  static func shift(
    _ samples: [(time: UInt64, offset: Int64, scaling: UInt64)], flags: UInt32 = 0,
    fractions: [UInt64] = [], peer: UInt64 = 0x1111
  ) -> (UInt16, [UInt8]) {
    var body = TestPayload.bytes(peer) + TestPayload.bytes(flags) + TestPayload.bytes(UInt32(1))
    body += TestPayload.bytes(UInt32(samples.count))
    body += samples.flatMap { TestPayload.bytes($0.time) }
    body += samples.flatMap { TestPayload.bytes($0.offset) }
    body += samples.flatMap { TestPayload.bytes($0.scaling) }
    body += fractions.flatMap { TestPayload.bytes($0) }
    return (TraceFileOption.timeShift, body)
  }

  @Test func ticksBecomeNanoseconds() throws {
    #expect(
      try times([Self.rate(1_431_655_765, 32, offset: 5)], first: 3_000_000_000)
        == [999_999_999, 1_000_999_999, 1_001_999_999])
    // The product has more than 64 bits.
    #expect(try times([Self.rate(.max, 31)], first: 1 << 62)[0] == UInt64(1) << 63 - 1 << 31)
    #expect(try times([Self.rate(3, 0)]) == [3_000_000_000, 3_009_000_000, 3_018_000_000])
    // No rate at all, and a part of one.
    #expect(try times([Self.rate(0, 32)])[0] == 1_000_000_000)
    #expect(try times([(TraceFileOption.tickRate, [1, 2, 3])])[0] == 1_000_000_000)
  }

  /// A file whose clock counts ticks is of nanoseconds if it says how many a tick is.
  @Test func aRateMakesSeconds() throws {
    var recording = TraceRecording(cpuCount: 1, clock: "x86-tsc")
    recording.define(.contextUserEnter)
    recording.append(
      cpu: 0, timestamp: 9_000, event: TestRecording.id("context_user_enter"),
      payload: TestPayload.transition(1, thread: 3))
    #expect(!recording.buffers[0].countsNanoseconds)
    let read = try TraceRecording(
      bytes: Version7.file(
        of: recording, sorted: true, clock: "x86-tsc", options: [Self.rate(1, 1)]))
    #expect(read.buffers[0].countsNanoseconds)
    #expect(read.reportLines()[1].contains(" 0.000005: "))
  }

  /// As trace-cmd 3.1.6 corrects them: the sample before a time counts, or a line between two.
  @Test(
    arguments: [
      ([(0, 5_000_000, 1)], 0, [], [1_005_000_000, 1_008_000_000, 1_011_000_000]),
      ([(0, -5_000_000, 1)], 0, [], [995_000_000, 998_000_000, 1_001_000_000]),
      ([(0, 0, 2)], 0, [], [1_000_000_000, 1_003_000_000, 1_006_000_000]),
      (
        [(1_000_000_000, 100, 1), (1_002_000_000, 900, 1), (1_004_000_000, 300, 1)], 0, [],
        [1_000_000_100, 1_003_000_900, 1_006_000_900]
      ),
      (
        [(1_000_000_000, 100, 1), (1_002_000_000, 900, 1), (1_004_000_000, 300, 1)], 1, [],
        [1_000_000_100, 1_003_000_601, 1_005_999_701]
      ),
      (
        [(2_000_000_000, 900, 1), (1_500_000_000, 100, 1)], 0, [],
        [1_000_000_100, 1_003_000_100, 1_006_000_100]
      ),
      (
        [(1_000_000_000, 100, 3), (1_004_000_000, 900, 3)], 1, [1, 1],
        [1_500_000_100, 1_504_500_700, 1_509_001_300]
      ),
      (
        [(1_000_000_000, 100, 1), (1_000_000_000, 900, 1)], 1, [],
        [1_000_000_100, 1_003_000_100, 1_006_000_100]
      ),
      ([], 0, [], [1_000_000_000, 1_003_000_000, 1_006_000_000]),
    ] as [([(UInt64, Int64, UInt64)], UInt32, [UInt64], [UInt64])])
  func guestsAreCorrected(
    samples: [(UInt64, Int64, UInt64)], flags: UInt32, fractions: [UInt64], expected: [UInt64]
  ) throws {
    #expect(
      try times([Self.shift(samples.map { ($0.0, $0.1, $0.2) }, flags: flags, fractions: fractions)]
      )
        == expected)
  }

  /// The correction first, then the rate, then what is added.
  @Test func theOrderOfCorrections() throws {
    let options = [
      (TraceFileOption.offset, Array("7\0".utf8)), Self.rate(1, 1), Self.shift([(0, 100, 1)]),
      (TraceFileOption.date, Array("0x2\0".utf8)), (TraceFileOption.offset, Array("-0x10\0".utf8)),
    ]
    #expect(try times(options)[0] == (1_000_000_000 + 100) / 2 + 7 + 2_000 - 16)
    // Written again, in both versions, the times are the same.
    let read = try TraceRecording(bytes: file(options))
    for compression in TraceCompression.allCases {
      let again = try TraceRecording(
        bytes: read.encoded(as: .traceDat, compression: compression).bytes)
      #expect(again.records().map(\.timestamp) == read.records().map(\.timestamp))
    }
    var selection = TraceSelection(read)
    selection.limit = 2
    let part = try TraceRecording(bytes: read.selecting(selection).encoded(as: .traceDat).bytes)
    #expect(part.records().map(\.timestamp) == Array(read.records().map(\.timestamp).prefix(2)))
  }

  @Test func hostsAndGuests() throws {
    let guest =
      Array("build\0".utf8) + TestPayload.bytes(UInt64(0x2222)) + TestPayload.bytes(UInt32(1))
      + TestPayload.bytes(UInt32(0)) + TestPayload.bytes(UInt32(777))
    let recording = try TraceRecording(
      bytes: file([
        (TraceFileOption.traceID, TestPayload.bytes(UInt64(0x1111))),
        (TraceFileOption.guest, guest),
      ]))
    #expect(recording.traceID == 0x1111)
    #expect(recording.guests.map(\.name) == ["build"])
    #expect(recording.guests[0].traceID == 0x2222 && recording.guests[0].threads == [0: 777])
    #expect(recording.warnings.isEmpty)
  }

  /// Each option that is not known is named once; the events are there.
  @Test func unknownOptions() throws {
    let recording = try TraceRecording(
      bytes: file([
        (99, [1]), (99, [2]), (40, []), (TraceFileOption.timeShift, [1, 2]),
        (TraceFileOption.latencyText, [0]),
      ]))
    #expect(
      recording.warnings.map(\.message) == [
        "option 99 is not known here, and not honoured",
        "option 40 is not known here, and not honoured",
        "option TIME_SHIFT ends too early: times are the guest's",
        "the text of a latency tracer is left out",
      ])
    #expect(recording.warnings.allSatisfy { $0.position != nil })
    #expect(recording.records().map(\.timestamp).count == 3)
  }

  /// One instance that leads nowhere costs that instance.
  @Test func danglingInstances() throws {
    let split = try TraceRecording(contentsOf: Fixture.path("dangling-instance.dat"))
    #expect(split.warnings.map(\.message).count == 1)
    #expect(split.warnings[0].message.contains("the instance inst is left out") == true)
    // As trace-cmd has it, a line has room for the name of an instance.
    #expect(split.reportLines()[1].hasPrefix("               app-100   [000] .....     0.001000: "))

    let original = TestRecording.interplay()
    let seven = try TraceRecording(
      bytes: Version7.file(
        of: original, sorted: true, instances: ["left", "gone", "later"], dangling: "gone"))
    #expect(seven.buffers.map(\.name) == ["", "left", "later"])
    #expect(seven.warnings.count == 1)
    #expect(seven.warnings[0].message.contains("the instance gone is left out") == true)
    // Where no buffer is left there is nothing to read.
    #expect(throws: TraceFileError.self) {
      try TraceRecording(bytes: Version7.file(of: original, sorted: true, dangling: ""))
    }
  }
}
