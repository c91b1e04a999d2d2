// SPDX-License-Identifier: Apache-2.0

extension CPUMask {
  /// Inserts a range word by word; a long list of wide regions stays linear that way.
  mutating func insert(
    contentsOf range: Range<Int>, _ file: StaticString = #fileID, _ line: UInt = #line
  ) {
    guard !range.isEmpty else { return }
    guard range.lowerBound >= 0, range.upperBound <= Self.maximumWidth else {
      misuse("CPUMask: the range \(range) is not within 0..<\(Self.maximumWidth).", file, line)
    }
    if range.upperBound <= Self.inlineWidth, case .inline(let low, let high) = storage {
      storage = .inline(
        low | Self.bits(of: range, inWord: 0), high | Self.bits(of: range, inWord: 1))
      return
    }
    var words = takeWords(atLeast: (range.upperBound + 63) / 64)
    Self.set(range, in: &words)
    putWords(words)
  }

  /// Inserts the first `used` of every `group` numbers of a range, counted from its start.
  mutating func insert(contentsOf range: Range<Int>, first used: Int, ofEvery group: Int) {
    guard used > 0 else { return }
    guard used < group else { return insert(contentsOf: range) }
    func chunk(at start: Int) -> Range<Int> { start..<Swift.min(start + used, range.upperBound) }
    let starts = stride(from: range.lowerBound, to: range.upperBound, by: group)
    guard range.upperBound > Self.inlineWidth else {
      for start in starts { insert(contentsOf: chunk(at: start)) }
      return
    }
    // A wide pattern has thousands of chunks: the words are moved out once, not for each of them.
    var words = takeWords(atLeast: (range.upperBound + 63) / 64)
    for start in starts { Self.set(chunk(at: start), in: &words) }
    putWords(words)
  }

  private static func set(_ range: Range<Int>, in words: inout [UInt64]) {
    let firstWord = range.lowerBound &>> 6
    let lastWord = (range.upperBound &- 1) &>> 6
    guard firstWord < lastWord else {
      // Most chunks of a pattern lie in one word.
      let length = range.upperBound &- range.lowerBound
      words[firstWord] |= (UInt64.max &>> UInt64(64 &- length)) &<< UInt64(range.lowerBound & 63)
      return
    }
    for index in firstWord...lastWord { words[index] |= bits(of: range, inWord: index) }
  }

  private static func bits(of range: Range<Int>, inWord index: Int) -> UInt64 {
    let part = range.clamped(to: index * 64..<index * 64 + 64)
    guard !part.isEmpty else { return 0 }
    return (UInt64.max >> UInt64(64 - part.count)) << UInt64(part.lowerBound - index * 64)
  }
}
