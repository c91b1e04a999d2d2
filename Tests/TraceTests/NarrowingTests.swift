// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import CPUIsolationTrace
@testable import IsolationTrace

/// `isolation-trace` run as a process: which events it gives out, and what it says of mistakes.
@Suite struct NarrowingTests {
  private let folder: TemporaryFolder
  private let kernel = Fixture.path("kernel-6.dat")

  init() throws { folder = try TemporaryFolder() }

  private func run(_ arguments: [String]) throws -> Program.Outcome {
    try Program.isolationTrace.run(arguments)
  }

  /// What is printed, as trace-cmd prints it, of which the fixtures are.
  private func lines(_ arguments: [String], likeTraceCmd: Bool = true) throws -> [String] {
    let outcome = try run(arguments + (likeTraceCmd ? ["--like", "trace-cmd"] : []))
    #expect(outcome.status == 0 && outcome.errors == "", "\(outcome.errors)")
    return outcome.output.split(separator: "\n").map(String.init)
  }

  private func expected(_ test: (String) -> Bool) throws -> [String] {
    let all = try Fixture.lines("kernel-6.txt")
    return [all[0]] + all.dropFirst().filter(test)
  }

  @Test func events() throws {
    let sched = try lines(["report", kernel, "--event", "sched:*"])
    #expect(sched == (try expected { $0.contains(/\]\s+\S+\s+\S+: sched_/) }))
    #expect(sched.count > 10)
    #expect(
      try lines(["report", kernel, "--event", "softirq_*", "--event", "ipi/ipi_send_cp[u]"])
        == expected { $0.contains(" softirq_") || $0.contains(" ipi_send_cpu: ") })
    // A filter asks more of an event that a pattern has; others are whole.
    #expect(
      try lines([
        "report", kernel, "--event", "sched_*", "--filter", "sched_waking:comm ~ \"rout*\"",
      ])
        == expected {
          $0.contains(/\]\s+\S+\s+\S+: sched_/)
            && (!$0.contains(" sched_waking: ") || $0.contains(" comm=rout"))
        })
  }

  @Test func cpusAndLimits() throws {
    #expect(try lines(["report", kernel, "--cpu", "1"]) == expected { $0.contains("[001]") })
    #expect(try lines(["report", kernel, "--cpu", "0-1"]) == Fixture.lines("kernel-6.txt"))
    #expect(
      try lines(["report", kernel, "--limit", "7"])
        == Array(Fixture.lines("kernel-6.txt").prefix(8)))
    #expect(
      try lines(["report", kernel, "--limit", "2", "--cpu", "1"])
        == Array(expected { $0.contains("[001]") }.prefix(3)))
  }

  private static func time(_ line: String) -> String {
    String(line.split(separator: "]")[1].split(separator: ":")[0].split(separator: " ").last!)
  }

  /// A time may be taken from a line: that line is in the window.
  @Test func times() throws {
    let all = try Fixture.lines("kernel-6.txt")
    let (from, to) = (Self.time(all[40]), Self.time(all[90]))
    let first = all.firstIndex { $0.contains("] ") && Self.time($0) == from }!
    let last = all.lastIndex { $0.contains("] ") && Self.time($0) == to }!
    #expect(
      try lines(["report", kernel, "--from", from, "--to", to]) == [all[0]] + all[first...last])
    #expect(try lines(["report", kernel, "--from", "0"]) == all)
    let exact = try lines(["report", kernel, "--nanoseconds"])
    #expect(exact.count == all.count)
    #expect(exact[1...].allSatisfy { Self.time($0).split(separator: ".")[1].count == 9 })
    let moment = Self.time(exact[41])
    let one = try lines(["report", kernel, "--from", moment, "--to", moment, "--nanoseconds"])
    #expect(one.contains(exact[41]) && one[1...].allSatisfy { Self.time($0) == moment })
  }

  /// A mistake is an error, never an empty answer.
  @Test(arguments: [
    (["--event", "shed*"], "the recording has no event shed*"),
    (["--filter", "ipi_sent:"], "the recording has no event ipi_sent"),
    (["--filter", "ipi_send_cpu:cpus == 1"], "Field not found"),
    (["--cpu", "2"], "--cpu 2: "), (["--cpu", "one"], "--cpu one: "),
    (["--cpu", ""], "--cpu : no CPU"),
    (["--from", "2", "--to", "1"], "--from 2 is after --to 1"),
    (["--to", "0.5"], "what was recorded goes from "),
    (["--from", "999999999999"], "what was recorded goes from "),
    (["--count-by", "cpus"], "no selected event has a field \"cpus\"; there are CPU, "),
    (["--count-by", "vec", "--event", "ipi_*"], "callback, callsite, comm, "),
  ])
  func mistakes(arguments: [String], expected: String) throws {
    let outcome = try run(["report", kernel] + arguments)
    #expect(outcome.status == 1)
    #expect(outcome.errors.contains(expected), "\(outcome.errors)")
    if !arguments.contains("--count-by") {
      let converted = try run(
        ["convert", kernel, "--to", "text", "-o", folder.path("out")] + arguments)
      #expect(converted.status == 1)
      #expect(converted.errors.contains(expected), "\(converted.errors)")
      #expect(!FileManager.default.fileExists(atPath: folder.path("out")))
    }
  }

  /// A field that some selected event has, and none that matched: nothing to count is no mistake.
  @Test func countingNothing() throws {
    #expect(
      try lines(["report", kernel, "--filter", "ipi_send_cpu:cpu == 77", "--count-by", "callback"])
        == [])
    let counted = try lines(["report", kernel, "--count-by", "vec", "--event", "softirq_*"])
    #expect(!counted.isEmpty && counted.allSatisfy { $0.contains(" vec=") })
  }

  /// What is converted is what is reported.
  @Test(arguments: ["none", "zstd"]) func converted(compression: String) throws {
    let narrowing = ["--event", "sched*", "--cpu", "0", "--limit", "20"]
    let part = folder.path("part.dat")
    #expect(
      try run(
        ["convert", kernel, "--to", "dat", "-o", part, "--compression", compression] + narrowing
      ).status == 0)
    let whole = try lines(["report", kernel] + narrowing)
    #expect(whole.count == 21)
    #expect(try lines(["report", part]) == whole)
    let time = Self.time(whole[10])
    let text = folder.path("part.txt")
    #expect(
      try run(["convert", part, "--to", "text", "-o", text, "--from", "0", "--to", time]).status
        == 0)
    #expect(
      try String(contentsOfFile: text, encoding: .utf8).split(separator: "\n").map(String.init)
        == lines(["report", part, "--to", time], likeTraceCmd: false))
  }

  private func write(
    _ name: String, clock: String = "mono", options: [(UInt16, [UInt8])] = [], shift: UInt64 = 0
  ) throws -> String {
    var recording = TraceRecording(cpuCount: 1, clock: clock)
    recording.define(.contextUserEnter)
    for index in 0..<3 as Range<UInt64> {
      recording.append(
        cpu: 0, timestamp: 1_000_000 * (index + 1) + shift,
        event: TestRecording.id("context_user_enter"),
        payload: TestPayload.transition(index, thread: 100))
    }
    let path = folder.path(name)
    try folder.write(
      Version7.file(of: recording, sorted: true, clock: clock, options: options), to: path)
    return path
  }

  /// Two files of one clock become one report, by time; each line says which file it is from.
  @Test func severalFiles() throws {
    let one = try write("one.dat")
    let other = try write("other.dat", shift: 500_000)
    let report = try lines(["report", one, other])
    let names = [one, other].map { $0.split(separator: "/").last! }
    let order = report.map { line in names.firstIndex { line.contains("/\($0): ") }! }
    #expect(order == [0, 1, 0, 1, 0, 1, 0, 1])
    #expect(report[0].hasPrefix("  \(one): cpus=1") && report[1].hasPrefix("\(other): cpus=1"))
    #expect(
      report.dropFirst(2).map { $0.split(separator: ".").last!.prefix(6) }
        == ["001000", "001500", "002000", "002500", "003000", "003500"])
    #expect(try lines(["report", one, other, "--limit", "3"]) == Array(report.prefix(5)))
    #expect(
      try lines(["report", one, other, "--count-by", "event"]) == [
        "      6 event=context_user_enter"
      ])
  }

  /// Clocks that have nothing to do with each other are named, and nothing is printed.
  @Test func otherClocks() throws {
    let mono = try write("mono.dat")
    let local = try write("local.dat", clock: "local")
    let counters = [try write("c1.dat", clock: "counter"), try write("c2.dat", clock: "counter")]
    let refused = try run(["report", mono, local])
    #expect(refused.status == 1 && refused.output == "")
    #expect(refused.errors.contains("mono.dat (clock mono)"))
    #expect(refused.errors.contains("local.dat (clock local)"))
    #expect(try run(["report"] + counters).errors.contains("(clock counter)"))
    // With the date in both it does not matter which clocks they are.
    let date = [(TraceFileOption.date, Array("0x1000\0".utf8))]
    let dated = [
      try write("d1.dat", clock: "mono", options: date),
      try write("d2.dat", clock: "local", options: date),
    ]
    #expect(try lines(["report"] + dated).count == 8)
  }

  /// A guest's times are its host's, if the host is the one that they were measured against.
  @Test func guests() throws {
    let host = try write(
      "host.dat", clock: "x86-tsc",
      options: [(TraceFileOption.traceID, TestPayload.bytes(UInt64(0x1111)))])
    let guest = try write(
      "guest.dat", clock: "local", options: [TimeOptionTests.shift([(0, 300_000, 1)])])
    let other = try write(
      "other.dat", clock: "local", options: [TimeOptionTests.shift([(0, 0, 1)], peer: 0x3333)])
    let times = try lines(["report", host, guest]).dropFirst(2)
    #expect(times.count == 6)
    #expect(
      times.enumerated().allSatisfy { $0.element.contains("guest.dat:") == ($0.offset % 2 == 1) })
    #expect(try run(["report", host, other]).status == 1)
  }

  /// What a file has that cannot be honoured is said, and the rest is printed.
  @Test func warnings() throws {
    let path = try write("odd.dat", options: [(99, [1, 2]), (99, [3])])
    let outcome = try run(["report", path])
    #expect(outcome.status == 0 && outcome.output.split(separator: "\n").count == 4)
    #expect(outcome.errors.split(separator: "\n").count == 1)
    #expect(outcome.errors.contains("option 99 is not known here"))
    let dangling = try run(["report", Fixture.path("dangling-instance.dat")])
    #expect(dangling.status == 0 && dangling.output.contains("ipi_send_cpu:"))
    #expect(dangling.errors.contains("the instance inst is left out"))
  }
}
