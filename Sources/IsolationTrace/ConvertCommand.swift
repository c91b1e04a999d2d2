// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolationTrace

/// Writes a recorded file in another format.
struct ConvertCommand: TraceSubcommand, Equatable {
  static let name = "convert"

  static let usage = """
    isolation-trace convert FILE --to FORMAT -o OUT

      Writes a trace.dat (version 6, or 7 without compression) as something else. What is
      damaged is left out, with exit status 1.

      --to text    lines as of isolation-trace report
      --to dat     trace.dat version 6, for trace-cmd and KernelShark
      --to chrome  JSON for ui.perfetto.dev and chrome://tracing
      --to html    one page with a timeline and a table of interferences
      -o OUT       the file to write; - is standard output

    """

  var file: String
  var format: TraceOutputFormat
  var output: String

  init(_ arguments: [String]) throws(UsageError) {
    var arguments = Arguments(arguments)
    var file: String?
    var format: TraceOutputFormat?
    var output: String?
    while let argument = arguments.next() {
      switch argument {
      case .option("--to"):
        let text = try arguments.value(of: "--to")
        guard let known = TraceOutputFormat(rawValue: text) else {
          let names = TraceOutputFormat.allCases.map(\.rawValue).joined(separator: ", ")
          throw UsageError("--to wants one of \(names), not \"\(text)\"")
        }
        format = known
      case .operand("-o"): output = try arguments.value(of: "-o")
      case .option(let name): throw UsageError("unknown option \"\(name)\"")
      case .operand(let operand):
        guard file == nil else { throw UsageError("one file only: \"\(operand)\" is another") }
        file = operand
      }
    }
    guard let file else { throw UsageError("a file is needed") }
    guard let format else { throw UsageError("--to FORMAT is needed") }
    guard let output else { throw UsageError("-o OUT is needed") }
    (self.file, self.format, self.output) = (file, format, output)
  }

  func run(_ console: inout Console) -> Int32 {
    do {
      let damage = try TraceRecording(contentsOf: file).write(format, to: output)
      for error in damage { console.complain("isolation-trace convert: \(error)\n") }
      return damage.isEmpty ? 0 : 1
    } catch {
      console.complain("isolation-trace convert: \(error)\n")
      return 1
    }
  }
}
