// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// A recording as text: one line for each event, as `trace-cmd report` prints it.
///
/// ```swift
/// var report = TraceTextReport(recording)
/// print(report.heading)
/// for record in recording.records() { print(report.line(for: record)) }
/// ```
///
/// Events of `sched` and of the timers are printed as trace-cmd's plugins print them. A thread that
/// was not named when the recording was written gets the name that a scheduler event tells, from
/// that event on. An event whose format cannot be understood is printed field by field.
///
/// - Source: `trace-cmd report` (trace-cmd 3.1.6 with libtraceevent 1.7.1).
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: text
public struct TraceTextReport: Sendable {
  /// Whether times have nine decimals, not six.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var showsNanoseconds = false

  private let recording: TraceRecording
  private var threadNames: [Int32: String]
  private var printers: [Int: EventPrinter] = [:]
  private let bufferPrefixes: [String]

  /// Makes a report of a recording.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: yes
  public init(_ recording: TraceRecording) {
    self.recording = recording
    threadNames = recording.threadNames
    let names = recording.buffers.map(\.name)
    let width = names.map(\.count).max() ?? 0
    // Only where there is more than one buffer does a line say which it is from.
    bufferPrefixes =
      names.count < 2 && !recording.options.leavesInstanceOut
      ? []
      : names.map { name in
        String(repeating: " ", count: width - name.count) + name + (name.isEmpty ? "  " : ": ")
      }
  }

  /// The line above the events.
  public var heading: String { "cpus=\(recording.cpuCount)" }

  /// The line of an event, without a line break at its end. If events are missing before it, a line
  /// in front says so.
  ///
  /// `report.line(for: record)`
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the text
  public mutating func line(for record: TraceRecord) -> String {
    var line: [UInt8] = []
    append(record, to: &line)
    return String(decoding: line, as: UTF8.self)
  }

  /// The name of a thread, as the lines show it.
  ///
  /// `report.name(ofThread: record.thread)`
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public func name(ofThread thread: Int32) -> String {
    thread == 0 ? "<idle>" : threadNames[thread] ?? "<...>"
  }

  package mutating func append(_ record: TraceRecord, to line: inout [UInt8]) {
    if !bufferPrefixes.isEmpty { line += bufferPrefixes[record.buffer].utf8 }
    switch record.loss {
    case .events(let count)?: line += "CPU:\(record.cpu) [\(count) EVENTS DROPPED]\n".utf8
    case .unknown?: line += "CPU:\(record.cpu) [EVENTS DROPPED]\n".utf8
    case nil: break
    }
    let thread = record.thread
    appendPadded(name(ofThread: thread), 16, to: &line)
    let number = String(thread)
    let cpu = String(record.cpu)
    line += "-\(number)\(Self.blanks(5 - number.utf8.count)) ".utf8
    line += "[\(String(repeating: "0", count: max(0, 3 - cpu.utf8.count)))\(cpu)]".utf8
    appendTime(record, to: &line)
    appendEvent(record, to: &line)
    if line.last == UInt8(ascii: "\n") { line.removeLast() }
  }

  private func appendTime(_ record: TraceRecord, to line: inout [UInt8]) {
    guard recording.buffers[record.buffer].countsNanoseconds else {
      // Ticks have no blank before them: their field is wide enough for a while.
      appendPadded(String(record.timestamp), 12, to: &line)
      line += ": ".utf8
      return
    }
    if showsNanoseconds {
      let (seconds, rest) = record.timestamp.quotientAndRemainder(dividingBy: 1_000_000_000)
      line += " ".utf8
      appendPadded(String(seconds), 5, to: &line)
      let fraction = String(rest)
      line += ".\(String(repeating: "0", count: 9 - fraction.utf8.count))\(fraction): ".utf8
      return
    }
    let (sum, overflow) = record.timestamp.addingReportingOverflow(500)
    let microseconds = (overflow ? record.timestamp : sum) / 1000
    line += " ".utf8
    appendPadded(String(microseconds / 1_000_000), 5, to: &line)
    let fraction = String(microseconds % 1_000_000)
    line += ".\(String(repeating: "0", count: 6 - fraction.utf8.count))\(fraction): ".utf8
  }

  private mutating func appendEvent(_ record: TraceRecord, to line: inout [UInt8]) {
    let number = record.event
    guard let format = recording.formats[number] else {
      line += "[UNKNOWN EVENT \(number)]".utf8
      return
    }
    line += "\(format.name): \(Self.blanks(20 - format.name.utf8.count))".utf8
    appendInformation(record, format, to: &line)
  }

  /// What stands behind the event's name.
  mutating func information(of record: TraceRecord) -> String {
    guard let format = recording.formats[record.event] else { return "" }
    var line: [UInt8] = []
    appendInformation(record, format, to: &line)
    return String(decoding: line, as: UTF8.self)
  }

  private mutating func appendInformation(
    _ record: TraceRecord, _ format: TraceEventFormat, to line: inout [UInt8]
  ) {
    printer(of: format).append(to: &line, recording.context(of: record), &threadNames)
  }

  private mutating func printer(of format: TraceEventFormat) -> EventPrinter {
    if let known = printers[format.id] { return known }
    let printer = EventPrinter(format)
    printers[format.id] = printer
    return printer
  }

  /// The value of a field, as the event's line shows it; nil if the event has no such field.
  ///
  /// ```swift
  /// report.text(ofField: "callback", in: record)  // do_flush_tlb_all+0x0
  /// ```
  ///
  /// Besides the event's own fields there are `event`, `CPU` and `comm`, for the name of the event,
  /// the CPU that recorded it and the thread's name; `cpu` is the CPU too where the event has no
  /// field of that name.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the text
  public mutating func text(ofField name: String, in record: TraceRecord) -> String? {
    let format = recording.formats[record.event]
    guard let format, let field = format.field(named: name) else {
      switch name {
      case "event": return format?.name
      case "CPU", "cpu": return String(record.cpu)
      case "comm", "COMM": return self.name(ofThread: record.thread)
      default: return nil
      }
    }
    var line: [UInt8] = []
    printer(of: format).append(field: field, to: &line, recording.context(of: record))
    return String(decoding: line, as: UTF8.self)
  }

  private func appendPadded(_ text: String, _ width: Int, to line: inout [UInt8]) {
    line += Self.blanks(width - text.utf8.count).utf8
    line += text.utf8
  }

  private static func blanks(_ count: Int) -> String {
    String(repeating: " ", count: max(0, count))
  }
}

extension TraceRecording {
  func context(of record: TraceRecord) -> PrintContext {
    PrintContext(
      payload: record.payload, symbols: symbols, printkTexts: printkTexts,
      longSize: buffers[record.buffer].layout.longSize)
  }
}

extension TraceRecording.Buffer {
  /// Whether times are nanoseconds; those of a counter are numbers without a unit.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var countsNanoseconds: Bool {
    hasTickRate || !["counter", "x86-tsc", "ppc-tb"].contains(clock)
  }
}
