// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// A recording as text: one line for each event.
///
/// ```swift
/// var report = TraceTextReport(recording)
/// print(report.heading)
/// for record in recording.records() { print(report.line(for: record)) }
/// ```
///
/// The columns are those of `trace-cmd report`; what stands after an event's name is what the kernel
/// prints. A thread that was not named when the recording was written gets the name that a scheduler
/// event tells, from that event on. An event whose format cannot be understood is printed field by
/// field.
///
/// - Source: `trace-cmd report` (trace-cmd 3.3.3 with libtraceevent 1.8.4); the `trace` file of
///   Linux 6.18.
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: text
public struct TraceTextReport: Sendable {
  /// Whose text stands after an event's name.
  ///
  /// `kernel`: what the kernel's own `trace` file would say, with C's numbers. `traceCmd`: what
  /// `trace-cmd report` says; the two differ as Documentation/Tracing.md lists.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public enum Style: Sendable {
    case kernel, traceCmd
  }

  /// Whether times have nine decimals, not six.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var showsNanoseconds = false

  private let recording: TraceRecording
  private let style: Style
  private let latency: LatencyColumn?
  private var state: PrintState
  /// By the number of the format.
  private var printers: [EventPrinter?] = []
  private let bufferPrefixes: [[UInt8]]
  private let countsNanoseconds: [Bool]
  private let longSize: Int

  /// Makes a report of a recording.
  ///
  /// - Parameters:
  ///   - recording: what is printed.
  ///   - style: whose text stands after an event's name.
  ///   - showsLatency: whether a column says what was going on: `d.h2.` is interrupts off, in a
  ///     handler of one, with preemption disabled twice.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: yes
  public init(_ recording: TraceRecording, style: Style = .kernel, showsLatency: Bool = true) {
    self.recording = recording
    self.style = style
    latency = showsLatency ? LatencyColumn(recording, style: style) : nil
    state = PrintState(recording)
    let names = recording.buffers.map(\.name)
    let width = names.map(\.count).max() ?? 0
    // Only where there is more than one buffer does a line say which it is from.
    bufferPrefixes =
      names.count < 2 && !recording.options.leavesInstanceOut
      ? []
      : names.map { name in
        let blanks = String(repeating: " ", count: width - name.count)
        return Array((blanks + name + (name.isEmpty ? "  " : ": ")).utf8)
      }
    countsNanoseconds = recording.buffers.map(\.countsNanoseconds)
    longSize = recording.buffers.first?.layout.longSize ?? 8
  }

  /// How many ticks of its clock the recording kernel had in a second (`CONFIG_HZ`), for formats that
  /// turn ticks into milliseconds. No recording says it; until it is set it is 1000.
  ///
  /// `report.ticksPerSecond = 250`
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var ticksPerSecond: Int {
    get { Int(state.environment.ticksPerSecond) }
    set { state.environment.ticksPerSecond = UInt64(max(1, newValue)) }
  }

  /// The line above the events.
  public var heading: String { "cpus=\(recording.cpuCount)" }

  /// The line of an event, without a line break at its end. If events are missing before it, a line
  /// above says so.
  ///
  /// `report.line(for: record)`
  ///
  /// - Parameter record: the next event in the order of time.
  /// - Returns: one line, or two where events are missing before it.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the text
  public mutating func line(for record: TraceRecord) -> String {
    var line: [UInt8] = []
    _ = append(record, following: nil, to: &line)
    return String(decoding: line, as: UTF8.self)
  }

  /// The name of a thread, as the lines show it.
  ///
  /// `report.name(ofThread: record.thread)`
  ///
  /// - Parameter thread: the system's number of the thread.
  /// - Returns: its name; `<idle>` for 0, and `<...>` if the recording does not say.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public func name(ofThread thread: Int32) -> String {
    thread == 0 ? "<idle>" : state.threadNames[thread] ?? "<...>"
  }

  /// Appends the line of an event, without a line break at its end.
  ///
  /// ```swift
  /// if report.append(record, following: records.following(record), to: &text) {
  ///   text.append(UInt8(ascii: "\n"))
  /// }
  /// ```
  ///
  /// - Parameters:
  ///   - record: the event.
  ///   - following: the next event of its CPU, if it is known: a function that calls no other is
  ///     printed in one line with its end.
  ///   - line: what is appended to.
  /// - Returns: whether there is a line; the end of a function may be in the line of its beginning.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: when the text grows
  public mutating func append(
    _ record: TraceRecord, following: TraceRecord?, to line: inout [UInt8]
  ) -> Bool {
    let start = line.count
    if !bufferPrefixes.isEmpty { line += bufferPrefixes[record.buffer] }
    switch record.loss {
    case .events(let count)?:
      appendLoss(of: record.cpu, to: &line)
      line.appendDecimal(count)
      line.append(" EVENTS DROPPED]\n")
    case .unknown?:
      appendLoss(of: record.cpu, to: &line)
      line.append("EVENTS DROPPED]\n")
    case nil: break
    }
    let textStart = line.count
    let payload = record.payload
    let bytes = unsafe payload.span.bytes
    appendColumns(record, bytes, to: &line)
    let number = bytes.event
    guard let printer = printer(of: number) else {
      line.append("[UNKNOWN EVENT ")
      line.appendDecimal(UInt64(number))
      line.append("]")
      return true
    }
    line += printer.heading
    let event = PrintedEvent(
      cpu: record.cpu, buffer: record.buffer, timestamp: record.timestamp, thread: bytes.thread,
      following: following)
    guard printer.append(event, bytes, &state, to: &line) else {
      // That events are missing is said all the same.
      line.removeLast(line.count - (record.loss == nil ? start : textStart))
      if record.loss != nil { line.removeLast() }
      return record.loss != nil
    }
    if line.last == UInt8(ascii: "\n") { line.removeLast() }
    return true
  }

  private func appendLoss(of cpu: Int, to line: inout [UInt8]) {
    line.append("CPU:")
    line.appendDecimal(UInt64(cpu))
    line.append(" [")
  }

  /// Name, thread, CPU, latency and time.
  private mutating func appendColumns(
    _ record: TraceRecord, _ bytes: RawSpan, to line: inout [UInt8]
  ) {
    let thread = bytes.thread
    state.appendName(ofThread: thread, to: &line)
    line.append(UInt8(ascii: "-"))
    let numberStart = line.count
    line.appendDecimal(Int64(thread))
    line.appendBlanks(5 - (line.count - numberStart))
    line.append(" [")
    line.appendDecimal(UInt64(record.cpu), width: 3, filler: UInt8(ascii: "0"))
    line.append("]")
    if let latency {
      line.append(" ")
      latency.append(bytes, to: &line)
    }
    if countsNanoseconds[record.buffer] {
      line.append(" ")
      line.appendTime(record.timestamp, showsNanoseconds: showsNanoseconds)
    } else {
      // Ticks have no blank before them: their field is wide enough for a while.
      line.appendDecimal(record.timestamp, width: 12)
    }
    line.append(": ")
  }

  /// What stands after the event's name.
  mutating func information(of record: TraceRecord) -> String {
    guard let printer = printer(of: record.event) else { return "" }
    var line: [UInt8] = []
    let event = PrintedEvent(
      cpu: record.cpu, buffer: record.buffer, timestamp: record.timestamp, thread: record.thread)
    _ = printer.append(event, unsafe record.payload.span.bytes, &state, to: &line)
    return String(decoding: line, as: UTF8.self)
  }

  private mutating func printer(of event: Int) -> EventPrinter? {
    if event < printers.count, let known = printers[event] { return known }
    guard let format = recording.formats[event] else { return nil }
    let printer = EventPrinter(format, longSize: longSize, style: style)
    while printers.count <= event { printers.append(nil) }
    printers[event] = printer
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
  /// - Parameters:
  ///   - name: a field of the event, or one of the four that every event has.
  ///   - record: an event of the recording.
  /// - Returns: the text.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the text
  public mutating func text(ofField name: String, in record: TraceRecord) -> String? {
    let printer = printer(of: record.event)
    guard let printer, let field = printer.format.field(named: name) else {
      switch name {
      case "event": return printer?.format.name
      case "CPU", "cpu": return String(record.cpu)
      case "comm", "COMM": return self.name(ofThread: record.thread)
      default: return nil
      }
    }
    var line: [UInt8] = []
    printer.append(field: field, unsafe record.payload.span.bytes, &state.environment, to: &line)
    return String(decoding: line, as: UTF8.self)
  }
}

extension RawSpan {
  /// The common fields of a record.
  @inline(__always)
  fileprivate var event: Int { Int(number(at: 0, PrintWidth(size: 2, isSigned: false))) }

  @inline(__always)
  fileprivate var thread: Int32 {
    Int32(truncatingIfNeeded: number(at: 4, PrintWidth(size: 4, isSigned: true)))
  }
}

extension TraceRecording {
  func context(of record: TraceRecord) -> PrintContext {
    PrintContext(payload: record.payload, symbols: symbols)
  }
}

extension TraceRecording.Buffer {
  /// Whether times are nanoseconds; those of a counter are numbers without a unit.
  package var countsNanoseconds: Bool {
    hasTickRate || !["counter", "x86-tsc", "ppc-tb"].contains(clock)
  }
}
