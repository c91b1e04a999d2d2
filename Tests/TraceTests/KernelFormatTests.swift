// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Foundation
import Testing

@testable import CPUIsolationTrace

/// Where the kernel that runs the tests describes its events.
private enum Tracefs {
  static let folder = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"].first {
    FileManager.default.isReadableFile(atPath: "\($0)/events/ftrace/function/format")
  }
}

/// The `format` files of the kernel that runs the tests.
@Suite(.enabled(if: Tracefs.folder != nil, "there is no tracefs that can be read"))
struct KernelFormatTests {
  private func formats() throws -> [TraceEventFormat] {
    let events = try #require(Tracefs.folder) + "/events"
    var formats: [TraceEventFormat] = []
    for system in try FileManager.default.contentsOfDirectory(atPath: events) {
      let folder = "\(events)/\(system)"
      for event in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
        guard let text = try? String(contentsOfFile: "\(folder)/\(event)/format", encoding: .utf8)
        else { continue }
        formats.append(try TraceEventFormat(parsing: text, system: system))
      }
    }
    return formats
  }

  /// All are understood, but for those that call functions of the kernel with effects.
  @Test func everyFormatIsUnderstood() throws {
    let formats = try formats()
    #expect(formats.count > 100)
    for format in formats where !format.printFormat.contains("trace_seq_") {
      for style in [TraceTextReport.Style.kernel, .traceCmd] {
        do {
          _ = try PrintCompiler.program(of: format, longSize: 8, style: style)
        } catch {
          Issue.record("\(format.system):\(format.name): \(error.reason)")
        }
      }
    }
  }

  /// Whatever a record holds, it is printed.
  @Test func randomRecordsArePrinted() throws {
    var generator = SeededGenerator(state: 5)
    for format in try formats() {
      for style in [TraceTextReport.Style.kernel, .traceCmd] {
        let printer = EventPrinter(format, longSize: 8, style: style)
        var state = PrintState(TraceRecording(cpuCount: 1))
        for _ in 0..<4 {
          let count = Int.random(in: 8...200, using: &generator)
          let payload = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
          var line: [UInt8] = []
          let event = PrintedEvent(cpu: 0, buffer: 0, timestamp: 0, thread: 0)
          _ = unsafe printer.append(event, payload.span.bytes, &state, to: &line)
          #expect(line.count < 100_000)
        }
      }
    }
  }
}
