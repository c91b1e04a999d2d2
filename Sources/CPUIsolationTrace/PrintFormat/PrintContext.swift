// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// One event to be printed, and what its addresses mean.
struct PrintContext {
  let payload: ArraySlice<UInt8>
  let symbols: TraceSymbols
  let printkTexts: [UInt64: String]
  let longSize: Int

  // MARK: Fields

  /// Unsigned, whatever the field's sign: conversions cut it to the size that they print.
  func number(of field: TraceEventFormat.Field) -> UInt64 {
    payload.unsigned(at: field.offset, size: field.size) ?? 0
  }

  /// The bytes of a field that stands in the record. A field of no size goes on to the end.
  func bytes(of field: TraceEventFormat.Field) -> ArraySlice<UInt8> {
    let length = field.size == 0 ? payload.count - field.offset : field.size
    return bytes(at: field.offset, length)
  }

  /// The bytes that a field's location word leads to.
  func content(of field: TraceEventFormat.Field) -> ArraySlice<UInt8> {
    guard let word = payload.unsigned(at: field.offset, size: field.size) else { return [] }
    var offset = Int(word & 0xffff)
    if field.type.hasPrefix("__rel_loc") { offset += field.offset + field.size }
    // Before Linux 2.6.3x the length was not recorded.
    let length = field.size == 2 ? payload.count - offset : Int(word >> 16 & 0xffff)
    return bytes(at: offset, length)
  }

  /// Nothing where they are not in the record whole.
  private func bytes(at offset: Int, _ length: Int) -> ArraySlice<UInt8> {
    guard offset >= 0, length >= 0, offset <= payload.count, length <= payload.count - offset else {
      return []
    }
    return payload[payload.startIndex + offset..<payload.startIndex + offset + length]
  }

  // MARK: Numbers

  func number(_ expression: PrintExpression) -> UInt64 {
    switch expression {
    case .number(let value): value
    case .field(let field): number(of: field)
    case .cast(let type, let inner): type.converted(number(inner))
    case .not(let inner): number(inner) == 0 ? 1 : 0
    case .complement(let inner): ~number(inner)
    case .binary(let operation, let left, let right):
      operation.applied(number(left), number(right))
    case .conditional(let condition, let first, let second):
      number(number(condition) != 0 ? first : second)
    case .arrayLength(let field): UInt64(content(of: field).count)
    case .element(let array, let index): element(array, number(index))
    case .text, .name, .array, .string, .bitMask, .cpuMask, .flags, .symbolic, .hexadecimal,
      .numbers:
      0
    }
  }

  private func element(_ array: PrintExpression, _ index: UInt64) -> UInt64 {
    switch array {
    case .cast(let type, let inner): return type.converted(element(inner, index))
    case .field(let field):
      let size = field.elementSize(longSize)
      let (offset, overflow) = Int(truncatingIfNeeded: index).multipliedReportingOverflow(by: size)
      guard !overflow, offset >= 0, offset < payload.count else { return 0 }
      return payload.unsigned(at: field.offset + offset, size: size) ?? 0
    case .array(let field):
      let size = field.elementSize(longSize)
      guard index < UInt64(payload.count) else { return 0 }
      // The index counts bytes here, as trace-cmd has it.
      return content(of: field).unsigned(at: Int(index), size: size) ?? 0
    default: return 0
    }
  }

  // MARK: Texts

  /// What `%s` prints for an expression. `place` widens one piece of it.
  func append(
    _ expression: PrintExpression, to line: inout [UInt8],
    place: (ArraySlice<UInt8>, inout [UInt8]) -> Void
  ) {
    switch expression {
    case .text(let text): place(Array(text.utf8)[...], &line)
    case .name(let name): place(Array(name.utf8)[...], &line)
    case .number(let value): place(Array(String(value).utf8)[...], &line)
    case .field(let field):
      if !field.isArray, field.size == longSize {
        let address = number(of: field)
        line += (printkTexts[address] ?? String(address, radix: 16)).utf8
      } else {
        place(bytes(of: field).terminated, &line)
      }
    case .string(let field):
      let text = content(of: field)
      if !text.isEmpty { place(text.terminated, &line) }
    case .bitMask(let field): place(content(of: field).bitMaskText[...], &line)
    case .cpuMask(let field): place(content(of: field).cpuListText[...], &line)
    case .conditional(let condition, let first, let second):
      append(number(condition) != 0 ? first : second, to: &line, place: place)
    case .flags(let value, let separator, let names):
      appendFlags(number(value), separator, names, to: &line, place: place)
    case .symbolic(let value, let names):
      let value = Int64(bitPattern: number(value))
      if let found = names.first(where: { $0.value == value }) {
        place(Array(found.name.utf8)[...], &line)
      } else {
        line += "0x\(String(UInt64(bitPattern: value), radix: 16))".utf8
      }
    case .hexadecimal(let array, let count, let separator):
      let bytes = content(ofArray: array)
      let pieces = bytes.prefix(Int(clamping: number(count))).map {
        String(hex: UInt64($0), digits: 2)
      }
      line += pieces.joined(separator: separator).utf8
    case .numbers(let array, let count, let size):
      appendNumbers(content(ofArray: array), number(count), number(size), to: &line)
    case .array, .arrayLength, .cast, .element, .not, .complement, .binary: break
    }
  }

