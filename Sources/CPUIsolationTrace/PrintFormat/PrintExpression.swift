// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// What is computed for one argument of a `print fmt:` line.
///
/// A *place* is an address within the record, computed as a distance from the record's first byte.
indirect enum PrintExpression: Sendable {
  case number(UInt64, PrintType)
  case text([UInt8])
  /// A constant or a variable of the kernel whose value the format does not say.
  case name(String)
  /// A field's number, or the place of an array.
  case field(TraceEventFormat.Field)
  /// `REC` itself.
  case record
  /// The place that a field's location word leads to, and how many bytes there are.
  case location(TraceEventFormat.Field)
  case locationLength(TraceEventFormat.Field)
  case string(TraceEventFormat.Field)
  case mask(TraceEventFormat.Field, isList: Bool)
  case cast(PrintType, PrintExpression)
  case element(PrintExpression, PrintExpression)
  case address(PrintExpression)
  case target(PrintExpression)
  case not(PrintExpression)
  case complement(PrintExpression)
  case negative(PrintExpression)
  case binary(PrintOperator, PrintExpression, PrintExpression)
  case conditional(PrintExpression, PrintExpression, PrintExpression)
  case ticks(PrintExpression, perSecond: UInt64)
  case flags(PrintExpression, separator: [UInt8], [PrintName], isLong: Bool)
  case symbolic(PrintExpression, [PrintName], isLong: Bool)
  case hexadecimal(PrintExpression, count: PrintExpression, isJoined: Bool)
  case numbers(PrintExpression, count: PrintExpression, size: PrintExpression)
  case dump(prefix: [UInt8], [PrintExpression])
}

extension PrintExpression {
  /// The field that it shows by itself.
  var shownField: TraceEventFormat.Field? {
    switch self {
    case .field(let field), .string(let field), .mask(let field, _): field
    case .cast(_, let inner), .symbolic(let inner, _, _), .flags(let inner, _, _, _),
      .address(let inner):
      inner.shownField
    default: nil
    }
  }

  /// Whether its value depends on something that only the kernel knew.
  var isUnknown: Bool {
    switch self {
    case .name: true
    case .number, .text, .field, .record, .location, .locationLength, .string, .mask: false
    case .cast(_, let inner), .address(let inner), .target(let inner), .not(let inner),
      .complement(let inner), .negative(let inner), .ticks(let inner, _),
      .flags(let inner, _, _, _), .symbolic(let inner, _, _):
      inner.isUnknown
    case .element(let a, let b), .binary(_, let a, let b): a.isUnknown || b.isUnknown
    case .hexadecimal(let a, let b, _): a.isUnknown || b.isUnknown
    case .conditional(let a, let b, let c), .numbers(let a, let b, let c):
      a.isUnknown || b.isUnknown || c.isUnknown
    case .dump(_, let all): all.contains(where: \.isUnknown)
    }
  }
}

/// A value and its name, in `__print_symbolic` and `__print_flags`.
struct PrintName: Sendable {
  /// nil if the format has a name that the kernel knows and the file does not.
  var value: UInt64?
  var name: [UInt8]
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

  var isComparison: Bool { precedence == 6 || precedence == 7 }
  var isShift: Bool { precedence == 8 }

  /// Over nothing is 0: a record may hold anything, and C leaves it open.
  @inline(__always)
  func applied(_ a: UInt64, _ b: UInt64, isSigned: Bool) -> UInt64 {
    let (x, y) = (Int64(bitPattern: a), Int64(bitPattern: b))
    return switch self {
    case .or: a != 0 || b != 0 ? 1 : 0
    case .and: a != 0 && b != 0 ? 1 : 0
    case .bitOr: a | b
    case .bitXor: a ^ b
    case .bitAnd: a & b
    case .equal: a == b ? 1 : 0
    case .unequal: a != b ? 1 : 0
    case .less: (isSigned ? x < y : a < b) ? 1 : 0
    case .greater: (isSigned ? x > y : a > b) ? 1 : 0
    case .atMost: (isSigned ? x <= y : a <= b) ? 1 : 0
    case .atLeast: (isSigned ? x >= y : a >= b) ? 1 : 0
    case .shiftLeft: b < 64 ? a << b : 0
    case .shiftRight: b < 64 ? (isSigned ? UInt64(bitPattern: x >> y) : a >> b) : 0
    case .plus: a &+ b
    case .minus: a &- b
    case .times: a &* b
    case .over: b == 0 ? 0 : isSigned ? quotient(x, y).0 : a / b
    case .modulo: b == 0 ? 0 : isSigned ? quotient(x, y).1 : a % b
    }
  }

  private func quotient(_ x: Int64, _ y: Int64) -> (UInt64, UInt64) {
    // The least number over -1 does not fit: it stays what it is, and nothing is left.
    let (result, remainder) = (
      x.dividedReportingOverflow(by: y), x.remainderReportingOverflow(dividingBy: y)
    )
    return (
      UInt64(bitPattern: result.partialValue),
      UInt64(bitPattern: remainder.overflow ? 0 : remainder.partialValue)
    )
  }
}
