// SPDX-License-Identifier: Apache-2.0

/// The bytes of a filter expression, with the kernel's notion of letters and blanks.
///
/// Reading after the end yields zero, which is no part of any token: every loop over tokens ends
/// there.
struct FilterText {
  /// The longest text that there can be: the kernel takes what fits a page with its final zero.
  static let limit = 4095

  private(set) var bytes: [UInt8]

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  subscript(index: Int) -> UInt8 { index < bytes.count ? bytes[index] : 0 }

  /// Whether a text stands at a place.
  func has(_ text: String, at index: Int) -> Bool {
    bytes.dropFirst(index).starts(with: text.utf8)
  }

  /// The first place from `index` on that is not blank.
  func skipBlanks(from index: Int) -> Int {
    var index = index
    while Self.isBlank(self[index]) { index += 1 }
    return index
  }

  /// The first place from `index` on where no letter or digit stands.
  func skipAlphanumerics(from index: Int) -> Int {
    var index = index
    while Self.isAlphanumeric(self[index]) { index += 1 }
    return index
  }

  func string(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

  /// Drops the blanks at the end, as the kernel does before it looks at a filter.
  mutating func stripEnd() {
    while let last = bytes.last, Self.isBlank(last) { bytes.removeLast() }
  }

  // The kernel's table is that of Latin-1: 0xa0 is a blank, and so are accented letters letters.

  static func isBlank(_ byte: UInt8) -> Bool {
    (9...13).contains(byte) || byte == 0x20 || byte == 0xa0
  }

  static func isDigit(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
  }

  static func isAlphanumeric(_ byte: UInt8) -> Bool {
    if byte >= 0xc0 { return byte != 0xd7 && byte != 0xf7 }
    // Setting bit 5 makes an ASCII letter lower case, and makes a letter of nothing else.
    return isDigit(byte)
      || byte < 0x80 && (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
  }

  static func isName(_ byte: UInt8) -> Bool { isAlphanumeric(byte) || byte == UInt8(ascii: "_") }

  static func isQuote(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"")
  }
}
