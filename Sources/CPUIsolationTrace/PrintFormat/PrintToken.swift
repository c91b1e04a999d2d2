// SPDX-License-Identifier: Apache-2.0

/// A word of a `print fmt:` line, which is C.
enum PrintToken: Equatable {
  case name(String)
  case number(UInt64, PrintType)
  /// What the text between the quotes means: its escapes are resolved.
  case text([UInt8])
  case symbol(String)
}

/// A `print fmt:` line that this library does not understand: its events are printed field by
/// field.
struct PrintFormatError: Error {
  let reason: String
}

extension PrintToken {
  private static let symbols: [[UInt8]] = [
    "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "->", "(", ")", "[", "]", "{", "}", ",", "?",
    ":", "<", ">", "+", "-", "*", "/", "%", "&", "|", "^", "~", "!", ".", ";", "=",
  ].map { Array($0.utf8) }

  static func tokens(of line: String, longSize: Int) throws(PrintFormatError) -> [PrintToken] {
    var tokens: [PrintToken] = []
    let line = Array(line.utf8)
    var rest = line[...]
    while let first = rest.first {
      if first <= UInt8(ascii: " ") {
        rest.removeFirst()
      } else if first == UInt8(ascii: "\"") || first == UInt8(ascii: "'") {
        rest.removeFirst()
        let text = try quoted(&rest, by: first)
        if first == UInt8(ascii: "\"") {
          tokens.append(.text(text))
        } else {
          guard let value = text.last else { throw PrintFormatError(reason: "'' is no letter") }
          let narrow = PrintWidth(size: 1, isSigned: true).narrowed(UInt64(value))
          tokens.append(.number(narrow, .int))
        }
      } else if isWord(first) {
        let end = rest.firstIndex { !isWord($0) } ?? rest.endIndex
        tokens.append(try word(rest[..<end], longSize))
        rest = rest[end...]
      } else if let symbol = symbols.first(where: { rest.starts(with: $0) }) {
        rest.removeFirst(symbol.count)
        tokens.append(.symbol(String(decoding: symbol, as: UTF8.self)))
      } else {
        throw PrintFormatError(reason: "byte \(first) is no part of an expression")
      }
    }
    return tokens
  }

  private static func isWord(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "$"):
      true
    default: false
    }
  }

  private static func word(
    _ word: ArraySlice<UInt8>, _ longSize: Int
  ) throws(PrintFormatError) -> PrintToken {
    let text = String(decoding: word, as: UTF8.self)
    guard let first = text.first, ("0"..."9").contains(first) else { return .name(text) }
    var digits = text.lowercased()[...]
    var isUnsigned = false
    var longs = 0
    // Suffixes of C: 1UL.
    while let last = digits.last, last == "u" || last == "l" {
      if last == "u" { isUnsigned = true } else { longs += 1 }
      digits.removeLast()
    }
    let isDecimal = !digits.hasPrefix("0") || digits.count == 1
    let value =
      digits.hasPrefix("0x")
      ? UInt64(digits.dropFirst(2), radix: 16)
      : isDecimal ? UInt64(digits) : UInt64(digits.dropFirst(), radix: 8)
    guard let value else { throw PrintFormatError(reason: "\(text) is no number") }
    // The first of C's types that holds it; without a U only those of hexadecimal numbers may be
    // unsigned.
    let least = longs == 0 ? 4 : longs == 1 ? longSize : 8
    for size in [4, 8] where size >= least {
      let bits = UInt64(size * 8)
      if !isUnsigned, value >> (bits - 1) == 0 {
        return .number(value, PrintType(size, isSigned: true))
      }
      if isUnsigned || !isDecimal, size == 8 || value >> bits == 0 {
        return .number(value, PrintType(size, isSigned: false))
      }
    }
    return .number(value, .unsignedLongLong)
  }

  private static func quoted(
    _ rest: inout ArraySlice<UInt8>, by quote: UInt8
  ) throws(PrintFormatError) -> [UInt8] {
    var text: [UInt8] = []
    while let byte = rest.popFirst() {
      if byte == quote { return text }
      if byte == UInt8(ascii: "\\") { appendEscaped(&rest, to: &text) } else { text.append(byte) }
    }
    throw PrintFormatError(reason: "a quote is not closed")
  }

  /// What a backslash and the letters after it mean in C.
  static func appendEscaped(_ rest: inout ArraySlice<UInt8>, to text: inout [UInt8]) {
    guard let letter = rest.popFirst() else { return }
    switch letter {
    case UInt8(ascii: "n"): text.append(UInt8(ascii: "\n"))
    case UInt8(ascii: "t"): text.append(UInt8(ascii: "\t"))
    case UInt8(ascii: "r"): text.append(UInt8(ascii: "\r"))
    case UInt8(ascii: "a"): text.append(7)
    case UInt8(ascii: "b"): text.append(8)
    case UInt8(ascii: "f"): text.append(12)
    case UInt8(ascii: "v"): text.append(11)
    case UInt8(ascii: "e"): text.append(27)
    case UInt8(ascii: "x"):
      var value: UInt8 = 0
      while let digit = rest.first.flatMap({ Character(Unicode.Scalar($0)).hexDigitValue }) {
        value = value << 4 | UInt8(digit)
        rest.removeFirst()
      }
      text.append(value)
    case UInt8(ascii: "0")...UInt8(ascii: "7"):
      var value = letter - UInt8(ascii: "0")
      var digits = 1
      while digits < 3, let next = rest.first,
        (UInt8(ascii: "0")...UInt8(ascii: "7")).contains(next)
      {
        value = value << 3 | (next - UInt8(ascii: "0"))
        rest.removeFirst()
        digits += 1
      }
      text.append(value)
    default: text.append(letter)
    }
  }
}
