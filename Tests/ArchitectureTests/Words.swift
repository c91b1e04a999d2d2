// SPDX-License-Identifier: Apache-2.0

extension StringProtocol {
  /// The identifiers and keywords of a line of code, in order.
  ///
  /// Regular expressions are slow without optimisation: they are for the lines that words have picked.
  var words: [String] {
    utf8.split { byte in
      !(byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z")
        || byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z")
        || byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") || byte == UInt8(ascii: "_"))
    }.map { String(decoding: $0, as: UTF8.self) }
  }

  /// The identifiers of a line of code that name a member: after a dot, or before a parenthesis.
  var membersUsed: [String] {
    var found: [String] = []
    let bytes = Array(utf8)
    var start = 0
    func isName(_ byte: UInt8) -> Bool {
      byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z")
        || byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z")
        || byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") || byte == UInt8(ascii: "_")
    }
    while start < bytes.count {
      guard isName(bytes[start]) else {
        start += 1
        continue
      }
      var end = start
      while end < bytes.count, isName(bytes[end]) { end += 1 }
      let isAfterDot = start > 0 && bytes[start - 1] == UInt8(ascii: ".")
      let isCalled = end < bytes.count && bytes[end] == UInt8(ascii: "(")
      if isAfterDot || isCalled {
        found.append(String(decoding: bytes[start..<end], as: UTF8.self))
      }
      start = end
    }
    return found
  }

  /// The labels of orderings, such as `send:O`: a place, and a letter.
  var labels: [String] {
    utf8.split { byte in
      !(byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z")
        || byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z")
        || byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") || byte == UInt8(ascii: "_")
        || byte == UInt8(ascii: ":"))
    }.compactMap { token in
      let parts = token.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
      guard parts.count == 2, parts[1].count == 1, let letter = parts[1].first, !parts[0].isEmpty,
        letter >= UInt8(ascii: "A") && letter <= UInt8(ascii: "Z"),
        parts[0].allSatisfy({ $0 | 0x20 >= UInt8(ascii: "a") && $0 | 0x20 <= UInt8(ascii: "z") })
      else { return nil }
      return String(decoding: token, as: UTF8.self)
    }
  }
}

/// The keywords that declare a type that other files can name.
let typeKeywords: Set<String> = [
  "struct", "class", "enum", "actor", "protocol", "typealias",
]
