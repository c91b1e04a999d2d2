// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// Makes the program of a format: what is known from the format alone is computed here, once.
struct PrintCompiler {
  let longSize: Int
  let style: TraceTextReport.Style
  var instructions: [PrintInstruction] = []
  var specifications: [PrintSpecification] = []
  var tables: [PrintNames] = []
  var texts: [UInt8] = []
  private var depth = 0
  /// What was emitted before this is not touched again: a jump leads here.
  private var barrier = 0

  init(longSize: Int, style: TraceTextReport.Style) {
    self.longSize = longSize
    self.style = style
  }

  /// Compiles the `print fmt:` line of a format.
  static func program(
    of format: TraceEventFormat, longSize: Int, style: TraceTextReport.Style
  ) throws(PrintFormatError) -> PrintProgram {
    var parser = try PrintParser(format, longSize: longSize, style: style)
    let (text, arguments) = try parser.parse()
    var compiler = PrintCompiler(longSize: longSize, style: style)
    return try compiler.program(text, arguments)
  }

  /// The value of an expression without fields; nil if it has some, or names that are not known.
  static func constant(_ expression: PrintExpression, longSize: Int) -> UInt64? {
    guard !expression.isUnknown else { return nil }
    var compiler = PrintCompiler(longSize: longSize, style: .kernel)
    guard (try? compiler.compile(expression)) != nil, compiler.instructions.count == 1,
      case .constant(let value)? = compiler.instructions.first
    else { return nil }
    return value
  }

  func finished(_ shown: [String: (instructions: Range<Int>, hasBase: Bool)]) -> PrintProgram {
    PrintProgram(
      instructions: instructions, specifications: specifications, tables: tables, texts: texts,
      longSize: longSize, shown: shown, style: style)
  }

  // MARK: Emitting

  mutating func emit(_ instruction: PrintInstruction, pushes count: Int = 0)
    throws(PrintFormatError)
  {
    depth += count
    guard depth <= PrintProgram.stackSize else {
      throw PrintFormatError(reason: "an expression needs too much room")
    }
    instructions.append(instruction)
  }

  mutating func store(_ text: [UInt8]) -> (start: Int32, count: Int32) {
    let start = Int32(texts.count)
    texts += text
    return (start, Int32(text.count))
  }

  /// Makes a jump lead to what is emitted next.
  mutating func land(_ jump: Int) {
    barrier = instructions.count
    switch instructions[jump] {
    case .jump: instructions[jump] = .jump(instructions.count)
    case .jumpIfZero: instructions[jump] = .jumpIfZero(instructions.count)
    default: break
    }
  }

  /// Both ways of a condition; each of them leaves as much on the stack.
  mutating func branch(
    _ condition: PrintExpression, pushes count: Int,
    _ first: (inout PrintCompiler) throws(PrintFormatError) -> Void,
    _ second: (inout PrintCompiler) throws(PrintFormatError) -> Void
  ) throws(PrintFormatError) {
    if let known = Self.constant(condition, longSize: longSize) {
      try known != 0 ? first(&self) : second(&self)
      return
    }
    try compile(condition)
    let toSecond = instructions.count
    try emit(.jumpIfZero(0), pushes: -1)
    try first(&self)
    depth -= count
    let toEnd = instructions.count
    try emit(.jump(0))
    land(toSecond)
    try second(&self)
    land(toEnd)
  }

  // MARK: Numbers

  /// Emits what leaves the value of an expression on the stack.
  mutating func compile(_ expression: PrintExpression) throws(PrintFormatError) {
    switch expression {
    case .number(let value, _): try emit(.constant(value), pushes: 1)
    case .name, .record: try emit(.constant(0), pushes: 1)
    case .field(let field) where field.isArray && !field.isLocation:
      try emit(.constant(UInt64(field.offset)), pushes: 1)
    case .field(let field):
      let width = PrintWidth(size: field.size, isSigned: field.isSigned && !isUntyped)
      try emit(.load(offset: UInt16(clamping: field.offset), width), pushes: 1)
    case .location(let field), .string(let field):
      try emit(.place(offset: UInt16(clamping: field.offset), base: field.locationBase), pushes: 1)
    case .locationLength(let field):
      try emit(.length(offset: UInt16(clamping: field.offset)), pushes: 1)
    case .cast(let type, let inner):
      try compile(inner)
      if type.isTruth, !isUntyped {
        fold(.not)
        fold(.not)
      } else if !type.isPointer {
        fold(.narrow(type.width))
      }
    case .element(let array, let index):
      try compilePlace(array, index)
      try emit(.loadAt(type(of: expression).width))
    case .target(let pointer):
      guard pointer.isPlace else {
        throw PrintFormatError(reason: "memory that is not in the record")
      }
      try compile(pointer)
      try emit(.loadAt(type(of: expression).width))
    case .address(let inner): try compileAddress(inner)
    case .not(let inner):
      try compile(inner)
      fold(.not)
    case .complement(let inner):
      try compile(inner)
      fold(.complement)
      narrow(to: type(of: expression))
    case .negative(let inner): try compile(.binary(.minus, .number(0, .int), inner))
    case .binary(let operation, let left, let right): try compile(operation, left, right)
    case .conditional(let condition, let first, let second):
      let common = type(of: expression)
      try branch(condition, pushes: 1) { compiler throws(PrintFormatError) in
        try compiler.compile(first)
        compiler.narrow(to: common)
      } _: { compiler throws(PrintFormatError) in
        try compiler.compile(second)
        compiler.narrow(to: common)
      }
    case .ticks(let inner, let perSecond):
      try compile(inner)
      try emit(.ticks(perSecond: perSecond))
    case .text, .mask, .flags, .symbolic, .hexadecimal, .numbers, .dump:
      throw PrintFormatError(reason: "a text is no number")
    }
  }

