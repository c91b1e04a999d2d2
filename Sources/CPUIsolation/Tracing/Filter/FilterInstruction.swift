// SPDX-License-Identifier: Apache-2.0

/// One predicate, ready to be asked: 32 bytes without a reference.
///
/// All comparisons of numbers are one: a number is loaded, `operand` is subtracted, and the answer
/// is whether what is left does not exceed `extent`. In the arithmetic modulo 2 to the number's
/// width that is a range of unsigned numbers as well as of signed ones, and `==` is the range of
/// one.
struct FilterInstruction {
  enum Operation: UInt8 {
    case inRange8, inRange16, inRange32, inRange64
    case cpuInRange
    /// Whether the number has a bit in common with `operand`.
    case hasBits8, hasBits16, hasBits32, hasBits64
    /// Whether the number is the number of a CPU in the mask at `operand`, which is `extent` wide;
    /// a mask of one word is `operand` itself.
    case isMember8, isMember16, isMember32, cpuIsMember, cpuIsMemberOfWord
    /// Of the mask in the record: whether CPU `operand` is in it, or alone in it.
    case maskContains, maskIsOnly
    /// Whether the mask in the record equals, or meets, the mask at `operand`; for masks of one
    /// word, whether it meets the mask that `operand` is.
    case maskEquals, maskIntersects, maskIntersectsWord
    /// Whether a text compares, by `comparison`, with the text at `operand` of `extent` bytes.
    case text, dynamicText, relativeText, taskName
    /// No record and no negation makes these match.
    case never
    case accept, refuse
  }

  enum TextComparison: UInt8 {
    case equal, beginsWith, endsWith, contains, matchesPattern
  }

  let operation: Operation
  var branchWhen = false
  var target: UInt16 = 0
  /// Where the field is in the record.
  var offset: UInt32 = 0
  var operand: UInt64 = 0
  var extent: UInt64 = 0
  /// How many bytes the field has, for a text within the record.
  var size: UInt32 = 0
  var comparison = TextComparison.equal

  /// 4 or 8 where the operation is `inRange32` or `inRange64`, else 0.
  let comparedBytes: UInt8

  init(_ operation: Operation) {
    self.operation = operation
    comparedBytes = operation == .inRange32 ? 4 : operation == .inRange64 ? 8 : 0
  }
}
