// SPDX-License-Identifier: Apache-2.0

extension Declaration {
  /// The names that a function's body has for its parameters, without those that have none; empty
  /// for operators, whose operands everybody knows.
  var parameters: [String] {
    let bytes = Array(text.utf8)
    guard kind == .function, let range = Self.parameterList(bytes) else { return [] }
    return Self.elements(bytes[range]).compactMap { element in
      let name = element.prefix { $0 != UInt8(ascii: ":") }
      return String(decoding: name, as: UTF8.self).words.last.flatMap { $0 == "_" ? nil : $0 }
    }
  }

  /// The parameters that the comment has a sentence on.
  var documentedParameters: [String] {
    comment.compactMap { line in
      guard line.hasPrefix("///"), let colon = line.firstIndex(of: ":") else { return nil }
      let words = line[..<colon].split(separator: " ").dropFirst()
      guard words.first == "-", line.index(after: colon) != line.endIndex else { return nil }
      if words.count == 2, line.hasPrefix("///   - ") { return String(words.last!) }
      return words.count == 3 && words.dropFirst().first == "Parameter" ? String(words.last!) : nil
    }
  }

  /// Whether there is a result.
  var returnsSomething: Bool { afterParameters.contains("->") }

  /// Whether it may throw, `rethrows` included.
  var canThrow: Bool { afterParameters.contains("throws") }

  private var afterParameters: String {
    let bytes = Array(text.utf8)
    guard let end = Self.parameterList(bytes)?.upperBound else { return text }
    return String(decoding: bytes[end...], as: UTF8.self)
  }

  /// What stands between the parentheses, after the name and the generic parameters.
  private static func parameterList(_ bytes: [UInt8]) -> Range<Int>? {
    let words = String(decoding: bytes, as: UTF8.self).words
    guard let keyword = words.firstIndex(where: ["func", "init", "subscript"].contains) else {
      return nil
    }
    if words[keyword] == "func" {
      let text = String(decoding: bytes, as: UTF8.self)
      guard let name = text.firstRange(of: "func ")?.upperBound, text[name...].first!.isLetter
      else { return nil }
    }
    // Attributes may have parentheses of their own.
    let keywords = [" func ", " init", " subscript"].map { Array($0.utf8) }
    guard
      let start = bytes.indices.first(where: { index in
        keywords.contains { bytes[index...].starts(with: $0) }
      })
    else { return nil }
    var begin: Int? = nil
    var depth = 0
    for index in start..<bytes.count {
      if bytes[index] == UInt8(ascii: "(") {
        depth += 1
        if begin == nil { begin = index + 1 }
      } else if bytes[index] == UInt8(ascii: ")") {
        depth -= 1
        if depth == 0, let begin { return begin..<index }
      }
    }
    return nil
  }

  /// What commas separate, but for those inside parentheses, brackets, braces and generic arguments.
  private static func elements(_ bytes: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
    var depth = 0
    var arguments = 0
    var before = UInt8(ascii: " ")
    var found: [ArraySlice<UInt8>] = []
    var begin = bytes.startIndex
    for index in bytes.indices {
      let byte = bytes[index]
      switch byte {
      case UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
      case UInt8(ascii: ")"), UInt8(ascii: "]"), UInt8(ascii: "}"): depth -= 1
      // One that is less than another has a blank before it.
      case UInt8(ascii: "<") where before != UInt8(ascii: " ") && before != byte: arguments += 1
      case UInt8(ascii: ">") where before != UInt8(ascii: "-") && arguments > 0: arguments -= 1
      case UInt8(ascii: ",") where depth == 0 && arguments == 0:
        found.append(bytes[begin..<index])
        begin = index + 1
      default: break
      }
      before = byte
    }
    if begin < bytes.endIndex { found.append(bytes[begin...]) }
    return found
  }
}
