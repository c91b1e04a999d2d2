// SPDX-License-Identifier: Apache-2.0

/// The right side of `~`, sorted by how it can be compared.
///
/// - Source: `filter_parse_regex` (kernel/trace/trace_events_filter.c, Linux).
struct FilterPattern {
  private(set) var comparison = FilterInstruction.TextComparison.equal
  private(set) var text: ArraySlice<UInt8>
  private(set) var isNegated = false

  /// Makes a pattern that only the text itself is of.
  init(literal text: [UInt8]) { self.text = text[...] }

  /// Reads a pattern: `!` in front negates; `x*`, `*x` and `*x*` need no pattern matching.
  ///
  /// A pattern that begins with a digit is a text to the kernel, with its stars: it takes the digit
  /// for the number of a function.
  init(_ pattern: [UInt8]) {
    text = pattern[...]
    if text.first == UInt8(ascii: "!") {
      isNegated = true
      text.removeFirst()
    }
    guard let first = text.first, !FilterText.isDigit(first) else { return }
    let special = text.indices.filter { Self.isSpecial(text[$0]) }
    let star = UInt8(ascii: "*")
    guard !special.isEmpty else { return }
    let starsAtEnds = special.allSatisfy { index in
      text[index] == star && (index == text.startIndex || index == text.endIndex - 1)
    }
    guard starsAtEnds else {
      comparison = .matchesPattern
      return
    }
    let begins = first == star
    let ends = text.count > 1 && text.last == star
    comparison = begins ? (ends ? .contains : .endsWith) : .beginsWith
    if ends { text.removeLast() }
    if begins { text.removeFirst() }
  }

  private static func isSpecial(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "*"), UInt8(ascii: "?"), UInt8(ascii: "["), UInt8(ascii: "\\"): true
    default: false
    }
  }
}
