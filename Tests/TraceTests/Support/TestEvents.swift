// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

@testable import CPUIsolationTrace

/// Events of formats that a test writes down, and what a report says of them.
struct TestEvents {
  private var recording: TraceRecording
  private var time: UInt64 = 1_000_000
  private let longSize: Int

  /// The common fields of every format.
  static let common = """
    \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
    \tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
    \tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
    \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

    """

  init(longSize: Int = 8, kernelRelease: String? = nil) {
    self.longSize = longSize
    let layout = TracePageLayout(pageSize: 4096, longSize: longSize)
    recording = TraceRecording(
      cpuCount: 2,
      buffers: [
        TraceRecording.Buffer(
          name: "", clock: "mono", layout: layout,
          appended: Array(repeating: TracePageEncoder(layout: layout), count: 2))
      ])
    recording.options.systemName = kernelRelease.map { "Linux host \($0) x86_64" } ?? ""
    for (index, name) in ["begin", "middle", "end", "after"].enumerated() {
      recording.nameSymbol(name, at: UInt64(0x1000 * (index + 1)))
    }
    recording.nameThread(100, "app")
  }

  mutating func namePrintk(_ text: String, at address: UInt64) {
    recording.printkTexts[address] = Array(text.utf8)
  }

  /// `fields` are lines as a format file has them.
  mutating func define(
    _ name: String, id: Int, system: String = "test", fields: String, print: String
  ) throws {
    let lines = fields.split(separator: "\n").map { "\t\($0)" }.joined(separator: "\n")
    recording.define(
      try TraceEventFormat(
        parsing:
          "name: \(name)\nID: \(id)\nformat:\n\(Self.common)\n\(lines)\n\nprint fmt: \(print)",
        system: system))
  }

  /// What comes after the common fields.
  mutating func record(
    _ id: Int, _ bytes: [UInt8], flags: UInt8 = 0, preemption: UInt8 = 0, cpu: Int = 0,
    after nanoseconds: UInt64 = 1_000
  ) {
    recording.append(
      cpu: cpu, timestamp: time, event: id,
      payload: [0, 0, flags, preemption] + TestPayload.bytes(UInt32(100)) + bytes)
    time += nanoseconds
  }

  func lines(_ style: TraceTextReport.Style = .kernel) -> [String] {
    Array(recording.reportLines(style).dropFirst())
  }

  /// What stands after the names of the events; lines without one are as they are.
  func texts(_ style: TraceTextReport.Style = .kernel) -> [String] {
    lines(style).map { line in
      guard line.hasPrefix("  "), let colon = line.firstRange(of: ": ")?.upperBound,
        let second = line[colon...].firstRange(of: ": ")
      else { return line }
      let width = max(0, 20 - line.distance(from: colon, to: second.lowerBound))
      return String(line[second.upperBound...].dropFirst(width))
    }
  }

  /// What one event of one format prints.
  static func text(
    _ fields: String, _ print: String, _ bytes: [UInt8],
    style: TraceTextReport.Style = .kernel, longSize: Int = 8
  ) throws -> String {
    var events = TestEvents(longSize: longSize)
    try events.define("event", id: 9, fields: fields, print: print)
    events.record(9, bytes)
    return events.texts(style).joined(separator: "\n")
  }
}
