// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolationTrace
@testable import IsolationTrace

/// The command lines of `isolation-trace report` and `isolation-trace convert`.
@Suite struct ReportCommandTests {
  private func complaint(_ body: () throws(UsageError) -> Void) -> String? {
    do {
      try body()
      return nil
    } catch {
      return error.message
    }
  }

  @Test func report() throws {
    let command = try ReportCommand([
      "t.dat", "--filter", "ipi_send_cpu:cpu & CPUS{1}", "--count-by", "callback", "--filter",
      "ipi/ipi_send_cpumask:",
    ])
    #expect(command.files == ["t.dat"])
    #expect(command.field == "callback")
    #expect(command.narrowing.filters.map(\.event) == ["ipi_send_cpu", "ipi/ipi_send_cpumask"])
    #expect(command.narrowing.filters.map(\.expression) == ["cpu & CPUS{1}", ""])
  }

  @Test(arguments: [
    ([], "a file is needed"), (["--fast"], "unknown option"), (["a", "--event"], "wants a value"),
    (["a", "--cpu", "1", "--cpu", "2"], "one list"), (["a", "--limit", "0"], "above 0"),
    (["a", "--limit", "many"], "above 0"), (["a", "--from", "noon"], "seconds as the report"),
    (["a", "--to", "1."], "seconds as the report"),
    (["a", "--from", "-1"], "seconds as the report"),
    (["a", "--to", "1.0000000001"], "seconds as the report"),
    (["a", "--filter"], "wants a value"), (["a", "--filter", "x"], "wants EVENT:EXPR"),
    (["a", "--filter", ":x"], "wants EVENT:EXPR"),
    (["a", "--count-by", "x", "--count-by", "y"], "by one field"),
  ])
  func reportMistakes(arguments: [String], expected: String) {
    #expect(
      complaint { () throws(UsageError) in _ = try ReportCommand(arguments) }?.contains(expected)
        == true)
  }

  @Test func convert() throws {
    let command = try ConvertCommand(["t.dat", "-o", "out", "--to", "chrome"])
    #expect(command.file == "t.dat" && command.output == "out" && command.format == .chrome)
  }

  @Test(arguments: [
    ([], "a file is needed"), (["a"], "--to FORMAT is needed"), (["a", "--to", "dat"], "-o OUT"),
    (["a", "--to", "pdf", "-o", "b"], "one of text, dat, perfetto, chrome, html"),
    (["a", "b"], "one file only"), (["a", "--compression", "rar"], "one of none, zstd, zlib"),
    (["a", "--to", "html", "-o", "b", "--compression", "zstd"], "is for --to dat"),
    (["a", "--to", "dat", "-o", "b", "--isolated", "1"], "is for --to html"),
    (["a", "--isolated", "x"], "--isolated"),
    (["a", "--to"], "wants a value"), (["a", "-o"], "wants a value"), (["--all"], "unknown option"),
  ])
  func convertMistakes(arguments: [String], expected: String) {
    #expect(
      complaint { () throws(UsageError) in _ = try ConvertCommand(arguments) }?.contains(expected)
        == true)
  }

  /// Each format becomes a file that is what the library makes.
  @Test(arguments: TraceOutputFormat.allCases) func convertsFiles(format: TraceOutputFormat) throws
  {
    let folder = try TemporaryFolder()
    let output = folder.path("out")
    let command = try ConvertCommand([
      Fixture.path("kernel-7.dat"), "--to", format.rawValue, "-o", output,
    ])
    var console = Console()
    #expect(command.run(&console) == 0)
    let expected = try TraceRecording(contentsOf: Fixture.path("kernel-7.dat"))
      .encoded(as: format).bytes
    #expect(try TraceSource(path: output).read(at: 0, count: 1 << 24) == expected)
  }
}
