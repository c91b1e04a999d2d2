// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolationTrace

/// Prints the events of recorded files.
struct ReportCommand: TraceSubcommand, Equatable {
  static let name = "report"

  static let usage = """
    isolation-trace report FILE… [--filter EVENT:EXPR]… [--event GLOB]… [--cpu LIST]
                           [--from TIME] [--to TIME] [--limit N] [--nanoseconds]
                           [--count-by FIELD] [--like trace-cmd] [--no-latency] [--hz N]

      Prints one event a line, with the kernel's own text of each. FILE is a trace.dat of version 6
      or 7, compressed or not. Several are merged by time, where their clocks can be
      compared. A file that is damaged is printed up to there, with exit status 1.

    \(Narrowing.usage)
      --nanoseconds        times with nine decimals
      --count-by FIELD     how many events have each value of a field, instead
      --like trace-cmd     print events as trace-cmd report does, where that differs
      --no-latency         leave out the column that says what was going on: d.h2. is
                           interrupts off, in the handler of one, preemption disabled twice
      --hz N               the kernel that recorded had N ticks in a second (CONFIG_HZ),
                           for the few events that turn ticks into milliseconds; 1000

    """

  var files: [String] = []
  var narrowing = Narrowing()
  var showsNanoseconds = false
  var field: String?
  var style = TraceTextReport.Style.kernel
  var showsLatency = true
  var ticksPerSecond = 1000

  init(_ arguments: [String]) throws(UsageError) {
    var arguments = Arguments(arguments)
    while let argument = arguments.next() {
      switch argument {
      case .option("--nanoseconds"): showsNanoseconds = true
      case .option("--count-by"):
        guard field == nil else { throw UsageError("--count-by counts by one field") }
        field = try arguments.value(of: "--count-by")
      case .option("--like"):
        let tool = try arguments.value(of: "--like")
        guard tool == "trace-cmd" else {
          throw UsageError("--like wants trace-cmd, not \"\(tool)\"")
        }
        style = .traceCmd
      case .option("--no-latency"): showsLatency = false
      case .option("--hz"):
        let text = try arguments.value(of: "--hz")
        guard let number = Int(text), (1...1_000_000).contains(number) else {
          throw UsageError("--hz wants a number in 1...1000000, not \"\(text)\"")
        }
        ticksPerSecond = number
      case .option(let name):
        guard try narrowing.take(name, &arguments) else {
          throw UsageError("unknown option \"\(name)\"")
        }
      case .operand(let operand): files.append(operand)
      }
    }
    guard !files.isEmpty else { throw UsageError("a file is needed") }
  }

  func run(_ console: inout Console) -> Int32 {
    do {
      var recordings: [TraceRecording] = []
      for file in files { recordings.append(try TraceRecording(contentsOf: file)) }
      for warning in recordings.flatMap(\.warnings) { complain("\(warning)", &console) }
      let selections = try narrowing.selections(of: recordings, isExact: showsNanoseconds)
      let selected = zip(recordings, selections).map { $0.selecting($1) }
      var merge = try TraceMerge(Array(zip(files, selected)))
      let hasEvents =
        if let field {
          try count(by: field, &merge, selected, selections, &console)
        } else {
          print(&merge, selected, &console)
        }
      for error in merge.damage { complain("\(error)", &console) }
      if let complaint = narrowing.complaint(about: recordings, hasEvents: hasEvents) {
        complain(complaint, &console)
        return 1
      }
      return merge.damage.isEmpty ? 0 : 1
    } catch let failure as Narrowing.Failure {
      console.complain(failure.report)
      complain(failure.message, &console)
    } catch {
      complain("\(error)", &console)
    }
    return 1
  }

  private func complain(_ message: String, _ console: inout Console) {
    console.complain("isolation-trace report: \(message)\n")
  }

  /// Returns whether there was an event.
  private func print(
    _ merge: inout TraceMerge, _ recordings: [TraceRecording], _ console: inout Console
  ) -> Bool {
    var reports = reports(of: recordings)
    let prefixes = prefixes
    for index in reports.indices {
      console.print("\(prefixes[index])\(reports[index].heading)\n")
    }
    var left = narrowing.limit ?? Int.max
    var hasEvents = false
    while left > 0, let (index, record) = merge.next() {
      left -= 1
      hasEvents = true
      // The line of a function without calls takes in its end. To trace-cmd they must come one
      // right after the other.
      let following =
        style == .kernel ? merge.following(record, of: index) : merge.upcoming(of: index)
      console.write { output in
        let start = output.count
        output += prefixes[index].utf8
        if reports[index].append(record, following: following, to: &output) {
          output.append(UInt8(ascii: "\n"))
        } else {
          output.removeLast(output.count - start)
        }
      }
    }
    return hasEvents
  }

  private func reports(of recordings: [TraceRecording]) -> [TraceTextReport] {
    recordings.map { recording in
      var report = TraceTextReport(recording, style: style, showsLatency: showsLatency)
      report.showsNanoseconds = showsNanoseconds
      report.ticksPerSecond = ticksPerSecond
      return report
    }
  }

  /// Which file a line is from, where there are several.
  private var prefixes: [String] {
    guard files.count > 1 else { return [""] }
    let width = files.map(\.utf8.count).max() ?? 0
    return files.map { String(repeating: " ", count: width - $0.utf8.count) + $0 + ": " }
  }

  /// As `sort | uniq -c` prints the lines `FIELD=VALUE`. Returns whether there was an event.
  private func count(
    by field: String, _ merge: inout TraceMerge, _ recordings: [TraceRecording],
    _ selections: [TraceSelection], _ console: inout Console
  ) throws(Narrowing.Failure) -> Bool {
    var reports = reports(of: recordings)
    var counts: [String: Int] = [:]
    var seen = recordings.map { _ in Set<Int>() }
    var left = narrowing.limit ?? Int.max
    while left > 0, let (index, record) = merge.next() {
      left -= 1
      seen[index].insert(record.event)
      guard let text = reports[index].text(ofField: field, in: record) else { continue }
      counts[text, default: 0] += 1
    }
    if counts.isEmpty { try demand(field, recordings, selections, seen) }
    for (text, count) in counts.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
      let number = String(count)
      let blanks = String(repeating: " ", count: max(0, 7 - number.count))
      console.print("\(blanks)\(number) \(field)=\(text)\n")
    }
    return seen.contains { !$0.isEmpty }
  }

  /// A field that none of the selected events has is a mistake.
  private func demand(
    _ field: String, _ recordings: [TraceRecording], _ selections: [TraceSelection],
    _ seen: [Set<Int>]
  ) throws(Narrowing.Failure) {
    var names: Set<String> = ["event", "CPU", "comm"]
    for (index, recording) in recordings.enumerated() {
      let formats =
        selections[index].formats ?? recording.eventFormats.filter { seen[index].contains($0.id) }
      for format in formats { names.formUnion(format.fields.map(\.name)) }
    }
    guard !names.contains(field) else { return }
    throw Narrowing.Failure(
      message: "no selected event has a field \"\(field)\"; there are "
        + names.sorted().joined(separator: ", "))
  }
}
