// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// Reads the arguments of a `print fmt:` line: as much of C as formats use.
struct PrintParser {
  private let tokens: [PrintToken]
  private var index = 0
  private let format: TraceEventFormat
  private var depth = 0

  /// A damaged file may nest without end; a format of the kernel stays far below this.
  private static let maximumDepth = 200

  init(_ format: TraceEventFormat) throws(PrintFormatError) {
    self.format = format
    tokens = try PrintToken.tokens(of: format.printFormat)
  }

  /// The text with its conversions, and the arguments behind it.
  mutating func parse() throws(PrintFormatError) -> (String, [PrintExpression]) {
    var text = ""
    while case .text(let piece)? = peek {
      text += piece
      index += 1
    }
    guard index > 0 || tokens.isEmpty else {
      throw PrintFormatError(reason: "a print format begins with a quote")
    }
    var arguments: [PrintExpression] = []
    while peek != nil {
      try expect(",")
      arguments.append(try expression())
    }
    return (text, arguments)
  }

  private var peek: PrintToken? { index < tokens.count ? tokens[index] : nil }

  private mutating func accept(_ symbol: String) -> Bool {
    guard peek == .symbol(symbol) else { return false }
    index += 1
    return true
  }

  private mutating func expect(_ symbol: String) throws(PrintFormatError) {
    guard accept(symbol) else { throw PrintFormatError(reason: "\"\(symbol)\" is missing") }
  }

  private mutating func expectText() throws(PrintFormatError) -> String {
    guard case .text(var text)? = peek else { throw PrintFormatError(reason: "a text is missing") }
    index += 1
    while case .text(let more)? = peek {
      text += more
      index += 1
    }
    return text
  }

