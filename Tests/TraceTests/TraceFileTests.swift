// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation
@testable import CPUIsolationTrace

/// Files that were written and read again.
@Suite struct TraceFileTests {
  private func reread(_ recording: TraceRecording) throws -> TraceRecording {
    let (bytes, damage) = try recording.encoded(as: .traceDat)
    #expect(damage.isEmpty)
    return try TraceRecording(bytes: bytes)
  }

  private func contents(_ recording: TraceRecording) -> [String] {
    recording.records().map {
      let loss = $0.loss.map { "\($0)" } ?? "-"
      return "\($0.timestamp) \($0.cpu) \($0.buffer) \(loss) \(Array($0.payload))"
    }
  }

  /// Version 6 keeps events, losses, formats, symbols and names; writing what was read changes
  /// nothing more.
  @Test func version6RoundTrip() throws {
    let original = TestRecording.manifold()
    let read = try reread(original)
    #expect(contents(read).count == 14)
    #expect(contents(read) == contents(original))
    #expect(read.reportLines() == original.reportLines())
    #expect(read.eventFormats == original.eventFormats)
    #expect(read.eventFormats.count == TraceEventFormat.builtIn.count)
    #expect(read.threadNames == original.threadNames)
    #expect(read.symbols.all.map(\.name) == original.symbols.all.map(\.name))
    #expect(read.cpuCount == 4)
    #expect(read.buffers.map(\.clock) == ["mono"])
    #expect(try read.encoded(as: .traceDat).bytes == original.encoded(as: .traceDat).bytes)
  }

  /// A recording without any event is a file too.
  @Test func emptyRoundTrip() throws {
    let read = try reread(TraceRecording(cpuCount: 3))
    #expect(read.cpuCount == 3)
    #expect(contents(read).isEmpty)
  }

  /// Version 7 has its parts in sections, which may lie in any order, and CPUs by number.
  @Test(arguments: [true, false]) func version7(sorted: Bool) throws {
    let original = TestRecording.manifold()
    let read = try TraceRecording(bytes: Version7.file(of: original, sorted: sorted))
    #expect(contents(read) == contents(original))
    #expect(read.reportLines() == original.reportLines())
    #expect(read.cpuCount == 4)
  }

  /// Named instances keep their names and events in both versions; lines say which they are from.
  @Test func instances() throws {
    let original = TestRecording.interplay()
    let read = try TraceRecording(
      bytes: Version7.file(of: original, sorted: true, instances: ["left", "later"]))
    #expect(read.buffers.map(\.name) == ["", "left", "later"])
    let again = try reread(read)
    #expect(again.buffers.map(\.name) == ["", "left", "later"])
    #expect(contents(again) == contents(read))
    #expect(contents(again).count == 3 * contents(original).count)
    let lines = again.reportLines()
    let plain = original.reportLines()
    #expect(lines.count == 1 + 3 * (plain.count - 1))
    #expect(lines[1...3] == ["       ", " left: ", "later: "].map { $0 + plain[1] }[...])
  }

  /// Equal time stamps: buffers, then CPUs, then the order of recording.
  @Test func equalStampsHaveAnOrder() throws {
    var recording = TestRecording.empty(cpuCount: 3)
    for (cpu, count) in [(2, 1), (0, 2), (1, 3), (0, 4)] as [(Int, UInt64)] {
      recording.append(
        cpu: cpu, timestamp: 7, event: TestRecording.id("context_user_enter"),
        payload: TestPayload.transition(count, thread: 1))
    }
    let order = recording.records().map { $0.payload.littleEndian(UInt64.self, at: 8) }
    #expect(order == [2, 4, 3, 1])
  }

  /// Many CPUs, all of them with something, come out in the order of time.
  @Test func mergesManyCPUs() throws {
    var recording = TestRecording.empty(cpuCount: 300)
    var generator = SeededGenerator(state: 1)
    var times = [UInt64](repeating: 0, count: 300)
    for _ in 0..<5_000 {
      let cpu = Int.random(in: 0..<300, using: &generator)
      times[cpu] += UInt64.random(in: 0..<1_000, using: &generator)
      recording.append(
        cpu: cpu, timestamp: times[cpu], event: TestRecording.id("context_user_enter"),
        payload: TestPayload.transition(0, thread: 1))
    }
    let stamps = try reread(recording).records().map(\.timestamp)
    #expect(stamps.count == 5_000)
    #expect(stamps == stamps.sorted())
  }

