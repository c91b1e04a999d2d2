// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// What is computed for one argument of a `print fmt:` line.
indirect enum PrintExpression: Sendable {
  case number(UInt64)
  case text(String)
  /// A constant whose value the format file does not say.
  case name(String)
  case field(TraceEventFormat.Field)
  /// What a field's location word leads to: its address, length or text.
  case array(TraceEventFormat.Field)
  case arrayLength(TraceEventFormat.Field)
  case string(TraceEventFormat.Field)
  case bitMask(TraceEventFormat.Field)
  case cpuMask(TraceEventFormat.Field)
  case cast(PrintType, PrintExpression)
  case element(PrintExpression, PrintExpression)
  case not(PrintExpression)
  case complement(PrintExpression)
  case binary(PrintOperator, PrintExpression, PrintExpression)
  case conditional(PrintExpression, PrintExpression, PrintExpression)
  case flags(PrintExpression, separator: String, [PrintName])
  case symbolic(PrintExpression, [PrintName])
  case hexadecimal(PrintExpression, count: PrintExpression, separator: String)
  case numbers(PrintExpression, count: PrintExpression, size: PrintExpression)
}

extension PrintExpression {
  /// The field that it shows by itself.
  var shownField: TraceEventFormat.Field? {
    switch self {
    case .field(let field), .string(let field), .bitMask(let field), .cpuMask(let field): field
    case .cast(_, let inner), .symbolic(let inner, _), .flags(let inner, _, _): inner.shownField
    default: nil
    }
  }
}

/// A value and its name, in `__print_symbolic` and `__print_flags`; -1 if the value is not known.
struct PrintName: Sendable {
  var value: Int64
  var name: String
}

/// The type of a cast, as far as it changes a number.
struct PrintType: Sendable {
  /// 0 where the number stays as it is.
  var size: Int
  var isSigned: Bool

  /// nil if the words name no type.
  init?(_ words: [String], isPointer: Bool) {
    let qualifiers: Set = ["const", "volatile", "__user", "__kernel", "__force"]
    let words = words.filter { !qualifiers.contains($0) }
    guard let first = words.first else { return nil }
    isSigned = !words.contains("unsigned")
    size = 0
    if isPointer || ["struct", "union", "enum", "void"].contains(first) { return }
    if words.count == 1 {
      let plain = first.drop { $0 == "_" }
      if let kind = plain.first, kind == "u" || kind == "s", let bits = Int(plain.dropFirst()) {
        size = bits / 8
        isSigned = kind == "s"
        return
      }
      if first.hasSuffix("_t") || first == "bool" { return }
    }
    let basic: Set = ["unsigned", "signed", "char", "short", "int", "long"]
    guard words.allSatisfy(basic.contains) else { return nil }
    size = words.contains("char") ? 1 : words.contains("short") ? 2 : words.contains("long") ? 8 : 4
  }

  func converted(_ value: UInt64) -> UInt64 {
    switch (size, isSigned) {
    case (1, true): UInt64(bitPattern: Int64(Int8(truncatingIfNeeded: value)))
    case (1, false): value & 0xff
    case (2, true): UInt64(bitPattern: Int64(Int16(truncatingIfNeeded: value)))
    case (2, false): value & 0xffff
    case (4, true): UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: value)))
    case (4, false): value & 0xffff_ffff
    default: value
    }
  }
}

/// An operator between two expressions.
enum PrintOperator: String, Sendable {
  case or = "||"
  case and = "&&"
  case bitOr = "|"
  case bitXor = "^"
  case bitAnd = "&"
  case equal = "=="
  case unequal = "!="
  case less = "<"
  case greater = ">"
  case atMost = "<="
  case atLeast = ">="
  case shiftLeft = "<<"
  case shiftRight = ">>"
  case plus = "+"
  case minus = "-"
  case times = "*"
  case over = "/"
  case modulo = "%"

  /// C's; the higher binds first.
  var precedence: Int {
    switch self {
    case .or: 1
    case .and: 2
    case .bitOr: 3
    case .bitXor: 4
    case .bitAnd: 5
    case .equal, .unequal: 6
    case .less, .greater, .atMost, .atLeast: 7
    case .shiftLeft, .shiftRight: 8
    case .plus, .minus: 9
    case .times, .over, .modulo: 10
    }
  }

  /// All numbers are unsigned, as trace-cmd has them; over nothing is 0.
  func applied(_ a: UInt64, _ b: UInt64) -> UInt64 {
    switch self {
    case .or: a != 0 || b != 0 ? 1 : 0
    case .and: a != 0 && b != 0 ? 1 : 0
    case .bitOr: a | b
    case .bitXor: a ^ b
    case .bitAnd: a & b
    case .equal: a == b ? 1 : 0
    case .unequal: a != b ? 1 : 0
    case .less: a < b ? 1 : 0
    case .greater: a > b ? 1 : 0
    case .atMost: a <= b ? 1 : 0
    case .atLeast: a >= b ? 1 : 0
    case .shiftLeft: a << b
    case .shiftRight: a >> b
    case .plus: a &+ b
    case .minus: a &- b
    case .times: a &* b
    case .over: b == 0 ? 0 : a / b
    case .modulo: b == 0 ? 0 : a % b
    }
  }
}