  private mutating func expression() throws(PrintFormatError) -> PrintExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth < Self.maximumDepth else { throw PrintFormatError(reason: "nested too deeply") }
    let condition = try binary(above: 0)
    guard accept("?") else { return condition }
    let first = try expression()
    try expect(":")
    return .conditional(condition, first, try expression())
  }

  private mutating func binary(above minimum: Int) throws(PrintFormatError) -> PrintExpression {
    var left = try unary()
    while case .symbol(let symbol)? = peek, let found = PrintOperator(rawValue: symbol),
      found.precedence > minimum
    {
      index += 1
      left = .binary(found, left, try binary(above: found.precedence))
    }
    return left
  }

  private mutating func unary() throws(PrintFormatError) -> PrintExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth < Self.maximumDepth else { throw PrintFormatError(reason: "nested too deeply") }
    if accept("!") { return .not(try unary()) }
    if accept("~") { return .complement(try unary()) }
    if accept("-") { return .binary(.minus, .number(0), try unary()) }
    if accept("+") { return try unary() }
    if accept("&") || accept("*") {
      // `&REC->field` is what the field holds, for the few conversions that take an address.
      return try unary()
    }
    if let type = acceptCast() { return .cast(type, try unary()) }
    var result = try primary()
    while accept("[") {
      result = .element(result, try expression())
      try expect("]")
    }
    return result
  }

  /// `(unsigned long)`; the parenthesis of an expression is left alone.
  private mutating func acceptCast() -> PrintType? {
    guard peek == .symbol("(") else { return nil }
    var words: [String] = []
    var isPointer = false
    var position = index + 1
    while position < tokens.count {
      switch tokens[position] {
      case .name(let word) where !isPointer: words.append(word)
      case .symbol("*") where !words.isEmpty: isPointer = true
      case .symbol(")"):
        guard position + 1 < tokens.count, let type = PrintType(words, isPointer: isPointer) else {
          return nil
        }
        index = position + 1
        return type
      default: return nil
      }
      position += 1
    }
    return nil
  }

  private mutating func primary() throws(PrintFormatError) -> PrintExpression {
    guard let token = peek else { throw PrintFormatError(reason: "an argument is missing") }
    switch token {
    case .number(let value):
      index += 1
      return .number(value)
    case .text: return .text(try expectText())
    case .symbol("("):
      index += 1
      let inner = try expression()
      try expect(")")
      return inner
    case .name("REC"):
      index += 1
      try expect("->")
      return .field(try field())
    case .name(let name):
      index += 1
      guard accept("(") else { return .name(name) }
      let result = try call(name)
      try expect(")")
      return result
    case .symbol(let symbol): throw PrintFormatError(reason: "\"\(symbol)\" begins no argument")
    }
  }

  private mutating func field() throws(PrintFormatError) -> TraceEventFormat.Field {
    guard case .name(let name)? = peek else {
      throw PrintFormatError(reason: "the name of a field is missing")
    }
    index += 1
    guard let field = format.field(named: name) else {
      throw PrintFormatError(reason: "the event has no field \(name)")
    }
    return field
  }

  /// What stands between the parentheses of a call. Functions of the kernel that are not here
  /// cannot be run outside it.
  private mutating func call(_ name: String) throws(PrintFormatError) -> PrintExpression {
    switch name {
    case "__get_str", "__get_rel_str": return .string(try field())
    case "__get_dynamic_array", "__get_rel_dynamic_array": return .array(try field())
    case "__get_dynamic_array_len", "__get_rel_dynamic_array_len": return .arrayLength(try field())
    case "__get_bitmask", "__get_rel_bitmask": return .bitMask(try field())
    case "__get_cpumask", "__get_rel_cpumask": return .cpuMask(try field())
    case "__print_flags", "__print_flags_u64":
      let value = try expression()
      try expect(",")
      let separator = try expectText()
      return .flags(value, separator: separator, try names())
    case "__print_symbolic", "__print_symbolic_u64":
      let value = try expression()
      return .symbolic(value, try names())
    case "__print_hex", "__print_hex_str":
      let array = try expression()
      try expect(",")
      let separator = name == "__print_hex" ? " " : ""
      return .hexadecimal(array, count: try expression(), separator: separator)
    case "__print_array":
      let array = try expression()
      try expect(",")
      let count = try expression()
      try expect(",")
      return .numbers(array, count: count, size: try expression())
    case "__builtin_expect":
      let value = try expression()
      try expect(",")
      _ = try expression()
      return value
    default: throw PrintFormatError(reason: "the function \(name) is not known")
    }
  }

  /// `, { 1, "ONE" }, { 2, "TWO" }`
  private mutating func names() throws(PrintFormatError) -> [PrintName] {
    var names: [PrintName] = []
    while accept(",") {
      try expect("{")
      let value = try expression()
      try expect(",")
      if case .text? = peek {
        names.append(PrintName(value: Self.constant(value), name: try expectText()))
      } else {
        // `{ 0, ((void *)0) }` ends some lists.
        _ = try expression()
      }
      _ = accept(",")
      try expect("}")
    }
    return names
  }

  private static func constant(_ expression: PrintExpression) -> Int64 {
    if case .name(let name) = expression { return knownConstants[name] ?? -1 }
    let nothing = PrintContext(payload: [], symbols: TraceSymbols(), printkTexts: [:], longSize: 8)
    return Int64(bitPattern: nothing.number(expression))
  }

  /// Constants that the kernel leaves as names in its format files.
  private static let knownConstants: [String: Int64] = [
    "HI_SOFTIRQ": 0, "TIMER_SOFTIRQ": 1, "NET_TX_SOFTIRQ": 2, "NET_RX_SOFTIRQ": 3,
    "BLOCK_SOFTIRQ": 4, "IRQ_POLL_SOFTIRQ": 5, "TASKLET_SOFTIRQ": 6, "SCHED_SOFTIRQ": 7,
    "HRTIMER_SOFTIRQ": 8, "RCU_SOFTIRQ": 9, "HRTIMER_NORESTART": 0, "HRTIMER_RESTART": 1,
  ]
}
