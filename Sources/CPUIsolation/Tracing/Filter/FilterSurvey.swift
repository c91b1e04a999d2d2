// SPDX-License-Identifier: Apache-2.0

/// The look over a whole filter before any of it is read: are parentheses and quotes balanced, and
/// how many predicates may there be?
///
/// So these faults are reported before any other, wherever they are. The look is coarse: it knows
/// neither predicates nor `CPUS{…}`, and a parenthesis or quote within one counts.
struct FilterSurvey {
  /// How many predicates there are at most.
  private(set) var predicates = 0

  init(_ text: FilterText) throws(FilterFault) {
    var open: [Int] = []
    var quote: (byte: UInt8, position: Int)?
    var isInPredicate = false
    var index = 0
    while index < text.bytes.count {
      let byte = text[index]
      defer { index += 1 }
      if FilterText.isBlank(byte) { continue }
      if let opening = quote {
        if byte == opening.byte { quote = nil }
        continue
      }
      switch byte {
      case UInt8(ascii: "'"), UInt8(ascii: "\""): quote = (byte, index)
      case UInt8(ascii: "|"), UInt8(ascii: "&"):
        // A single one is part of a predicate; each half of a double one ends it.
        if text[index + 1] == byte {
          isInPredicate = false
          continue
        }
      case UInt8(ascii: "("):
        isInPredicate = false
        open.append(index)
        continue
      case UInt8(ascii: ")"):
        isInPredicate = false
        guard open.popLast() != nil else { throw FilterFault(.tooManyClose, at: index) }
        continue
      default: break
      }
      if !isInPredicate {
        isInPredicate = true
        predicates += 1
      }
    }
    if let quote { throw FilterFault(.missingQuote, at: quote.position) }
    if let last = open.last { throw FilterFault(.tooManyOpen, at: last) }
  }
}
