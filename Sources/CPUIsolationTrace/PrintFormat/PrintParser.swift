// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// Reads the arguments of a `print fmt:` line: as much of C as formats use.
struct PrintParser {
  let tokens: [PrintToken]
  var index = 0
  let format: TraceEventFormat
  let longSize: Int
  let constants: [String: UInt64]
  private var depth = 0
  /// What `({ int x = …; … })` declares.
  private var variables: [String: PrintExpression] = [:]

  /// A damaged file may nest without end; a format of the kernel stays far below this.
  private static let maximumDepth = 200

  init(
    _ format: TraceEventFormat, longSize: Int, style: TraceTextReport.Style = .kernel
  ) throws(PrintFormatError) {
    self.format = format
    constants = style == .traceCmd ? Self.oldConstants : Self.allConstants
    self.longSize = longSize
    tokens = try PrintToken.tokens(of: format.printFormat, longSize: longSize)
  }

  /// The text with its conversions, and the arguments after it.
  mutating func parse() throws(PrintFormatError) -> ([UInt8], [PrintExpression]) {
    guard case .text? = peek else {
      guard tokens.isEmpty else {
        throw PrintFormatError(reason: "a print format begins with a quote")
      }
      return ([], [])
    }
    let text = try expectText()
    var arguments: [PrintExpression] = []
    while peek != nil {
      try expect(",")
      // A format without conversions may end with a comma.
      if peek == nil { break }
      arguments.append(try expression())
    }
    return (text, arguments)
  }

  // MARK: Words

  var peek: PrintToken? { index < tokens.count ? tokens[index] : nil }

  mutating func accept(_ symbol: String) -> Bool {
    guard peek == .symbol(symbol) else { return false }
    index += 1
    return true
  }

  mutating func expect(_ symbol: String) throws(PrintFormatError) {
    guard accept(symbol) else { throw PrintFormatError(reason: "\"\(symbol)\" is missing") }
  }

  mutating func expectText() throws(PrintFormatError) -> [UInt8] {
    guard case .text(var text)? = peek else { throw PrintFormatError(reason: "a text is missing") }
    index += 1
    while case .text(let more)? = peek {
      text += more
      index += 1
    }
    return text
  }

  private mutating func acceptName() -> String? {
    guard case .name(let name)? = peek else { return nil }
    index += 1
    return name
  }

  private mutating func nested<Result>(
    _ body: (inout PrintParser) throws(PrintFormatError) -> Result
  ) throws(PrintFormatError) -> Result {
    depth += 1
    defer { depth -= 1 }
    guard depth < Self.maximumDepth else { throw PrintFormatError(reason: "nested too deeply") }
    return try body(&self)
  }

  // MARK: Expressions

  mutating func expression() throws(PrintFormatError) -> PrintExpression {
    try nested { parser throws(PrintFormatError) in
      let condition = try parser.binary(above: 0)
      guard parser.accept("?") else { return condition }
      // GNU C: `a ?: b` is a if it is not 0.
      let first = parser.peek == .symbol(":") ? condition : try parser.expression()
      try parser.expect(":")
      return .conditional(condition, first, try parser.expression())
    }
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
    try nested { parser throws(PrintFormatError) in
      if parser.accept("!") { return .not(try parser.unary()) }
      if parser.accept("~") { return .complement(try parser.unary()) }
      if parser.accept("-") { return .negative(try parser.unary()) }
      if parser.accept("+") { return try parser.unary() }
      if parser.accept("&") { return .address(try parser.unary()) }
      if parser.accept("*") { return .target(try parser.unary()) }
      if let type = parser.acceptCast() { return .cast(type, try parser.unary()) }
      var result = try parser.primary()
      while true {
        if parser.accept("[") {
          result = .element(result, try parser.expression())
          try parser.expect("]")
        } else if case .record = result, parser.accept("->") {
          result = .field(try parser.field())
        } else {
          return result
        }
      }
    }
  }

  /// `(unsigned long)`; the parenthesis of an expression is left alone.
  private mutating func acceptCast() -> PrintType? {
    guard peek == .symbol("(") else { return nil }
    var position = index + 1
    guard let type = type(at: &position), position < tokens.count,
      tokens[position] == .symbol(")")
    else { return nil }
    index = position + 1
    return type
  }

