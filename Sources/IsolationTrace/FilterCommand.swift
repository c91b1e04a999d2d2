// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// Checks filters as the kernel would.
struct FilterCommand: TraceSubcommand, Equatable {
  static let name = "filter"

  static let usage = """
    isolation-trace filter --event NAME [--cpus N] [--program] EXPR
    isolation-trace filter --batch [--cpus N]

      Checks a trace event filter. Prints OK and exits 0, or prints the filter, a caret
      under what is wrong and the kernel's reason, and exits 1.

      --event NAME  the event, such as ipi_send_cpumask or ipi/ipi_send_cpumask
      --cpus N      how many CPUs there are (this machine's: \(Machine.cpuCount))
      --program     also prints the compiled program
      --batch       reads lines EVENT<TAB>EXPR, prints OK or ERR<TAB>REASON for each; exits
                    0 if every line has this form and a known event, else 65

      Events: \(events)

    """

  private static let events = TraceEventFormat.builtIn.map(\.name)
    .enumerated().map { ($0.offset % 4 == 3 ? "\n        " : "") + $0.element }
    .joined(separator: " ")

  /// Input that is not lines of a tab between two texts: `EX_DATAERR` of `sysexits.h`.
  static let badInput: Int32 = 65

  var cpuCount: Int
  var printsProgram = false
  /// The event and the filter; nil for a batch.
  var single: (event: TraceEventFormat, text: String)?

  static func == (left: FilterCommand, right: FilterCommand) -> Bool {
    left.cpuCount == right.cpuCount && left.printsProgram == right.printsProgram
      && left.single?.event == right.single?.event && left.single?.text == right.single?.text
  }

  init(_ arguments: [String]) throws(UsageError) {
    var arguments = Arguments(arguments)
    var cpuCount: Int?
    var event: String?
    var text: String?
    var isBatch = false
    while let argument = arguments.next() {
      switch argument {
      case .option("--batch"): isBatch = true
      case .option("--program"): printsProgram = true
      case .option("--cpus"): cpuCount = try arguments.cpuCount()
      case .option("--event"): event = try arguments.value(of: "--event")
      case .option(let name): throw UsageError("unknown option \"\(name)\"")
      case .operand(let operand):
        guard text == nil else { throw UsageError("one filter only: \"\(operand)\" is another") }
        text = operand
      }
    }
    self.cpuCount = cpuCount ?? Machine.cpuCount
    if isBatch {
      guard event == nil, text == nil, !printsProgram else {
        throw UsageError("--batch takes events and filters from standard input")
      }
      return
    }
    guard let event else { throw UsageError("--event NAME or --batch is needed") }
    guard let format = TraceEventFormat.builtIn(named: event) else {
      throw UsageError("there is no event \"\(event)\"")
    }
    guard let text else { throw UsageError("a filter is needed") }
    single = (format, text)
  }

  func run(_ console: inout Console) -> Int32 {
    guard let single else { return batch(&console) }
    do {
      let filter = try TraceFilter(single.text, for: single.event, cpuCount: cpuCount)
      console.print("OK\n")
      if printsProgram { console.print(filter.description) }
      return 0
    } catch {
      console.print(error.report)
      if let hint = error.hint { console.complain("hint: \(hint)\n") }
      return 1
    }
  }

  private func batch(_ console: inout Console) -> Int32 {
    var status: Int32 = 0
    while let line = console.readLine() {
      guard let tab = line.firstIndex(of: UInt8(ascii: "\t")) else {
        console.print("ERR\tno tab in this line\n")
        status = Self.badInput
        continue
      }
      let name = String(decoding: line[..<tab], as: UTF8.self)
      guard let event = TraceEventFormat.builtIn(named: name) else {
        console.print("ERR\tunknown event\n")
        status = Self.badInput
        continue
      }
      do {
        _ = try TraceFilter(utf8: Array(line[(tab + 1)...]), for: event, cpuCount: cpuCount)
        console.print("OK\n")
      } catch {
        console.print("ERR\t\(error.parseError)\n")
      }
    }
    return status
  }
}
