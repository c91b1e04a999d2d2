// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import IsolationTrace

@Suite struct IsolationTraceTests {
  private struct Outcome {
    var status: Int32
    var output: String
    var errors: String
  }

  private func run(_ arguments: [String], input: [UInt8] = []) throws -> Outcome {
    let process = Process()
    process.executableURL = DemoProcess.directory.appendingPathComponent("isolation-trace")
    process.arguments = arguments
    // The leak checker needs ptrace, which a tracer has taken.
    process.environment = ProcessInfo.processInfo.environment.merging(
      ["ASAN_OPTIONS": "detect_leaks=0"]) { $1 }
    let (standardInput, output, errors) = (Pipe(), Pipe(), Pipe())
    process.standardInput = standardInput
    process.standardOutput = output
    process.standardError = errors
    try process.run()
    // Short texts: no pipe fills up while another is read.
    standardInput.fileHandleForWriting.write(Data(input))
    try standardInput.fileHandleForWriting.close()
    let out = output.fileHandleForReading.readDataToEndOfFile()
    let err = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return Outcome(
      status: process.terminationStatus, output: String(decoding: out, as: UTF8.self),
      errors: String(decoding: err, as: UTF8.self))
  }

  private func run(_ arguments: [String], lines: String) throws -> Outcome {
    try run(arguments, input: Array(lines.utf8))
  }

  // MARK: - filter

  @Test func goodFilterIsOK() throws {
    let good = try run([
      "filter", "--event", "ipi_send_cpumask", "--cpus", "8", "cpumask & CPUS{4-7}",
    ])
    #expect(good.status == 0 && good.output == "OK\n" && good.errors == "")
  }

  @Test func badFilterIsReportedAsTheKernelDoes() throws {
    let bad = try run(["filter", "--event", "ipi/ipi_send_cpumask", "cpumask & MASK{0}"])
    #expect(bad.status == 1)
    #expect(
      bad.output == """
        cpumask & MASK{0}
                  ^
        parse_error: Invalid value (did you forget quotes)?

        """)
    #expect(bad.errors == "hint: a set of CPUs is written CPUS{…}\n")
    let textless = try run(["filter", "--event", "ipi_send_cpu", "()"])
    #expect(textless.status == 1 && textless.output == "()\n^\n")
  }

  @Test func programIsPrintedBehindOK() throws {
    let filter = try run([
      "filter", "--event", "ipi_send_cpu", "--cpus", "4", "--program", "cpu == 1 || !(CPU & 2)",
    ])
    #expect(
      filter.output == """
        OK
        0: cpu == 1  true -> 2
        1: CPU & 2   true -> 3
        2: TRUE
        3: FALSE

        """)
  }

  @Test func batchAnswersEachLine() throws {
    let batch = try run(
      ["filter", "--batch", "--cpus", "2"],
      lines: """
        ipi_send_cpu\tcpu == 1
        csd:csd_queue_cpu\tcpu == 'x'
        ipi_send_cpu\t()
        ipi_send_cpumask\tcpumask\t&\tCPUS{2}
        ipi_send_cpumask\t
        text_poke\tbytes > 5 &&
        """)
    #expect(batch.status == 0 && batch.errors == "")
    #expect(
      batch.output == """
        OK
        ERR\tExpecting numeric field
        ERR\t
        ERR\tInvalid cpulist
        OK
        OK

        """)
  }

  @Test func batchSaysWhichLinesAreNone() throws {
    let batch = try run(
      ["filter", "--batch"], lines: "ipi_send_cpu cpu == 1\nnosuch\tx\nipi_send_cpu\tcpu == 1\n")
    #expect(batch.status == 65)
    #expect(batch.output == "ERR\tno tab in this line\nERR\tunknown event\nOK\n")
  }

  /// Bytes that are no text are checked as they are.
  @Test func batchTakesAnyBytes() throws {
    let lines = Array("ipi_send_cpu\tcomm == '".utf8) + [0xff] + Array("'\nipi_send_cpu\tcpu".utf8)
    let rest = [0xa0] + Array("== 1\nipi_send_cpu\tcpu == 1".utf8) + [0] + Array("\n".utf8)
    #expect(try run(["filter", "--batch"], input: lines + rest).output == "OK\nOK\nERR\t\n")
  }

  // MARK: - cpulist

  @Test func listIsPrintedCanonicallyAndInWords() throws {
    let list = try run(["cpulist", "--cpus", "40", "39,0-7:1/2,8"])
    #expect(list.status == 0 && list.output == "0,2,4,6,8,39\n80,00000155\n")
  }

  @Test func badListIsExplained() throws {
    let list = try run(["cpulist", "--cpus", "4", "0,3-1"])
    #expect(list.status == 1 && list.output == "")
    #expect(list.errors.contains("invalid") && list.errors.contains("byte 2"))
  }

  /// A line is a list with its blanks, and an empty one is the empty list.
  @Test func listsInABatch() throws {
    let lines = Array("0-2\n 1, 2 \n\n0-8\n3-1\n99999999999\nN\nall:1/2\n1".utf8) + [0xa0]
    let batch = try run(["cpulist", "--batch", "--cpus", "8"], input: lines)
    #expect(batch.status == 0)
    #expect(
      batch.output == """
        OK\t0-2
        OK\t1-2
        OK\t
        ERR\trange
        ERR\tinvalid
        ERR\toverflow
        OK\t7
        OK\t0,2,4,6
        OK\t1

        """)
  }

  // MARK: - Command line

  private static let mistakes: [([String], String)] = [
    ([], "isolation-trace filter"), (["filtre"], "there is no \"filtre\""),
    (["filter"], "--event NAME or --batch is needed"), (["filter", "x"], "--event"),
    (["filter", "--event", "nosuch", "x"], "there is no event \"nosuch\""),
    (["filter", "--event", "ipi_send_cpu"], "a filter is needed"),
    (["filter", "--event"], "--event wants a value"),
    (["filter", "--event", "ipi_send_cpu", "a", "b"], "one filter only"),
    (["filter", "--batch", "x"], "--batch takes"), (["filter", "--fast"], "unknown option"),
    (["filter", "--cpus", "0", "x"], "--cpus wants a number in 1...8192, not \"0\""),
    (["cpulist", "--cpus", "x"], "--cpus wants"), (["cpulist"], "a list is needed"),
    (["cpulist", "--batch", "0"], "--batch takes lists"), (["cpulist", "0", "1"], "one list only"),
  ]

  @Test(arguments: mistakes)
  func mistakesAreUsageErrors(_ arguments: [String], _ complaint: String) throws {
    let outcome = try run(arguments)
    #expect(outcome.status == 64 && outcome.output == "")
    #expect(outcome.errors.contains(complaint))
  }

  @Test func helpNamesEverySubcommandAndEvent() throws {
    let help = try run(["--help"])
    #expect(help.status == 0 && help.errors == "")
    for subcommand in TraceCommand.subcommands { #expect(help.output.contains(subcommand.usage)) }
    let filter = try run(["filter", "--help"])
    #expect(filter.status == 0 && filter.output == FilterCommand.usage)
    for event in ["ipi_send_cpu", "csd_function_exit", "text_poke"] {
      #expect(filter.output.contains(event))
    }
  }

  @Test func dashesEndTheOptions() throws {
    #expect(try run(["cpulist", "--cpus", "2", "--", "--1"]).status == 1)
  }
}