  /// A type's words and stars; a name that may be a variable's is a type only if an operand follows.
  private func type(at position: inout Int) -> PrintType? {
    var words: [String] = []
    var stars = 0
    while position < tokens.count {
      switch tokens[position] {
      case .name(let word) where stars == 0 || word == "const": words.append(word)
      case .symbol("*") where !words.isEmpty: stars += 1
      default:
        guard words.first != "REC", words.allSatisfy({ variables[$0] == nil }) else { return nil }
        return PrintType(
          words, stars: stars, longSize: longSize,
          isCertain: position + 1 < tokens.count && tokens[position + 1].beginsOperand)
      }
      position += 1
    }
    return nil
  }

  private mutating func primary() throws(PrintFormatError) -> PrintExpression {
    guard let token = peek else { throw PrintFormatError(reason: "an argument is missing") }
    switch token {
    case .number(let value, let type):
      index += 1
      return .number(value, type)
    case .text: return .text(try expectText())
    case .symbol("("):
      index += 1
      if accept("{") { return try statements() }
      let inner = try expression()
      try expect(")")
      return inner
    case .name("REC"):
      index += 1
      return .record
    case .name("sizeof"):
      index += 1
      return .number(UInt64(try size()), PrintType(longSize, isSigned: false))
    case .name(let name):
      index += 1
      if let value = variables[name] { return value }
      guard accept("(") else { return constants[name].map { .number($0, .int) } ?? .name(name) }
      let result = try call(name)
      try expect(")")
      return result
    case .symbol(let symbol): throw PrintFormatError(reason: "\"\(symbol)\" begins no argument")
    }
  }

  mutating func field() throws(PrintFormatError) -> TraceEventFormat.Field {
    guard let name = acceptName() else {
      throw PrintFormatError(reason: "the name of a field is missing")
    }
    // Old kernels spell out what `__get_str` and its like stand for.
    let plain = ["__data_loc_", "__rel_loc_"].first(where: name.hasPrefix)
      .map { String(name.dropFirst($0.count)) }
    guard let field = format.field(named: name) ?? plain.flatMap({ format.field(named: $0) }) else {
      throw PrintFormatError(reason: "the event has no field \(name)")
    }
    return field
  }

  /// What stands after `sizeof`.
  private mutating func size() throws(PrintFormatError) -> Int {
    var position = index + 1
    if peek == .symbol("("), let type = type(at: &position), position < tokens.count,
      tokens[position] == .symbol(")")
    {
      let words = tokens[index + 1..<position]
      guard type.isPointer || !words.contains(.name("struct")) && !words.contains(.name("union"))
      else { throw PrintFormatError(reason: "the size of a structure is not known") }
      index = position + 1
      return type.width.size
    }
    let value = try unary()
    if case .field(let field) = value, !field.isLocation { return field.size }
    if case .element(.field(let field), _) = value { return field.elementSize(longSize) }
    throw PrintFormatError(reason: "the size of an expression is not known")
  }

  /// `({ int x = 1; int y = 2; (x < y ? x : y); })`, after its first brace.
  private mutating func statements() throws(PrintFormatError) -> PrintExpression {
    let outer = variables
    defer { variables = outer }
    var result: PrintExpression?
    while !accept("}") {
      var position = index
      var words: [String] = []
      while position < tokens.count, case .name(let word) = tokens[position] {
        words.append(word)
        position += 1
      }
      let isDeclaration = position < tokens.count && tokens[position] == .symbol("=")
      if isDeclaration, let name = words.popLast(),
        let type = PrintType(words, longSize: longSize, isCertain: true)
      {
        index = position + 1
        // A value has no effects: it may be computed wherever its name stands.
        variables[name] = .cast(type, try expression())
        result = nil
      } else {
        result = try expression()
      }
      guard accept(";") || peek == .symbol("}") else {
        throw PrintFormatError(reason: "a statement does not end")
      }
    }
    try expect(")")
    guard let result else { throw PrintFormatError(reason: "a block without a value") }
    return result
  }
}

extension PrintToken {
  /// Whether an operand can begin with it; signs may as well be between two.
  fileprivate var beginsOperand: Bool {
    switch self {
    case .name, .number, .text: true
    case .symbol(let symbol): symbol == "(" || symbol == "~" || symbol == "!"
    }
  }
}
