// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolationTrace

/// Prints the events of a recorded file.
struct ReportCommand: TraceSubcommand, Equatable {
  static let name = "report"

  static let usage = """
    isolation-trace report FILE [--filter EVENT:EXPR]… [--count-by FIELD]

      Prints one event a line, as trace-cmd report does. FILE is a trace.dat of version 6,
      or of version 7 without compression. A file that is damaged is printed up to there,
      with exit status 1.

      --filter EVENT:EXPR  only this event, and of it only what matches; may be repeated.
                           EVENT is a name such as ipi_send_cpu or ipi/ipi_send_cpu, EXPR
                           as for isolation-trace filter, such as 'cpu & CPUS{2-3}'
      --count-by FIELD     how many events have each value of a field, instead

    """

  /// An event, and what is asked of it.
  struct Filter: Equatable {
    var event: String
    var expression: String
  }

  var file: String
  var filters: [Filter] = []
  var field: String?

  init(_ arguments: [String]) throws(UsageError) {
    var arguments = Arguments(arguments)
    var file: String?
    while let argument = arguments.next() {
      switch argument {
      case .option("--filter"):
        let text = try arguments.value(of: "--filter")
        guard let colon = text.firstIndex(of: ":"), colon != text.startIndex else {
          throw UsageError("--filter wants EVENT:EXPR, not \"\(text)\"")
        }
        filters.append(
          Filter(
            event: String(text[..<colon]), expression: String(text[text.index(after: colon)...])))
      case .option("--count-by"):
        guard field == nil else { throw UsageError("--count-by counts by one field") }
        field = try arguments.value(of: "--count-by")
      case .option(let name): throw UsageError("unknown option \"\(name)\"")
      case .operand(let operand):
        guard file == nil else { throw UsageError("one file only: \"\(operand)\" is another") }
        file = operand
      }
    }
    guard let file else { throw UsageError("a file is needed") }
    self.file = file
  }

  func run(_ console: inout Console) -> Int32 {
    let recording: TraceRecording
    do {
      recording = try TraceRecording(contentsOf: file)
    } catch {
      console.complain("isolation-trace report: \(error)\n")
      return 1
    }
    var selection = TraceSelection(recording)
    for filter in filters {
      do {
        try selection.add(filter.event, filter.expression)
      } catch {
        if case .filter(_, let reason) = error { console.complain(reason.report) }
        console.complain("isolation-trace report: \(error)\n")
        return 1
      }
    }
    var records = recording.records()
    if let field {
      count(by: field, &records, selection, TraceTextReport(recording), &console)
    } else {
      var report = TraceTextReport(recording)
      console.print(report.heading + "\n")
      while let record = records.next() {
        if selection.contains(record) { console.print(report.line(for: record) + "\n") }
      }
    }
    for error in records.damage { console.complain("isolation-trace report: \(error)\n") }
    return records.damage.isEmpty ? 0 : 1
  }

  /// As `sort | uniq -c` prints the lines `FIELD=VALUE`.
  private func count(
    by field: String, _ records: inout TraceRecords, _ selection: TraceSelection,
    _ report: TraceTextReport, _ console: inout Console
  ) {
    var report = report
    var counts: [String: Int] = [:]
    while let record = records.next() {
      guard selection.contains(record), let text = report.text(ofField: field, in: record) else {
        continue
      }
      counts[text, default: 0] += 1
    }
    for (text, count) in counts.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
      let number = String(count)
      let blanks = String(repeating: " ", count: max(0, 7 - number.count))
      console.print("\(blanks)\(number) \(field)=\(text)\n")
    }
  }
}
