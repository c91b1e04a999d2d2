// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

extension PrintCompiler {
  /// The program that prints a text with its conversions.
  mutating func program(
    _ text: [UInt8], _ arguments: [PrintExpression]
  ) throws(PrintFormatError) -> PrintProgram {
    var rest = text[...]
    var next = arguments.makeIterator()
    func argument() throws(PrintFormatError) -> PrintExpression {
      guard let argument = next.next() else {
        throw PrintFormatError(reason: "an argument is missing")
      }
      return argument
    }

    var shown: [String: (instructions: Range<Int>, hasBase: Bool)] = [:]
    var plain: [UInt8] = []
    while let byte = rest.popFirst() {
      if byte != UInt8(ascii: "%") {
        plain.append(byte)
      } else if rest.first == UInt8(ascii: "%") {
        plain.append(byte)
        rest.removeFirst()
      } else {
        let specification = PrintSpecification(&rest, longSize: longSize)
        if case .unknown(let letter) = specification.kind {
          plain += [UInt8(ascii: ">"), letter, UInt8(ascii: "<")]
          continue
        }
        let hasBase = plain.suffix(2).elementsEqual("0x".utf8)
        try flush(&plain)
        let start = instructions.count
        if specification.takesWidth {
          try compile(try argument())
          try emit(.setWidth, pushes: -1)
        }
        if specification.takesPrecision {
          try compile(try argument())
          try emit(.setPrecision, pushes: -1)
        }
        let value = try argument()
        try convert(value, specification)
        if let field = value.shownField, shown[field.name] == nil,
          !specification.takesWidth, !specification.takesPrecision
        {
          shown[field.name] = (start..<instructions.count, hasBase)
        }
      }
    }
    try flush(&plain)
    return finished(shown)
  }

  private mutating func flush(_ plain: inout [UInt8]) throws(PrintFormatError) {
    guard !plain.isEmpty else { return }
    let (start, count) = store(plain)
    try emit(.text(start: start, count: count))
    plain = []
  }

  private mutating func convert(
    _ value: PrintExpression, _ specification: PrintSpecification
  ) throws(PrintFormatError) {
    let index = specifications.count
    specifications.append(specification)
    switch specification.kind {
    case .text:
      try convertText(value, index)
      return
    case .pointer(.memory(.bits)) where value.isMask, .pointer(.memory(.bytes)) where value.isMask:
      // The kernel's `%*pbl` of `__get_bitmask`, of which trace-cmd makes the mask's own text.
      try convertText(value, index)
      return
    case _ where value.isUnknown && style == .kernel:
      try emit(.unknown(index))
      return
    default: break
    }
    if case .field(let field) = value, !field.isArray, !field.isPointer, specification.isPlain,
      !isUntyped, field.size <= specification.size,
      field.isSigned == (specification.kind == .signed)
        || field.size < specification.size && !field.isSigned
    {
      let width = PrintWidth(size: field.size, isSigned: field.isSigned)
      let offset = UInt16(clamping: field.offset)
      switch specification.kind {
      case .signed, .unsigned: return try emit(.decimal(offset: offset, width))
      case .hexadecimal where !specification.fillsWithZeros && !field.isSigned:
        return try emit(.hexadecimal(offset: offset, width))
      default: break
      }
    }
    try compile(value)
    switch specification.kind {
    case .character: try emit(.character(index), pushes: -1)
    case .pointer(.address): try emit(.address(index), pushes: -1)
    case .pointer(.function(let showsOffset, let isReturn)):
      try emit(
        .function(index, showsOffset: showsOffset, isReturn: isReturn), pushes: -1)
    case .pointer(.memory):
      // What a pointer in the record leads to was not recorded.
      try emit(value.isPlace ? .memory(index) : .address(index), pushes: -1)
    default: try emit(.number(index), pushes: -1)
    }
  }

