// SPDX-License-Identifier: Apache-2.0

extension CPUMask {
  /// Reads hexadecimal words of 32 bits, the most significant first, as `hexWords` writes them; nil
  /// for what is none.
  package init?(hexWords text: some StringProtocol) {
    let words = text.split(separator: ",", omittingEmptySubsequences: false)
    guard !words.isEmpty, words.count * 32 <= CPUMask.maximumWidth else { return nil }
    self.init()
    for (position, word) in words.reversed().enumerated() {
      guard word.utf8.count <= 8, let bits = UInt32(word, radix: 16) else { return nil }
      for bit in 0..<32 where bits >> UInt32(bit) & 1 != 0 { insert(position * 32 + bit) }
    }
  }
}