  /// What cannot be read says why, where, and what to do.
  @Test func refusals() throws {
    func failure(_ change: (inout [UInt8]) -> Void) throws -> TraceFileError? {
      var bytes = try TestRecording.interplay().encoded(as: .traceDat).bytes
      change(&bytes)
      do {
        _ = try TraceRecording(bytes: bytes, name: "t.dat")
        return nil
      } catch {
        return error
      }
    }
    #expect(try failure { _ in } == nil)
    #expect(try failure { $0 = [] }?.code == .notATrace)
    #expect(try failure { $0[0] = 0x18 }?.code == .notATrace)
    let version = try #require(try failure { $0[10] = UInt8(ascii: "5") })
    #expect(version.description == "t.dat: byte 10: version \"5\"; versions 6 and 7 can be read")
    #expect(try failure { $0[12] = 2 }?.description == "t.dat: byte 12: a byte order of 2")
    #expect(try failure { $0[13] = 9 }?.position == 13)
    #expect(try failure { $0[17] = 0xff }?.position == 14)
  }

  /// Options that lead in a circle end with an error.
  @Test func circularOptions() throws {
    let bytes = try Version7.file(of: TestRecording.interplay(), sorted: true, loops: true)
    let error = #expect(throws: TraceFileError.self) { try TraceRecording(bytes: bytes) }
    #expect(error?.message == "the options lead back to here")
  }

  /// A file appears whole; one that cannot be written leaves what was there.
  @Test func filesAppearWhole() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("trace.dat")
    try TestRecording.interplay().write(.traceDat, to: path)
    let recording = try TraceRecording(contentsOf: path)
    // Onto itself: the source is read while the target is written.
    #expect(try recording.write(.traceDat, to: path).isEmpty)
    #expect(
      try TraceRecording(contentsOf: path).reportLines()
        == TestRecording.interplay().reportLines())
    let error = #expect(throws: TraceFileError.self) {
      try recording.write(.text, to: folder.path("no/such/folder"))
    }
    #expect(error?.code == .system)
    #expect(
      throws: TraceFileError.self, "a full disk",
      performing: { try recording.write(.chrome, to: "/dev/full") })
    #expect(throws: TraceFileError.self) { try TraceRecording(contentsOf: folder.path("absent")) }
  }

  /// What a coordinator recorded: threads that are no CPUs have a lane above the last CPU's.
  @Test func snapshotsBecomeRecordings() throws {
    func event(_ time: UInt64, _ thread: Int32, lost: UInt64 = 0) -> Tracer.Snapshot.Event {
      let payload = TestPayload.sendCPU(1, from: 0x1004, to: 0x1000, thread: thread)
      let id = TestPayload.bytes(UInt16(TestRecording.id("ipi_send_cpu")))
      return Tracer.Snapshot.Event(
        timestamp: time, payload: id + payload.dropFirst(2), lostBefore: lost)
    }
    func snapshot(_ others: [Tracer.Snapshot.Event]) -> Tracer.Snapshot {
      Tracer.Snapshot(
        rings: [
          Tracer.Snapshot.Ring(cpu: 0, events: [event(3_000, 7, lost: 5)], lost: 5),
          Tracer.Snapshot.Ring(cpu: 1, events: [], lost: 0),
          Tracer.Snapshot.Ring(cpu: nil, events: others, lost: 0),
        ], cpuCount: 2, formats: [.ipiSendCPU],
        symbols: [SymbolTable.Symbol("flush", 0x1000..<0x1010)], threadNames: [7: "seven"])
    }
    #expect(
      TraceRecording(snapshot([event(1_000, 8)])).reportLines() == [
        "cpus=3",
        "           <...>-8     [002] .....     0.000001: ipi_send_cpu:         "
          + "cpu=1 callsite=flush+0x4 callback=flush+0x0",
        "CPU:0 [5 EVENTS DROPPED]",
        "           seven-7     [000] .....     0.000003: ipi_send_cpu:         "
          + "cpu=1 callsite=flush+0x4 callback=flush+0x0",
      ])
    #expect(TraceRecording(snapshot([])).cpuCount == 2)
  }
}
