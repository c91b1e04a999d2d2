// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// What stands after the name in the lines of one format's events: compiled when the first of them
/// is printed.
final class EventPrinter: Sendable {
  enum Kind: Sendable {
    /// By the event's `print fmt:` line.
    case program(PrintProgram)
    /// By the names and values of the fields, for a line that cannot be understood.
    case fields([TraceEventFormat.Field])
    /// Entries of ftrace's own, whose text is not in their format.
    case tracer(TracerEntry)
    case syscall(SyscallEntry)
    /// As trace-cmd's plugins print it.
    case plugin(TraceCmdPlugin)
    /// By the format, after the function that asked for memory.
    case allocation(callsite: TraceEventFormat.Field, PrintProgram)
  }

  let kind: Kind
  let format: TraceEventFormat
  /// The name and what is between it and the text.
  let heading: [UInt8]
  /// Where the numbers and names of threads are, in events that tell them.
  private let threads: [(number: TraceEventFormat.Field, name: TraceEventFormat.Field)]

  init(_ format: TraceEventFormat, longSize: Int, style: TraceTextReport.Style) {
    self.format = format
    let blanks = String(repeating: " ", count: max(0, 20 - format.name.utf8.count))
    heading = Array("\(format.name): \(blanks)".utf8)
    let isScheduler =
      format.system == "sched"
      && ["sched_switch", "sched_wakeup", "sched_wakeup_new"].contains(format.name)
    threads =
      !isScheduler
      ? []
      : ["prev_", "next_", ""].compactMap { prefix in
        guard let number = format.field(named: prefix + "pid"),
          let name = format.field(named: prefix + "comm")
        else { return nil }
        return (number, name)
      }
    if let entry = TracerEntry(format, longSize: longSize, style: style) {
      kind = .tracer(entry)
    } else if style == .kernel, let entry = SyscallEntry(format) {
      kind = .syscall(entry)
    } else if style == .traceCmd, let plugin = TraceCmdPlugin(format, longSize: longSize) {
      kind = .plugin(plugin)
    } else {
      do {
        let program = try PrintCompiler.program(of: format, longSize: longSize, style: style)
        if style == .traceCmd, format.system == "kmem",
          let callsite = format.field(named: "call_site")
        {
          kind = .allocation(callsite: callsite, program)
        } else {
          kind = .program(program)
        }
      } catch {
        kind = .fields(format.fields.filter { !$0.name.hasPrefix("common_") })
      }
    }
  }

  /// Prints an event; false if it is printed already, in the line of another.
  func append(
    _ event: PrintedEvent, _ record: RawSpan, _ state: inout PrintState, to line: inout [UInt8]
  ) -> Bool {
    if !threads.isEmpty { keepNames(record, &state) }
    switch kind {
    case .program(let program): program.run(record, &state.environment, to: &line)
    case .allocation(let callsite, let program):
      let address = record.number(of: callsite)
      if state.environment.place(of: address) != nil {
        line.append("(")
        state.environment.appendFunction(
          address, showsOffset: true, showsModule: false, to: &line)
        line.append(") ")
      }
      program.run(record, &state.environment, to: &line)
    case .tracer(let entry): return entry.append(event, record, &state, to: &line)
    case .syscall(let entry): entry.append(record, to: &line)
    case .plugin(let plugin): plugin.append(record, &state.environment, to: &line)
    case .fields(let fields):
      line.append("[FAILED TO PARSE]")
      for field in fields {
        line.append(" ")
        line += field.name.utf8
        line.append("=")
        append(field, record, &state.environment, to: &line)
      }
    }
    return true
  }

  private func keepNames(_ record: RawSpan, _ state: inout PrintState) {
    for (number, name) in threads {
      let thread = Int32(truncatingIfNeeded: record.number(of: number))
      state.name(
        thread, record.string(record.text(from: name.offset, to: name.offset + name.size)))
    }
  }

  /// One field, as the line shows it.
  func append(
    field: TraceEventFormat.Field, _ record: RawSpan, _ environment: inout PrintEnvironment,
    to line: inout [UInt8]
  ) {
    if case .program(let program) = kind, let (instructions, hasBase) = program.shown[field.name] {
      if hasBase { line.append("0x") }
      program.run(instructions, record, &environment, to: &line)
    } else {
      append(field, record, &environment, to: &line)
    }
  }

  /// A field without any format: pointers and longs in hexadecimal, texts as they are.
  private func append(
    _ field: TraceEventFormat.Field, _ record: RawSpan, _ environment: inout PrintEnvironment,
    to line: inout [UInt8]
  ) {
    if field.isArray {
      let range =
        field.isLocation
        ? record.content(at: field.offset, base: Int(field.locationBase))
        : field
          .offset..<max(
            field.offset,
            field.size == 0 ? record.byteCount : min(field.offset + field.size, record.byteCount))
      let text = record.text(from: range.lowerBound, to: range.upperBound)
      if field.type.contains("char"), text.allSatisfy({ record.byte(at: $0).isPrintable }) {
        line.append(record, text)
        return
      }
      line.append("ARRAY[")
      for index in range {
        if index > range.lowerBound { line.append(", ") }
        line.appendByte(record.byte(at: index))
      }
      line.append("]")
      return
    }
    let value = record.number(of: field)
    let isLong = field.type.split(separator: " ").contains("long")
    if field.isPointer || isLong && !field.isSigned {
      line.append("0x")
      line.appendHexadecimal(value)
    } else if field.isSigned {
      if field.size == 2, value < 10 { line.append(" ") }
      line.appendDecimal(Int64(bitPattern: value))
    } else {
      line.appendDecimal(value)
    }
  }
}

extension RawSpan {
  /// A field's number, with its sign.
  func number(of field: TraceEventFormat.Field) -> UInt64 {
    number(at: field.offset, PrintWidth(size: field.size, isSigned: field.isSigned))
  }

  func string(_ range: Range<Int>) -> String {
    var bytes: [UInt8] = []
    bytes.append(self, range)
    return String(decoding: bytes, as: UTF8.self)
  }
}

extension UInt8 {
  /// What C's `isprint` and `isspace` say of it.
  fileprivate var isPrintable: Bool { (0x20...0x7e).contains(self) || (0x09...0x0d).contains(self) }
}
