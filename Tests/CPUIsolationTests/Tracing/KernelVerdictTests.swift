// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import CPUIsolation

/// Every filter of KernelVerdicts.txt gets the verdict and the reason that a kernel gave.
@Suite struct KernelVerdictTests {
  struct Verdict: CustomTestStringConvertible {
    var line: Int
    var event: String
    var isAccepted: Bool
    var reason: String
    var filter: [UInt8]

    var testDescription: String { "line \(line)" }
  }

  /// How many CPUs the machine had whose kernel answered.
  private static let cpuCount = 2

  private static func verdicts() throws -> [Verdict] {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("KernelVerdicts.txt")
    let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
    return try lines.enumerated().filter { !$0.element.hasPrefix("#") }.map { index, line in
      let parts = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
      try #require(parts.count == 4, "line \(index + 1)")
      return Verdict(
        line: index + 1, event: parts[0], isAccepted: parts[1] == "OK", reason: parts[2],
        filter: try unescape(parts[3]))
    }
  }

  private static func unescape(_ text: String) throws -> [UInt8] {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "\\") else {
        bytes.append(byte)
        continue
      }
      if rest.popFirst() == UInt8(ascii: "\\") {
        bytes.append(byte)
      } else {
        bytes.append(
          try #require(UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)))
        rest = rest.dropFirst(2)
      }
    }
    return bytes
  }

  @Test func agreeWithTheKernel() throws {
    let verdicts = try Self.verdicts()
    #expect(verdicts.count > 600)
    for verdict in verdicts {
      let event = try #require(
        TraceEventFormat.builtIn(named: verdict.event) ?? KernelEvents.all[verdict.event])
      var reason: String?
      do {
        _ = try TraceFilter(utf8: verdict.filter, for: event, cpuCount: Self.cpuCount)
      } catch {
        reason = error.parseError
      }
      #expect((reason == nil) == verdict.isAccepted, "line \(verdict.line)")
      #expect(reason ?? "" == verdict.reason, "line \(verdict.line)")
    }
  }

  /// The table is worth what it covers.
  @Test func tableHasEveryReasonThatAFilterCanGet() throws {
    let reasons = Set(try Self.verdicts().map(\.reason))
    let kernelsAlone: Set<TraceFilter.ParseError.Code> = [
      .none, .badSubsystemFilter, .invalidFilter, .ipFieldOnly, .errno,
    ]
    for code in TraceFilter.ParseError.Code.all where !kernelsAlone.contains(code) {
      #expect(reasons.contains(code.description), "\(code.name)")
    }
  }
}

/// Events of the kernel with fields that none of the built-in ones has.
enum KernelEvents {
  static let all: [String: TraceEventFormat] = Dictionary(
    uniqueKeysWithValues: [schedSwitch, schedProcessExec, irqHandlerEntry].map { ($0.name, $0) })

  private static func event(_ system: String, _ name: String, _ fields: [TraceEventFormat.Field])
    -> TraceEventFormat
  {
    TraceEventFormat(
      system: system, name: name, id: 1, fields: TraceEventFormat.commonFields + fields,
      printFormat: "")
  }

  private static func field(
    _ type: String, _ name: String, _ offset: Int, _ size: Int, signed: Bool = false
  ) -> TraceEventFormat.Field {
    TraceEventFormat.Field(name: name, type: type, offset: offset, size: size, isSigned: signed)
  }

  static let schedSwitch = event(
    "sched", "sched_switch",
    [
      field("char[16]", "prev_comm", 8, 16), field("pid_t", "prev_pid", 24, 4, signed: true),
      field("int", "prev_prio", 28, 4, signed: true),
      field("long", "prev_state", 32, 8, signed: true), field("char[16]", "next_comm", 40, 16),
      field("pid_t", "next_pid", 56, 4, signed: true),
      field("int", "next_prio", 60, 4, signed: true),
    ])

  static let schedProcessExec = event(
    "sched", "sched_process_exec",
    [
      field("__data_loc char[]", "filename", 8, 4), field("pid_t", "pid", 12, 4, signed: true),
      field("pid_t", "old_pid", 16, 4, signed: true),
    ])

  static let irqHandlerEntry = event(
    "irq", "irq_handler_entry",
    [field("int", "irq", 8, 4, signed: true), field("__data_loc char[]", "name", 12, 4)])
}
