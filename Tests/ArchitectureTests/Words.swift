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
