// SPDX-License-Identifier: Apache-2.0

/// Reads the declarations of a file at the level of types, without looking into bodies.
struct DeclarationReader {
  struct Found {
    var kind: Declaration.Kind
    var owner: String
    var text: String
    var line: Int
    var isPublic: Bool
    var typeName: String?

    /// The name of a function or a property that other files may use; nil for what is private, has
    /// no name, or is an operator.
    var memberName: String? {
      let words = text.words
      if kind == .enumCase { return words.first { $0 != "case" && $0 != "indirect" } }
      guard !words.contains("private"),
        let keyword = words.firstIndex(where: ["func", "var", "let"].contains),
        keyword + 1 < words.count, text.contains(words[keyword] + " " + words[keyword + 1])
      else { return nil }
      return words[keyword + 1]
    }
  }

  private enum Scope {
    case type(name: String, isPublicEnum: Bool)
    case body
  }

  private let file: SourceFile
  private var scopes: [Scope] = []
  /// The declaration that is being read: everything since the last one, or the last brace.
  private var header: [UInt8] = []
  private var headerLine = 0
  private var parentheses = 0
  private var found: [Found] = []

  init(_ file: SourceFile) { self.file = file }

  mutating func read() -> [Found] {
    for (index, line) in file.code.enumerated() { read(line, index) }
    flush()
    return found
  }

  private static let declaring: Set<String> = [
    "let", "var", "func", "init", "deinit", "subscript", "case", "extension", "struct", "class",
    "enum", "actor", "protocol", "typealias", "import",
  ]
  private static let modifying: Set<String> = [
    "public", "internal", "private", "fileprivate", "package", "static", "mutating", "consuming",
    "borrowing", "final", "nonisolated", "indirect", "unsafe",
  ]

  private var isInBody: Bool {
    if case .body = scopes.last { return true }
    return false
  }

  private var owner: String {
    scopes.compactMap { scope in
      if case .type(let name, _) = scope { return name }
      return nil
    }.joined(separator: ".")
  }

  private mutating func read(_ line: String, _ index: Int) {
    let first = line.utf8.first { $0 != UInt8(ascii: " ") }
    guard let first, first != UInt8(ascii: "#") else { return }
    if !isInBody, parentheses == 0, !header.isEmpty {
      let word = line.words.first ?? ""
      let begins =
        first == UInt8(ascii: "@") || Self.declaring.contains(word)
        || Self.modifying.contains(word)
      // Attributes and modifiers on lines of their own belong to what follows.
      if begins, text.words.contains(where: Self.declaring.contains) { flush() }
    }
    for byte in line.utf8 {
      switch byte {
      case UInt8(ascii: "{") where parentheses == 0: open()
      case UInt8(ascii: "}") where parentheses == 0: close()
      default:
        if isInBody { continue }
        if header.isEmpty {
          if byte == UInt8(ascii: " ") { continue }
          headerLine = index
        }
        if byte == UInt8(ascii: "(") || byte == UInt8(ascii: "[") { parentheses += 1 }
        if byte == UInt8(ascii: ")") || byte == UInt8(ascii: "]") { parentheses -= 1 }
        header.append(byte)
      }
    }
    if !isInBody, !header.isEmpty { header.append(UInt8(ascii: " ")) }
  }

  /// The declaration in one line.
  private var text: String {
    header.split(separator: UInt8(ascii: " ")).map { String(decoding: $0, as: UTF8.self) }
      .joined(separator: " ")
  }

  private mutating func open() {
    defer {
      header = []
      parentheses = 0
    }
    if isInBody { return scopes.append(.body) }
    let text = text
    let words = text.words
    guard let keyword = words.firstIndex(where: Self.declaring.contains) else {
      return scopes.append(.body)
    }
    if words[keyword] == "extension" {
      let name = text.split(separator: " ").drop { $0 != "extension" }.dropFirst().first ?? ""
      return scopes.append(
        .type(name: String(name.prefix { $0 != ":" && $0 != "<" }), isPublicEnum: false))
    }
    record(text)
    if typeKeywords.contains(words[keyword]), keyword + 1 < words.count {
      let isPublicEnum = words[keyword] == "enum" && words[..<keyword].contains("public")
      scopes.append(.type(name: words[keyword + 1], isPublicEnum: isPublicEnum))
    } else {
      scopes.append(.body)
    }
  }

  private mutating func close() {
    flush()
    _ = scopes.popLast()
  }

  private mutating func flush() {
    if !isInBody { record(text) }
    header = []
    parentheses = 0
  }

  /// Notes a declaration whose text is complete.
  private mutating func record(_ text: String) {
    let words = text.words
    guard let keyword = words.firstIndex(where: Self.declaring.contains) else { return }
    var isPublic = words[..<keyword].contains("public")
    var shown = text
    let kind: Declaration.Kind
    var typeName: String? = nil
    switch words[keyword] {
    case "struct", "class", "enum", "actor", "protocol":
      kind = .type
      typeName = keyword + 1 < words.count ? words[keyword + 1] : nil
    case "typealias": kind = .type
    case "func", "init", "subscript": kind = .function
    case "case":
      kind = .enumCase
      if case .type(_, true) = scopes.last { isPublic = true }
      shown = Self.withoutValue(text)
    case "let", "var":
      kind = .property
      shown = Self.withoutValue(text)
    default: return
    }
    found.append(
      Found(
        kind: kind, owner: owner, text: shown, line: headerLine, isPublic: isPublic,
        typeName: typeName))
  }

  /// The declaration of a property without what it begins with.
  private static func withoutValue(_ text: String) -> String {
    var shown: [Substring] = []
    for word in text.split(separator: " ") {
      if word == "=" { break }
      shown.append(word)
    }
    return shown.joined(separator: " ")
  }
}