  /// Emits what leaves the place of an element.
  private mutating func compilePlace(
    _ array: PrintExpression, _ index: PrintExpression
  ) throws(PrintFormatError) {
    guard array.isPlace else { throw PrintFormatError(reason: "an element of what is no array") }
    try compile(array)
    try compile(index)
    try compileScaled(type(of: array).element?.size ?? 1)
    try emit(.apply(.plus, isSigned: false), pushes: -1)
    foldLast()
  }

  private mutating func compileScaled(_ size: Int) throws(PrintFormatError) {
    guard size != 1 else { return }
    try emit(.constant(UInt64(size)), pushes: 1)
    try emit(.apply(.times, isSigned: false), pushes: -1)
    foldLast()
  }

  private mutating func compileAddress(_ inner: PrintExpression) throws(PrintFormatError) {
    switch inner {
    case .field(let field): try emit(.constant(UInt64(field.offset)), pushes: 1)
    case .element(let array, let index): try compilePlace(array, index)
    case .target(let pointer): try compile(pointer)
    default:
      guard inner.isPlace else {
        throw PrintFormatError(reason: "an address of what has none")
      }
      try compile(inner)
    }
  }

  private mutating func compile(
    _ operation: PrintOperator, _ left: PrintExpression, _ right: PrintExpression
  ) throws(PrintFormatError) {
    if operation == .and || operation == .or {
      let (yes, no) = (PrintExpression.number(1, .int), PrintExpression.number(0, .int))
      let rest = PrintExpression.conditional(right, yes, no)
      return try compile(
        operation == .and ? .conditional(left, rest, no) : .conditional(left, yes, rest))
    }
    let (a, b) = (type(of: left), type(of: right))
    let isPlaces = a.isPointer || b.isPointer
    let common = operation.isShift ? a.promoted : a.common(with: b)
    try compile(left)
    if !isPlaces { narrow(to: common) }
    try compile(right)
    if a.isPointer, !b.isPointer, operation == .plus || operation == .minus {
      try compileScaled(a.element?.size ?? 1)
    } else if !isPlaces, !operation.isShift {
      narrow(to: common)
    }
    try emit(.apply(operation, isSigned: common.width.isSigned && !isPlaces), pushes: -1)
    foldLast()
    if !isPlaces, !operation.isComparison { narrow(to: common) }
  }

  /// Cuts what is on the stack to a type; numbers of 8 bytes are what they are.
  private mutating func narrow(to type: PrintType) {
    if type.width.size < 8, !type.isPointer { fold(.narrow(type.width)) }
  }

  // MARK: What is known already

  /// Emits a step on one number, or does it now.
  private mutating func fold(_ instruction: PrintInstruction) {
    if instructions.count > barrier, case .constant(let value)? = instructions.last {
      instructions[instructions.count - 1] = .constant(instruction.applied(value))
    } else {
      instructions.append(instruction)
    }
  }

  /// Does a step on two numbers that was just emitted, if both are known.
  private mutating func foldLast() {
    guard instructions.count >= barrier + 3,
      case .apply(let operation, let isSigned)? = instructions.last,
      case .constant(let b) = instructions[instructions.count - 2],
      case .constant(let a) = instructions[instructions.count - 3]
    else { return }
    instructions.removeLast(3)
    instructions.append(.constant(operation.applied(a, b, isSigned: isSigned)))
  }
}

extension PrintInstruction {
  /// What a step on one number makes of it.
  fileprivate func applied(_ value: UInt64) -> UInt64 {
    switch self {
    case .narrow(let width): width.narrowed(value)
    case .not: value == 0 ? 1 : 0
    case .complement: ~value
    default: value
    }
  }
}
