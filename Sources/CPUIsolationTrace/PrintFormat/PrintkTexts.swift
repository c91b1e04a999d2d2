// SPDX-License-Identifier: Apache-2.0

/// The texts of `trace_printk` that a recording has, by their addresses.
enum PrintkTexts {
  /// Reads lines of `0xffffffff82000000 : "text\n"`, whose escapes are C's.
  static func parse(_ text: [UInt8]) -> [UInt64: [UInt8]] {
    var result: [UInt64: [UInt8]] = [:]
    for line in text.split(separator: UInt8(ascii: "\n")) {
      guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { continue }
      let address = String(decoding: line[..<colon], as: UTF8.self).trimmed
      let digits = address.hasPrefix("0x") ? address.dropFirst(2) : address
      guard let number = UInt64(digits, radix: 16) else { continue }
      var rest = line[(colon + 1)...].drop { $0 <= UInt8(ascii: " ") }
      if rest.first == UInt8(ascii: "\"") { rest.removeFirst() }
      while let last = rest.last, last <= UInt8(ascii: " ") { rest.removeLast() }
      if rest.last == UInt8(ascii: "\"") { rest.removeLast() }
      var content: [UInt8] = []
      while let byte = rest.popFirst() {
        if byte == UInt8(ascii: "\\") {
          PrintToken.appendEscaped(&rest, to: &content)
        } else {
          content.append(byte)
        }
      }
      result[number] = content
    }
    return result
  }
}
