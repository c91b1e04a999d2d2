// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

@testable import CPUIsolationTrace

/// Files that are not what they should be: an error with the byte, never the end of the process.
@Suite struct DamageTests {
  /// Small pages and one format, so that every byte of a file can be tried.
  private func small() -> TraceRecording {
    let layout = TracePageLayout(pageSize: 256, longSize: 8)
    var recording = TraceRecording(
      cpuCount: 2,
      buffers: [
        TraceRecording.Buffer(
          name: "", clock: "mono", layout: layout,
          appended: Array(repeating: TracePageEncoder(layout: layout), count: 2))
      ])
    recording.define(.ipiSendCPUMask)
    recording.nameSymbol("flush", at: 0x1000)
    recording.nameThread(7, "seven")
    for index in 0..<12 {
      recording.append(
        cpu: index % 2, timestamp: UInt64(index) * 1_000,
        event: TraceEventFormat.ipiSendCPUMask.id,
        payload: TestPayload.sendMask([UInt64(index)], from: 1, to: 0x1000, thread: 7))
      if index == 6 { recording.lost(cpu: 0, count: 3) }
    }
    return recording
  }

  /// Reads all there is, and writes it as something else.
  private func use(
    _ bytes: [UInt8], as format: TraceOutputFormat = .html
  ) throws(TraceFileError) -> (lines: [String], damage: [TraceFileError]) {
    let recording = try TraceRecording(bytes: bytes)
    var report = TraceTextReport(recording)
    var records = recording.records()
    var lines: [String] = []
    while let record = records.next() { lines.append(report.line(for: record)) }
    _ = try recording.encoded(as: format)
    return (lines, records.damage)
  }

  private func files() throws -> [[UInt8]] {
    [
      try small().encoded(as: .traceDat).bytes,
      try Version7.file(of: small(), sorted: true),
    ]
  }

  /// Cut anywhere, a file gives an error with a byte in it, or what is left and such an error.
  @Test func everyTruncation() throws {
    for whole in try files() {
      let all = try use(whole)
      #expect(all.damage.isEmpty)
      #expect(all.lines.count == 12)
      var mostLines = 0
      for length in 11..<whole.count {
        do {
          let (lines, damage) = try use(Array(whole[..<length]))
          #expect(!damage.isEmpty, "cut at \(length) of \(whole.count)")
          #expect(damage.allSatisfy { ($0.position ?? .max) <= UInt64(length) })
          #expect(lines.count < all.lines.count)
          mostLines = max(mostLines, lines.count)
        } catch {
          #expect(error.code == .truncated, "cut at \(length): \(error)")
          #expect((error.position ?? .max) <= UInt64(length))
        }
      }
      // In version 7 what describes the pages stands after them: there a cut loses it.
      if whole[10] == UInt8(ascii: "6") { #expect(mostLines > 5) }
    }
  }

  /// Any byte may be any other: the file is read, or refused.
  @Test func everyByteFlipped() throws {
    var refused = 0
    var generator = SeededGenerator(state: 3)
    for whole in try files() {
      for index in whole.indices {
        var bytes = whole
        switch index % 3 {
        case 0: bytes[index] = ~bytes[index]
        case 1: bytes[index] ^= 1 << (index / 3 % 8)
        default: bytes[index] = UInt8.random(in: 0...255, using: &generator)
        }
        let format = TraceOutputFormat.allCases[index % TraceOutputFormat.allCases.count]
        do { _ = try use(bytes, as: format) } catch { refused += 1 }
      }
    }
    #expect(refused > 200)
  }

  /// A bad page ends its CPU there; the pages before it and the other CPUs are reported.
  @Test func aBadPageEndsItsCPU() throws {
    let recording = small()
    var bytes = try recording.encoded(as: .traceDat).bytes
    let pages = recording.buffers[0].pages()
    var page = TracePage()
    var reader = TracePageReader(pages[0].pages)
    try reader.decode(&page, in: #require(try reader.next()), at: 0)
    let perPage = page.events.count
    #expect(perPage < 6)
    let dataSize = pages.reduce(0) { $0 + Int($1.pages.size) }
    let start = bytes.count - dataSize
    bytes[start + 256 + 8] = 0xff  // what the second page says that it uses
    let (lines, damage) = try use(bytes)
    #expect(damage.count == 1)
    #expect(damage.first?.position == UInt64(start + 256 + 8))
    #expect(
      damage.first?.description
        == "trace.dat: byte \(start + 264): the page says that 255 bytes of it are used; it has 240"
    )
    #expect(lines.count { $0.contains("[000]") } == perPage)
    #expect(lines.count { $0.contains("[001]") } == 6)
    // Converting keeps what is whole, and says what is not.
    let (converted, left) = try TraceRecording(bytes: bytes).encoded(as: .traceDat)
    #expect(left == damage)
    let again = try use(converted)
    #expect(again.lines == lines && again.damage.isEmpty)
  }

  /// Text that is no format, or has no end of parentheses, only makes its events unreadable.
  @Test func badFormats() throws {
    for text in [
      "", "\"", "\"%d", "\"%d\", ", "\"%d\", REC->absent", "\"%s\", __fly(x)",
      "\"%d\", " + String(repeating: "(", count: 100_000),
      "\"%d\", " + String(repeating: "!", count: 100_000) + "1",
      "\"%d\", " + String(repeating: "1?", count: 100_000), "\"%d\", 'a", "\"%d %d\", 1",
      "\"%999999999d\", 1", "\"%.*s\", 1", "\"%d\", 1 / 0", "\"%d\", 1 << 900",
      "\"%s\", __print_symbolic(REC->cpu, { 0, })", "\"%q\"", "\"%", "\"\\",
    ] {
      let format = TraceEventFormat(
        system: "test", name: "bad", id: 9,
        declaring: [.number("cpu", as: UInt32.self)], printFormat: text)
      var recording = TraceRecording(cpuCount: 1)
      recording.define(format)
      recording.append(
        cpu: 0, timestamp: 1, event: 9,
        payload: TestPayload.head(1) + TestPayload.bytes(UInt32(5)))
      let lines = recording.reportLines()
      #expect(lines.count == 2 || text.isEmpty, "\(text.prefix(40))")
      #expect(lines.last?.contains("bad:") == true)
    }
  }
}
