// SPDX-License-Identifier: Apache-2.0

extension TraceSymbols {
  /// Where an address lies: parts of ``text``, so that looking up allocates nothing.
  struct Place: Sendable {
    var name: Range<Int>
    /// The module, with its brackets.
    var module: Range<Int>?
    var offset: UInt64
    /// Where the symbol begins.
    var start: UInt64
  }

  /// The symbol that an address lies in. An address after the last symbol belongs to none: where
  /// that one ends is not known.
  func place(of address: UInt64) -> Place? {
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low + high) / 2
      let entry = entries[middle]
      let next = middle + 1 < entries.count ? entries[middle + 1].address : 0
      if address < entry.address {
        high = middle
      } else if address == entry.address || address < next {
        return Place(
          name: entry.name, module: module(after: entry.name), offset: address - entry.address,
          start: entry.address)
      } else {
        low = middle + 1
      }
    }
    return nil
  }

  /// `\t[name]` after a symbol.
  private func module(after name: Range<Int>) -> Range<Int>? {
    var start = name.upperBound
    while start < text.count, text[start] == UInt8(ascii: "\t") || text[start] == UInt8(ascii: " ")
    {
      start += 1
    }
    guard start > name.upperBound, start < text.count, text[start] == UInt8(ascii: "[") else {
      return nil
    }
    var end = start
    while end < text.count, text[end] > UInt8(ascii: " ") { end += 1 }
    return start..<end
  }

  /// The symbol that an address lies in, and how far after its start. An address after the last
  /// symbol belongs to none: where that one ends is not known.
  ///
  /// `symbols.symbol(at: address)?.name`
  ///
  /// - Parameter address: any address.
  /// - Returns: the symbol's name, and the bytes from its start; nil if there is none.
  /// - Complexity: logarithmic in the number of symbols.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the name
  public func symbol(at address: UInt64) -> (name: String, offset: UInt64)? {
    place(of: address).map { (String(decoding: text[$0.name], as: UTF8.self), $0.offset) }
  }
}
