// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

extension PrintCompiler {
  /// Numbers of trace-cmd have no type: all are unsigned and have 64 bits.
  var isUntyped: Bool { style == .traceCmd }

  private func number(_ size: Int, isSigned: Bool) -> PrintType {
    isUntyped ? .unsignedLongLong : PrintType(size, isSigned: isSigned)
  }

  private func pointer(to element: PrintWidth) -> PrintType {
    PrintType(longSize, isSigned: false, element: element)
  }

  /// The type that C gives an expression.
  func type(of expression: PrintExpression) -> PrintType {
    switch expression {
    case .number(_, let type): return isUntyped ? .unsignedLongLong : type
    case .name, .text, .mask, .flags, .symbolic, .hexadecimal, .numbers, .dump:
      return .unsignedLongLong
    case .record: return pointer(to: PrintWidth(size: 1, isSigned: false))
    case .field(let field):
      let element = PrintType(elementOf: field.type, longSize: longSize)
      if field.isArray, !field.isLocation {
        return pointer(
          to: PrintWidth(
            size: field.elementSize(longSize), isSigned: field.isSigned && !isUntyped))
      }
      if field.isPointer { return pointer(to: element.element ?? element.width) }
      return number(field.size, isSigned: field.isSigned)
    case .location(let field), .string(let field):
      return pointer(to: PrintType(elementOf: field.type, longSize: longSize).width)
    case .locationLength, .not: return number(4, isSigned: true)
    case .cast(let type, _):
      return type.isPointer || !isUntyped ? type : .unsignedLongLong
    case .element(let array, _):
      return type(of: array).element.map { PrintType($0.size, isSigned: $0.isSigned) }
        ?? number(1, isSigned: false)
    case .target(let pointer):
      return type(of: pointer).element.map { PrintType($0.size, isSigned: $0.isSigned) }
        ?? number(longSize, isSigned: false)
    case .address(let inner):
      if case .field(let field) = inner, !field.isArray || field.isLocation {
        return pointer(to: PrintWidth(size: field.size, isSigned: field.isSigned))
      }
      let found = type(of: inner)
      return found.isPointer ? found : pointer(to: found.width)
    case .complement(let inner), .negative(let inner): return type(of: inner).promoted
    case .binary(let operation, let left, let right):
      if operation.isComparison || operation == .and || operation == .or {
        return number(4, isSigned: true)
      }
      let (a, b) = (type(of: left), type(of: right))
      if a.isPointer, b.isPointer { return number(longSize, isSigned: true) }
      return operation.isShift ? a.promoted : a.common(with: b)
    case .conditional(_, let first, let second):
      return type(of: first).common(with: type(of: second))
    case .ticks: return number(4, isSigned: false)
    }
  }
}

extension PrintExpression {
  /// Whether its value is a place within the record.
  var isPlace: Bool {
    switch self {
    case .record, .location, .string, .address: true
    case .field(let field): field.isArray && !field.isLocation
    case .cast(let type, let inner): type.isPointer && inner.isPlace
    case .binary(let operation, let left, let right):
      (operation == .plus || operation == .minus) && (left.isPlace || right.isPlace)
    case .conditional(_, let first, let second): first.isPlace && second.isPlace
    default: false
    }
  }
}

extension TraceEventFormat.Field {
  /// Whether it is declared with brackets, in the record or where a location word leads.
  var isArray: Bool { type.contains("[") || isLocation }

  /// Where a location word counts from.
  var locationBase: UInt16 { type.hasPrefix("__rel_loc") ? UInt16(clamping: offset + size) : 0 }

  /// The size of one element, by the type's name where the brackets do not say how many there are.
  func elementSize(_ longSize: Int) -> Int {
    if let open = type.firstIndex(of: "["), let close = type[open...].firstIndex(of: "]"),
      let count = Int(type[type.index(after: open)..<close]), count > 0, !isLocation
    {
      return max(1, size / count)
    }
    return max(1, PrintType(elementOf: type, longSize: longSize).width.size)
  }
}