  /// Emits what `%s` prints of an expression.
  private mutating func convertText(
    _ value: PrintExpression, _ index: Int
  ) throws(PrintFormatError) {
    switch value {
    case .conditional(let condition, _, _) where condition.isUnknown && style == .kernel:
      try emit(.unknown(index))
    case .flags, .symbolic, .hexadecimal, .numbers, .dump:
      guard value.isUnknown, style == .kernel else { return try convertCall(value, index) }
      try emit(.unknown(index))
    case .text(let text):
      let (start, count) = store(text)
      try emit(.literal(start: start, count: count, index))
    case .name(let name):
      let (start, count) = store(Array(name.utf8))
      try emit(.literal(start: start, count: count, index))
    case .string(let field):
      try emit(
        .locatedText(offset: UInt16(clamping: field.offset), base: field.locationBase, index))
    case .location(let field):
      try emit(
        .locatedText(offset: UInt16(clamping: field.offset), base: field.locationBase, index))
    case .mask(let field, let isList):
      try emit(
        .mask(
          offset: UInt16(clamping: field.offset), base: field.locationBase, isList: isList, index))
    case .field(let field) where field.isLocation:
      try emit(
        .locatedText(offset: UInt16(clamping: field.offset), base: field.locationBase, index))
    case .field(let field) where field.isArray:
      try emit(
        .fixedText(
          offset: UInt16(clamping: field.offset),
          count: field.size == 0 ? .max : UInt16(clamping: field.size), index))
    case .cast(let type, let inner) where type.isPointer && !inner.isNumber:
      try convertText(inner, index)
    case .conditional(let condition, let first, let second):
      try branch(condition, pushes: 0) { compiler throws(PrintFormatError) in
        try compiler.convertText(first, index)
      } _: { compiler throws(PrintFormatError) in
        try compiler.convertText(second, index)
      }
    default:
      if value.isUnknown, style == .kernel {
        try emit(.unknown(index))
      } else {
        try compile(value)
        try emit(value.isPlace ? .textAt(index) : .textOfAddress(index), pushes: -1)
      }
    }
  }

  /// Emits what a function of the kernel prints.
  private mutating func convertCall(
    _ value: PrintExpression, _ index: Int
  ) throws(PrintFormatError) {
    switch value {
    case .flags(let value, let separator, let names, let isLong):
      try compileUnsigned(value, isLong)
      try emit(.flags(table: table(names, separator, isLong), index), pushes: -1)
    case .symbolic(let value, let names, let isLong):
      try compileUnsigned(value, isLong)
      try emit(.symbolic(table: table(names, [], isLong), index), pushes: -1)
    case .hexadecimal(let array, let count, let isJoined):
      try compilePlace(array)
      try compile(count)
      try emit(.bytes(isJoined: isJoined, index), pushes: -2)
    case .numbers(let array, let count, let size):
      try compilePlace(array)
      try compile(count)
      try compile(size)
      try emit(.numbers(index), pushes: -3)
    case .dump(let prefix, let arguments):
      for (position, argument) in arguments.enumerated() {
        if position == 3 { try compilePlace(argument) } else { try compile(argument) }
      }
      let (start, count) = store(prefix)
      try emit(.dump(start: start, count: count), pushes: -6)
    default: break
    }
  }

  private mutating func compilePlace(_ array: PrintExpression) throws(PrintFormatError) {
    guard array.isPlace else { throw PrintFormatError(reason: "memory that is not in the record") }
    try compile(array)
  }

  /// Flags and symbols are compared as `unsigned long`.
  private mutating func compileUnsigned(
    _ value: PrintExpression, _ isLong: Bool
  ) throws(PrintFormatError) {
    try compile(.cast(PrintType(isLong ? 8 : longSize, isSigned: false), value))
  }

  private mutating func table(_ names: [PrintName], _ separator: [UInt8], _ isLong: Bool) -> Int {
    var table = PrintNames()
    table.width = PrintWidth(size: isLong ? 8 : longSize, isSigned: false)
    for name in names {
      // To trace-cmd a name that is not known is -1.
      guard let value = name.value ?? (style == .traceCmd ? .max : nil) else { continue }
      let (start, count) = store(name.name)
      table.entries.append(
        PrintNames.Entry(value: table.width.narrowed(value), start: start, count: count))
    }
    let (start, count) = store(separator)
    table.separator = Int(start)..<Int(start + count)
    tables.append(table)
    return tables.count - 1
  }
}

extension PrintExpression {
  fileprivate var isMask: Bool {
    if case .mask = self { true } else { false }
  }

  /// Whether it is computed, and not a text or an array.
  fileprivate var isNumber: Bool {
    switch self {
    case .text, .name, .string, .location, .mask, .flags, .symbolic, .hexadecimal, .numbers, .dump:
      false
    case .field(let field): !field.isArray
    case .cast(_, let inner): inner.isNumber
    case .conditional(_, let first, let second): first.isNumber && second.isNumber
    default: true
    }
  }
}
