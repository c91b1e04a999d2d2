// SPDX-License-Identifier: Apache-2.0

extension FilterProgram {
  /// Compares a text of a record with that of an instruction.
  ///
  /// A zero ends the record's text. One that has none, since it fills its place, may have been cut
  /// off there: it equals every text that begins with it, as in the kernel.
  ///
  /// `*x` compares with where the text ends. The kernel compares with where its place ends, so that
  /// its filters with `*x` never match a short text in a `char[16]`.
  @inline(never)
  func text(
    _ place: FilterBytes, compares instruction: Place<FilterInstruction>
  ) -> Bool {
    var count = 0
    while count < place.count, place[count] != 0 { count &+= 1 }
    // A task's name is given as long as it is.
    let isCut = count == place.count && instruction.value.operation != .taskName
    let text = place.part(from: 0, count: count)
    let wanted = constant(
      of: instruction, count: Int(truncatingIfNeeded: instruction.value.extent))
    let room = text.count &- wanted.count
    switch instruction.value.comparison {
    case .equal:
      guard room == 0 || room < 0 && isCut && count > 0 else { return false }
      return Self.agree(wanted, text, at: 0, count: count)
    case .beginsWith:
      return room >= 0 && Self.agree(text, wanted, at: 0, count: wanted.count)
    case .endsWith:
      return room >= 0 && Self.agree(text, wanted, at: room, count: wanted.count)
    case .contains:
      var offset = 0
      while offset <= room {
        if Self.agree(text, wanted, at: offset, count: wanted.count) { return true }
        offset &+= 1
      }
      return false
    case .matchesPattern: return Self.matches(text, pattern: wanted)
    }
  }

  /// Whether `count` bytes of `text` from `offset` on are those of `other`.
  @inline(__always)
  private static func agree(
    _ text: FilterBytes, _ other: FilterBytes, at offset: Int, count: Int
  ) -> Bool {
    var index = 0
    while index < count {
      if text[offset &+ index] != other[index] { return false }
      index &+= 1
    }
    return true
  }

  /// Whether the whole of a text is of a shell pattern: `*`, `?`, `[a-z]`, `[!a-z]`, and `\` before
  /// what shall stand for itself.
  ///
  /// Only the last `*` is ever extended: a match of what is before it stays one. So the work is
  /// bounded by the product of the two lengths.
  ///
  /// - Source: the language is that of `glob_match` (lib/glob.c, Linux), where a class that is not
  ///   closed is a literal `[`.
  static func matches(
    _ text: FilterBytes, pattern: FilterBytes
  ) -> Bool {
    var textIndex = 0
    var patternIndex = 0
    var star: (pattern: Int, text: Int)?
    while true {
      if isEnd(pattern, patternIndex) {
        if textIndex == text.count { return true }
      } else if pattern[patternIndex] == UInt8(ascii: "*") {
        patternIndex &+= 1
        star = (patternIndex, textIndex)
        continue
      } else if textIndex < text.count {
        if let next = step(over: text[textIndex], pattern, at: patternIndex) {
          patternIndex = next
          textIndex &+= 1
          continue
        }
      }
      guard let last = star, last.text < text.count else { return false }
      star = (last.pattern, last.text &+ 1)
      patternIndex = last.pattern
      textIndex = last.text &+ 1
    }
  }

  /// A `\` that stands before nothing is not looked at.
  @inline(__always)
  private static func isEnd(_ pattern: FilterBytes, _ index: Int) -> Bool {
    index == pattern.count
      || index == pattern.count &- 1 && pattern[index] == UInt8(ascii: "\\")
  }

  /// Returns where the pattern goes on after the element at `index` if that takes the byte.
  @inline(__always)
  private static func step(
    over byte: UInt8, _ pattern: FilterBytes, at index: Int
  ) -> Int? {
    switch pattern[index] {
    case UInt8(ascii: "?"): return index &+ 1
    case UInt8(ascii: "["):
      if let found = contains(byte, classIn: pattern, at: index &+ 1) {
        return found.contains ? found.end : nil
      }
      return byte == UInt8(ascii: "[") ? index &+ 1 : nil
    case UInt8(ascii: "\\"): return pattern[index &+ 1] == byte ? index &+ 2 : nil
    case let literal: return literal == byte ? index &+ 1 : nil
    }
  }

  /// Looks a byte up in a class such as `!a-z]`. Returns `nil` if the class is not closed.
  @inline(__always)
  private static func contains(
    _ byte: UInt8, classIn pattern: FilterBytes, at start: Int
  ) -> (contains: Bool, end: Int)? {
    var index = start
    let isInverted = index < pattern.count && pattern[index] == UInt8(ascii: "!")
    if isInverted { index &+= 1 }
    let first = index
    var isFound = false
    while index < pattern.count {
      let low = pattern[index]
      // A bracket in the first place is a member and closes nothing.
      if low == UInt8(ascii: "]"), index > first { return (isFound != isInverted, index &+ 1) }
      var high = low
      if index &+ 1 < pattern.count, pattern[index &+ 1] == UInt8(ascii: "-") {
        guard index &+ 2 < pattern.count else { return nil }
        if pattern[index &+ 2] != UInt8(ascii: "]") {
          high = pattern[index &+ 2]
          index &+= 2
        }
      }
      if low <= byte, byte <= high { isFound = true }
      index &+= 1
    }
    return nil
  }
}
