// SPDX-License-Identifier: Apache-2.0

/// A word of a `print fmt:` line, which is C.
enum PrintToken: Equatable {
  case name(String)
  case number(UInt64)
  /// As it stands between the quotes. Escapes count in the first text of a line alone.
  case text(String)
  case symbol(String)
}

/// A `print fmt:` line that this library does not understand: its events are printed field by
/// field.
struct PrintFormatError: Error {
  let reason: String
}

extension PrintToken {
  private static let symbols = [
    "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "->", "(", ")", "[", "]", "{", "}", ",", "?",
    ":", "<", ">", "+", "-", "*", "/", "%", "&", "|", "^", "~", "!", ".", ";",
  ]

  static func tokens(of line: String) throws(PrintFormatError) -> [PrintToken] {
    var tokens: [PrintToken] = []
    var rest = line[...]
    while let first = rest.unicodeScalars.first {
      if first.properties.isWhitespace {
        rest.unicodeScalars.removeFirst()
      } else if first == "\"" || first == "'" {
        tokens.append(try quoted(&rest, by: first))
      } else if isWord(first) {
        tokens.append(try word(String(take(&rest, while: isWord))))
      } else if let symbol = symbols.first(where: { rest.hasPrefix($0) }) {
        rest.removeFirst(symbol.count)
        tokens.append(.symbol(symbol))
      } else {
        throw PrintFormatError(reason: "\"\(first)\" is no part of an expression")
      }
    }
    return tokens
  }

  private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "a"..."z", "A"..."Z", "0"..."9", "_", "$": true
    default: false
    }
  }

  private static func take(
    _ rest: inout Substring, while condition: (Unicode.Scalar) -> Bool
  ) -> Substring {
    let scalars = rest.unicodeScalars
    let end = scalars.firstIndex { !condition($0) } ?? scalars.endIndex
    let result = rest[..<end]
    rest = rest[end...]
    return result
  }

  private static func word(_ word: String) throws(PrintFormatError) -> PrintToken {
    guard let first = word.first, ("0"..."9").contains(first) else { return .name(word) }
    var digits = word.lowercased()[...]
    let isHexadecimal = digits.hasPrefix("0x")
    // Suffixes of C: 1UL.
    while let last = digits.last, last == "u" || last == "l" { digits.removeLast() }
    let value =
      isHexadecimal
      ? UInt64(digits.dropFirst(2), radix: 16)
      : digits.hasPrefix("0") && digits.count > 1
        ? UInt64(digits.dropFirst(), radix: 8) : UInt64(digits)
    guard let value else { throw PrintFormatError(reason: "\(word) is no number") }
    return .number(value)
  }

  private static func quoted(
    _ rest: inout Substring, by quote: Unicode.Scalar
  ) throws(PrintFormatError) -> PrintToken {
    var text = String.UnicodeScalarView()
    rest.unicodeScalars.removeFirst()
    while let scalar = rest.unicodeScalars.popFirst() {
      if scalar == quote {
        if quote == "\"" { return .text(String(text)) }
        guard let value = text.last?.value else { break }
        return .number(UInt64(value))
      }
      text.append(scalar)
      if scalar == "\\", let next = rest.unicodeScalars.popFirst() { text.append(next) }
    }
    throw PrintFormatError(reason: "a quote is not closed")
  }
}
