// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// Events that `trace-cmd report` does not print by their format.
///
/// - Source: `trace-cmd report` (trace-cmd 3.3.3 with libtraceevent 1.8.4).
enum TraceCmdPlugin: Sendable {
  /// With a letter for each bit of a state.
  case schedulerSwitch(TraceEventFormat, letters: [UInt8])
  case schedulerWakeup(TraceEventFormat)
  case timerStart(TraceEventFormat)
  case timerExpiry(TraceEventFormat)
  case flush(pages: TraceEventFormat.Field, reason: TraceEventFormat.Field)

  init?(_ format: TraceEventFormat, longSize: Int) {
    switch "\(format.system):\(format.name)" {
    case "sched:sched_switch":
      self = .schedulerSwitch(format, letters: Self.letters(of: format, longSize: longSize))
    case "sched:sched_wakeup", "sched:sched_wakeup_new": self = .schedulerWakeup(format)
    case "timer:hrtimer_start": self = .timerStart(format)
    case "timer:hrtimer_expire_entry": self = .timerExpiry(format)
    case "tlb:tlb_flush":
      guard let pages = format.field(named: "pages"), let reason = format.field(named: "reason")
      else { return nil }
      self = .flush(pages: pages, reason: reason)
    default: return nil
    }
  }

  /// The first letters of the flags that the format prints of a state, by bit.
  private static func letters(of format: TraceEventFormat, longSize: Int) -> [UInt8] {
    let usual = Array("SDTtXZPI".utf8)
    guard var parser = try? PrintParser(format, longSize: longSize),
      let (_, arguments) = try? parser.parse()
    else { return usual }
    for argument in arguments {
      var next: PrintExpression? = argument
      while let expression = next {
        switch expression {
        case .conditional(_, let first, _): next = first
        case .flags(_, _, let names, _):
          var letters = [UInt8](repeating: 0, count: 32)
          for name in names {
            guard let value = name.value, value != 0, value.trailingZeroBitCount < 32 else {
              continue
            }
            letters[value.trailingZeroBitCount] = name.name.first ?? 0
          }
          return Array(letters.prefix { $0 != 0 })
        default: next = nil
        }
      }
    }
    return usual
  }

  func append(_ record: RawSpan, _ environment: inout PrintEnvironment, to line: inout [UInt8]) {
    switch self {
    case .schedulerSwitch(let format, let letters):
      guard appendThread(record, format, "prev_", to: &line) else { return }
      line.append(" ")
      if let priority = format.field(named: "prev_prio") {
        line.append("[")
        line.appendDecimal(Int64(Int32(truncatingIfNeeded: record.number(of: priority))))
        line.append("] ")
      }
      if let state = format.field(named: "prev_state") {
        appendState(record.number(of: state), letters, to: &line)
      }
      line.append(" ==> ")
      guard appendThread(record, format, "next_", to: &line) else { return }
      if let priority = format.field(named: "next_prio") {
        line.append(" [")
        line.appendDecimal(Int64(Int32(truncatingIfNeeded: record.number(of: priority))))
        line.append("]")
      }
    case .schedulerWakeup(let format):
      guard appendThread(record, format, "", to: &line) else { return }
      if let priority = format.field(named: "prio") {
        line.append(" [")
        line.appendDecimal(unsigned(priority, record))
        line.append("]")
      }
      if let success = format.field(named: "success") {
        line.append(" success=")
        line.appendDecimal(unsigned(success, record))
      }
      if let target = format.field(named: "target_cpu") {
        line.append(" CPU:")
        line.appendDecimal(unsigned(target, record), width: 3, filler: UInt8(ascii: "0"))
      }
    case .timerStart(let format):
      appendTimer(format, record, to: &line)
      appendFunction(format, record, &environment, to: &line)
      appendNumber(" expires=", "expires", format, record, to: &line)
      appendNumber(" softexpires=", "softexpires", format, record, to: &line)
    case .flush(let pages, let reason):
      line.append("pages=")
      line.appendDecimal(Int64(bitPattern: record.number(of: pages)))
      line.append(" reason=")
      let number = unsigned(reason, record)
      let names: [StaticString] = [
        "flush on task switch", "remote shootdown", "local shootdown", "local mm shootdown",
      ]
      line.append(number < UInt64(names.count) ? names[Int(number)] : "unknown")
      line.append(" (")
      line.appendDecimal(number)
      line.append(")")
    case .timerExpiry(let format):
      appendTimer(format, record, to: &line)
      appendNumber(" now=", "now", format, record, to: &line)
      appendFunction(format, record, &environment, to: &line)
    }
  }

  private func unsigned(_ field: TraceEventFormat.Field, _ record: RawSpan) -> UInt64 {
    record.number(at: field.offset, PrintWidth(size: field.size, isSigned: false))
  }

  /// `comm:pid`; false if the format has no thread.
  private func appendThread(
    _ record: RawSpan, _ format: TraceEventFormat, _ prefix: String, to line: inout [UInt8]
  ) -> Bool {
    guard let number = format.field(named: prefix + "pid") else {
      line.append("!")
      return false
    }
    if let name = format.field(named: prefix + "comm") {
      line.append(record, record.text(from: name.offset, to: name.offset + name.size))
      line.append(":")
    }
    line.appendDecimal(unsigned(number, record))
    return true
  }

  private func appendState(_ state: UInt64, _ letters: [UInt8], to line: inout [UInt8]) {
    var isFirst = true
    for (bit, letter) in letters.enumerated() where state >> UInt64(bit) & 1 == 1 {
      if !isFirst { line.append("|") }
      isFirst = false
      line.append(letter)
    }
    if isFirst { line.append("R") }
  }

  private func appendTimer(
    _ format: TraceEventFormat, _ record: RawSpan, to line: inout [UInt8]
  ) {
    line.append("hrtimer=")
    guard let field = format.field(named: "timer") ?? format.field(named: "hrtimer") else { return }
    line.append("0x")
    line.appendHexadecimal(unsigned(field, record))
  }

  private func appendNumber(
    _ label: StaticString, _ name: String, _ format: TraceEventFormat, _ record: RawSpan,
    to line: inout [UInt8]
  ) {
    line.append(label)
    if let field = format.field(named: name) { line.appendDecimal(unsigned(field, record)) }
  }

  private func appendFunction(
    _ format: TraceEventFormat, _ record: RawSpan, _ environment: inout PrintEnvironment,
    to line: inout [UInt8]
  ) {
    guard let field = format.field(named: "function") else { return }
    line.append(" function=")
    let address = record.number(of: field)
    guard let place = environment.place(of: address) else {
      line.append("0x")
      line.appendHexadecimal(address)
      return
    }
    line.append(environment.symbols.text, place.name)
    line.append("/0x")
    line.appendHexadecimal(place.offset)
  }
}