  private func content(ofArray expression: PrintExpression) -> ArraySlice<UInt8> {
    switch expression {
    case .array(let field): content(of: field)
    case .field(let field): bytes(of: field)
    case .cast(_, let inner): content(ofArray: inner)
    default: []
    }
  }

  private func appendFlags(
    _ value: UInt64, _ separator: String, _ names: [PrintName], to line: inout [UInt8],
    place: (ArraySlice<UInt8>, inout [UInt8]) -> Void
  ) {
    var value = value
    var isFirst = true
    func separate(_ line: inout [UInt8]) {
      if !isFirst { line += separator.utf8 }
      isFirst = false
    }
    for name in names {
      let text = Array(name.name.utf8)[...]
      if value == 0, name.value < 0 {
        place(text, &line)
        break
      }
      let flag = UInt64(bitPattern: name.value)
      if name.value > 0, value & flag == flag {
        separate(&line)
        place(text, &line)
        value &= ~flag
      }
    }
    if value != 0 {
      separate(&line)
      line += "0x\(String(value, radix: 16))".utf8
    }
  }

  private func appendNumbers(
    _ bytes: ArraySlice<UInt8>, _ count: UInt64, _ size: UInt64, to line: inout [UInt8]
  ) {
    let size = [1, 2, 4, 8].contains(size) ? Int(size) : 1
    var pieces: [String] = []
    var offset = 0
    while UInt64(pieces.count) < count, let value = bytes.unsigned(at: offset, size: size) {
      pieces.append(String(value))
      offset += size
    }
    line += pieces.joined(separator: " ").utf8
  }
}

extension TraceEventFormat.Field {
  /// Whether it is declared with brackets, in the record or behind a location word.
  var isArray: Bool { type.contains("[") || isLocation }

  /// The size of one element, by the type's name where the brackets do not say how many there are.
  func elementSize(_ longSize: Int) -> Int {
    if let open = type.firstIndex(of: "["), let close = type[open...].firstIndex(of: "]"),
      let count = Int(type[type.index(after: open)..<close]), count > 0, !isLocation
    {
      return max(1, size / count)
    }
    let words = type.split(separator: "[")[0].split(separator: " ").map(String.init)
      .filter { $0 != "__data_loc" && $0 != "__rel_loc" }
    let known = PrintType(words.filter { $0 != "*" }, isPointer: false)?.size ?? 0
    return known > 0 ? known : longSize
  }
}

extension ArraySlice<UInt8> {
  /// Up to the zero byte.
  var terminated: ArraySlice<UInt8> { prefix { $0 != 0 } }

  private func contains(bit: Int) -> Bool { self[startIndex + bit / 8] >> (bit % 8) & 1 == 1 }

  /// Ranges of set bits: `0-3,7`.
  var cpuListText: [UInt8] {
    var pieces: [String] = []
    var bit = 0
    let bits = count * 8
    while bit < bits {
      guard contains(bit: bit) else {
        bit += 1
        continue
      }
      let first = bit
      while bit < bits, contains(bit: bit) { bit += 1 }
      pieces.append(bit - 1 > first ? "\(first)-\(bit - 1)" : "\(first)")
    }
    return Array(pieces.joined(separator: ",").utf8)
  }

  /// Hexadecimal digits, the most significant first, with a comma between words of 32 bits.
  var bitMaskText: [UInt8] {
    var text = ""
    for (index, byte) in enumerated().reversed() {
      text += String(hex: UInt64(byte), digits: 2)
      if index % 4 == 0, index > 0 { text += "," }
    }
    return Array(text.utf8)
  }
}
