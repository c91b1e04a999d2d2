// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

@testable import CPUIsolationTrace

/// Files that a big-endian machine recorded.
@Suite struct BigEndianTests {
  private func recording() -> TraceRecording {
    var recording = TestRecording.interplay()
    for (index, mask) in ([[0b10], [0, 1 << 40, 3], []] as [[UInt64]]).enumerated() {
      recording.append(
        cpu: 1, timestamp: 20_000 + UInt64(index), event: TestRecording.id("ipi_send_cpumask"),
        payload: TestPayload.sendMask(mask, from: 0x2000, to: 0x1010, thread: 100))
    }
    return recording
  }

  @Test func isReadAsIfItWereLittleEndian() throws {
    let original = recording()
    let read = try TraceRecording(bytes: BigEndian.file(of: original))
    #expect(read.reportLines() == original.reportLines())
    #expect(read.interferences() == original.interferences())
    var selection = TraceSelection(read)
    try selection.add("ipi_send_cpu", "cpu == 1 && callback.function == sync_text")
    #expect(read.selecting(selection).records().map(\.timestamp) == [3_010, 4_010])
  }

  /// What is written of it is little-endian, and says the same.
  @Test(arguments: TraceCompression.allCases) func isWritten(compression: TraceCompression) throws {
    let original = recording()
    let read = try TraceRecording(bytes: BigEndian.file(of: original))
    let (bytes, damage) = try read.encoded(as: .traceDat, compression: compression)
    #expect(damage.isEmpty && bytes[12] == 0)
    #expect(try TraceRecording(bytes: bytes).reportLines() == original.reportLines())
  }

  /// Numbers in options are of the same order; what they change is not changed again in a file that
  /// is written.
  @Test func options() throws {
    let rate = BigEndian.bytes(UInt32(3)) + BigEndian.bytes(UInt32(1)) + BigEndian.bytes(UInt64(0))
    let file = BigEndian.file(of: recording(), options: [(TraceFileOption.tickRate, rate)])
    let read = try TraceRecording(bytes: file)
    #expect(read.records().map(\.timestamp) == recording().records().map { $0.timestamp * 3 / 2 })
    let again = try TraceRecording(bytes: read.encoded(as: .traceDat).bytes)
    #expect(again.reportLines() == read.reportLines())
  }

  @Test(.enabled(if: Program.traceCmd != nil, "trace-cmd is not installed"))
  func theirReportIsOurs() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("big.dat")
    // Masks of one word: of several, the kernel's first word has the first CPUs, and theirs the last.
    try folder.write(BigEndian.file(of: TestRecording.interplay()), to: path)
    let theirs = try #require(Program.traceCmd).output(["report", path])
    let ours = try TraceRecording(contentsOf: path).reportLines(.traceCmd, showsLatency: false)
    // From version 3.3 on there is a column that says what was going on.
    let lines = theirs.split(separator: "\n").map {
      String($0).replacing(#/(\[[0-9]{3,}\]) [^ ]{5,8} /#) { "\($0.output.1) " }
    }
    #expect(lines == ours)
  }
}
