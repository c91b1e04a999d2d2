// SPDX-License-Identifier: Apache-2.0

/// A Swift file: its lines as they are, and the same lines with comments and strings blanked.
struct SourceFile {
  let path: String
  let lines: [String]
  let code: [String]

  init(_ path: String, _ text: String) {
    self.path = path
    lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    code = Self.blanked(text).split(separator: "\n", omittingEmptySubsequences: false)
      .map(String.init)
  }

  var name: String { String(path.split(separator: "/").last ?? "") }

  /// The folder directly below the module's own, if there is one.
  var floor: String? {
    let parts = path.split(separator: "/")
    return parts.count > 3 ? String(parts[2]) : nil
  }

  /// Whether the line consists of a comment.
  func isComment(_ index: Int) -> Bool { trimmed(index).hasPrefix("//") }

  func trimmed(_ index: Int) -> String {
    let bytes = lines[index].utf8
    guard let first = bytes.firstIndex(where: { $0 != UInt8(ascii: " ") }) else { return "" }
    return String(lines[index][first...])
  }

  /// The comment that ends at this line, if it is one, in reading order.
  func comment(endingAt index: Int) -> [String] {
    var block: [String] = []
    var line = index
    while line >= 0, isComment(line) {
      block.insert(trimmed(line), at: 0)
      line -= 1
    }
    return block
  }

  /// Puts a space for each byte of a comment or a string; lines keep their places.
  private static func blanked(_ text: String) -> String {
    var blanker = Blanker(Array(text.utf8))
    return String(decoding: blanker.run(), as: UTF8.self)
  }
}

/// Blanks what is not code.
private struct Blanker {
  private enum State { case code, lineComment, blockComment, string, longString }

  private let bytes: [UInt8]
  private var result: [UInt8] = []
  private var index = 0

  init(_ bytes: [UInt8]) {
    self.bytes = bytes
    result.reserveCapacity(bytes.count)
  }

  mutating func run() -> [UInt8] {
    var state = State.code
    while index < bytes.count {
      switch state {
      case .code: state = code()
      case .lineComment:
        if bytes[index] == Self.newline { state = .code }
        skip(1)
      case .blockComment: state = ended(by: "*/") ? .code : .blockComment
      case .longString: state = ended(by: "\"\"\"") ? .code : .longString
      case .string:
        if follows("\\(") {
          skipInterpolation()
        } else if follows("\\") {
          skip(2)
        } else {
          if bytes[index] == Self.quote || bytes[index] == Self.newline { state = .code }
          skip(1)
        }
      }
    }
    return result
  }

  private static let newline = UInt8(ascii: "\n")
  private static let quote = UInt8(ascii: "\"")

  private func follows(_ text: StaticString) -> Bool {
    let count = text.utf8CodeUnitCount
    if index + count > bytes.count { return false }
    for offset in 0..<count where unsafe bytes[index + offset] != text.utf8Start[offset] {
      return false
    }
    return true
  }

  private mutating func skip(_ count: Int) {
    for offset in 0..<count where index + offset < bytes.count {
      result.append(bytes[index + offset] == Self.newline ? Self.newline : UInt8(ascii: " "))
    }
    index += count
  }

  private mutating func code() -> State {
    let byte = bytes[index]
    if byte == UInt8(ascii: "/") {
      if follows("//") { return begun(.lineComment, 2) }
      if follows("/*") { return begun(.blockComment, 2) }
    } else if byte == Self.quote {
      return follows("\"\"\"") ? begun(.longString, 3) : begun(.string, 1)
    }
    result.append(byte)
    index += 1
    return .code
  }

  private mutating func begun(_ state: State, _ count: Int) -> State {
    skip(count)
    return state
  }

  private mutating func ended(by mark: StaticString) -> Bool {
    if follows(mark) {
      skip(mark.utf8CodeUnitCount)
      return true
    }
    skip(1)
    return false
  }

  private mutating func skipInterpolation() {
    var depth = 0
    skip(1)
    repeat {
      if index >= bytes.count { return }
      if bytes[index] == UInt8(ascii: "(") { depth += 1 }
      if bytes[index] == UInt8(ascii: ")") { depth -= 1 }
      skip(1)
    } while depth > 0
  }
}
