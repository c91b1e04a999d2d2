// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// What stands behind the name in an event's line.
enum EventPrinter: Sendable {
  /// By the event's `print fmt:` line.
  case format(PrintFormat)
  /// By the names and values of the fields, for a line that cannot be understood.
  case fields([TraceEventFormat.Field])
  /// As trace-cmd's plugins print it.
  case schedulerSwitch(TraceEventFormat)
  case schedulerWakeup(TraceEventFormat)
  case timerStart(TraceEventFormat)
  case timerExpiry(TraceEventFormat)

  init(_ format: TraceEventFormat) {
    switch "\(format.system):\(format.name)" {
    case "sched:sched_switch": self = .schedulerSwitch(format)
    case "sched:sched_wakeup", "sched:sched_wakeup_new": self = .schedulerWakeup(format)
    case "timer:hrtimer_start": self = .timerStart(format)
    case "timer:hrtimer_expire_entry": self = .timerExpiry(format)
    default:
      do {
        self = .format(try PrintFormat(format))
      } catch {
        self = .fields(Array(format.fields.filter { !$0.name.hasPrefix("common_") }))
      }
    }
  }

  func append(
    to line: inout [UInt8], _ context: PrintContext, _ threadNames: inout [Int32: String]
  ) {
    switch self {
    case .format(let format): format.append(to: &line, context)
    case .fields(let fields):
      line += "[FAILED TO PARSE]".utf8
      for field in fields {
        line += " \(field.name)=".utf8
        Self.append(field, to: &line, context)
      }
    case .schedulerSwitch(let format):
      Self.appendThread(format, "prev_", to: &line, context, &threadNames)
      line += " ".utf8
      if let priority = format.field(named: "prev_prio") {
        line += "[\(Int32(truncatingIfNeeded: context.number(of: priority)))] ".utf8
      }
      if let state = format.field(named: "prev_state") {
        line += Self.stateText(context.number(of: state)).utf8
      }
      line += " ==> ".utf8
      Self.appendThread(format, "next_", to: &line, context, &threadNames)
      if let priority = format.field(named: "next_prio") {
        line += " [\(Int32(truncatingIfNeeded: context.number(of: priority)))]".utf8
      }
    case .schedulerWakeup(let format):
      Self.appendThread(format, "", to: &line, context, &threadNames)
      for (name, before, after, digits) in [
        ("prio", " [", "]", 0), ("success", " success=", "", 0), ("target_cpu", " CPU:", "", 3),
      ] {
        guard let field = format.field(named: name) else { continue }
        let text = String(context.number(of: field))
        let zeros = String(repeating: "0", count: max(0, digits - text.utf8.count))
        line += (before + zeros + text + after).utf8
      }
    case .timerStart(let format):
      Self.appendTimer(format, ["expires", "softexpires"], to: &line, context)
    case .timerExpiry(let format): Self.appendTimer(format, ["now"], to: &line, context)
    }
  }

  /// One field, as the line shows it.
  func append(field: TraceEventFormat.Field, to line: inout [UInt8], _ context: PrintContext) {
    if case .format(let format) = self, format.append(field: field.name, to: &line, context) {
      return
    }
    Self.append(field, to: &line, context)
  }

  /// `comm:pid`, and keeps the name.
  private static func appendThread(
    _ format: TraceEventFormat, _ prefix: String, to line: inout [UInt8], _ context: PrintContext,
    _ threadNames: inout [Int32: String]
  ) {
    guard let field = format.field(named: prefix + "pid") else {
      line += "!".utf8
      return
    }
    let thread = context.number(of: field)
    if let name = format.field(named: prefix + "comm") {
      let text = context.bytes(of: name).terminated
      line += text + [UInt8(ascii: ":")]
      let number = Int32(truncatingIfNeeded: thread)
      threadNames[number] = threadNames[number] ?? String(decoding: text, as: UTF8.self)
    }
    line += String(thread).utf8
  }

  /// The states that a thread was switched away in: one letter for each bit.
  private static func stateText(_ state: UInt64) -> String {
    let letters = "SDTtZXxW".enumerated().filter { state >> $0.offset & 1 == 1 }
    return letters.isEmpty ? "R" : letters.map { String($0.element) }.joined(separator: "|")
  }

  private static func appendTimer(
    _ format: TraceEventFormat, _ times: [String], to line: inout [UInt8], _ context: PrintContext
  ) {
    func value(_ name: String) -> UInt64? {
      format.field(named: name).map { context.number(of: $0) }
    }
    func append(_ name: String, _ text: String) { line += "\(name)=\(text)".utf8 }
    append("hrtimer", value("hrtimer").map { "0x" + String($0, radix: 16) } ?? "")
    for name in times.prefix(times.count == 1 ? 1 : 0) {
      append(" " + name, value(name).map { String($0) } ?? "")
    }
    if let address = value("function") {
      let symbol = context.symbols.symbol(at: address)
      let text = symbol.map { "\($0.name)/0x\(String($0.offset, radix: 16))" }
      append(" function", text ?? "0x" + String(address, radix: 16))
    }
    for name in times.dropFirst(times.count == 1 ? 1 : 0) {
      append(" " + name, value(name).map { String($0) } ?? "")
    }
  }

  /// A field without any format: pointers and longs in hexadecimal, texts as they are.
  private static func append(
    _ field: TraceEventFormat.Field, to line: inout [UInt8], _ context: PrintContext
  ) {
    if field.isArray {
      let bytes = field.isLocation ? context.content(of: field) : context.bytes(of: field)
      let text = bytes.terminated
      let isText = field.type.contains("char") && text.allSatisfy(\.isPrintable)
      if isText {
        line += text
      } else {
        let digits = bytes.map { String(hex: UInt64($0), digits: 2) }
        line += "ARRAY[\(digits.joined(separator: ", "))]".utf8
      }
      return
    }
    let value = context.number(of: field)
    let isLong = field.type.split(separator: " ").contains("long")
    let text: String
    if field.isPointer || isLong && !field.isSigned {
      text = "0x" + String(value, radix: 16)
    } else if field.isSigned {
      let shift = 64 - 8 * min(max(field.size, 1), 8)
      text = String(Int64(bitPattern: value << shift) >> shift)
    } else {
      text = String(value)
    }
    line += (field.size == 2 && field.isSigned && text.utf8.count < 2 ? " " + text : text).utf8
  }
}

extension UInt8 {
  /// What C's `isprint` and `isspace` say of it.
  fileprivate var isPrintable: Bool { (0x20...0x7e).contains(self) || (0x09...0x0d).contains(self) }
}
