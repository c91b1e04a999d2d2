// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import CPUIsolationTrace

/// Writes a recorded file in another format.
struct ConvertCommand: TraceSubcommand, Equatable {
  static let name = "convert"

  static let usage = """
    isolation-trace convert FILE --to FORMAT -o OUT [--isolated LIST]
                            [--compression METHOD]
                            [--filter EVENT:EXPR]… [--event GLOB]… [--cpu LIST]
                            [--from TIME] [--to TIME] [--limit N]

      Writes a trace.dat (version 6 or 7, compressed or not) as something else. What is
      damaged is left out, with exit status 1.

      --to text            lines as of isolation-trace report
      --to dat             trace.dat, for trace-cmd and KernelShark
      --to perfetto        Perfetto's own format, for ui.perfetto.dev
      --to chrome          JSON for ui.perfetto.dev and chrome://tracing
      --to html            one page: a timeline, and tables of what disturbed which CPU
      -o OUT               the file to write; - is standard output
      --isolated LIST      the CPUs that come first on the page, such as 2-3; unless it is
                           said, those that go to user or that work is deferred for
      --compression METHOD of a trace.dat: none, which is version 6, or zstd or zlib,
                           which is version 7
    \(Narrowing.usage)

    """

  var file: String
  var format: TraceOutputFormat
  var output: String
  var compression = TraceCompression.none
  var narrowing = Narrowing()
  var isolated: CPUMask?

  init(_ arguments: [String]) throws(UsageError) {
    var arguments = Arguments(arguments)
    var file: String?
    var format: TraceOutputFormat?
    var output: String?
    while let argument = arguments.next() {
      switch argument {
      case .option("--to"):
        let text = try arguments.value(of: "--to")
        // A time begins with a digit, and no format does.
        if text.first?.isNumber == true {
          narrowing.to = try ReportTime(text, "--to")
          continue
        }
        guard let known = TraceOutputFormat(rawValue: text) else {
          let names = TraceOutputFormat.allCases.map(\.rawValue).joined(separator: ", ")
          throw UsageError("--to wants one of \(names), not \"\(text)\"")
        }
        format = known
      case .option("--compression"):
        let text = try arguments.value(of: "--compression")
        guard let known = TraceCompression(rawValue: text) else {
          let names = TraceCompression.allCases.map(\.rawValue).joined(separator: ", ")
          throw UsageError("--compression wants one of \(names), not \"\(text)\"")
        }
        compression = known
      case .option("--isolated"):
        let text = try arguments.value(of: "--isolated")
        do {
          isolated = try CPUMask(cpuList: text, width: CPUMask.maximumWidth)
        } catch {
          throw UsageError("--isolated: \(error)")
        }
      case .operand("-o"): output = try arguments.value(of: "-o")
      case .option(let name):
        guard try narrowing.take(name, &arguments) else {
          throw UsageError("unknown option \"\(name)\"")
        }
      case .operand(let operand):
        guard file == nil else { throw UsageError("one file only: \"\(operand)\" is another") }
        file = operand
      }
    }
    guard let file else { throw UsageError("a file is needed") }
    guard let format else { throw UsageError("--to FORMAT is needed") }
    guard let output else { throw UsageError("-o OUT is needed") }
    guard compression == .none || format == .traceDat else {
      throw UsageError("--compression is for --to dat")
    }
    guard isolated == nil || format == .html else {
      throw UsageError("--isolated is for --to html")
    }
    (self.file, self.format, self.output) = (file, format, output)
  }

  func run(_ console: inout Console) -> Int32 {
    do {
      var recording = try TraceRecording(contentsOf: file)
      for warning in recording.warnings { complain("\(warning)", &console) }
      if narrowing != Narrowing() {
        let whole = recording
        recording = whole.selecting(try narrowing.selections(of: [whole], isExact: false)[0])
        var records = recording.records()
        let hasEvents = records.next() != nil
        if let complaint = narrowing.complaint(about: [whole], hasEvents: hasEvents) {
          complain(complaint, &console)
          return 1
        }
      }
      let damage =
        if format == .html {
          try HTMLReport([HTMLReport.Part(recording, isolated: isolated)]).write(to: output)
        } else {
          try recording.write(format, to: output, compression: compression)
        }
      for error in damage { complain("\(error)", &console) }
      return damage.isEmpty ? 0 : 1
    } catch let failure as Narrowing.Failure {
      console.complain(failure.report)
      complain(failure.message, &console)
    } catch {
      complain("\(error)", &console)
    }
    return 1
  }
  private func complain(_ message: String, _ console: inout Console) {
    console.complain("isolation-trace convert: \(message)\n")
  }
}
