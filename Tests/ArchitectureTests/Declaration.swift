// SPDX-License-Identifier: Apache-2.0

/// A public declaration, as the text of a source file shows it.
struct Declaration {
  enum Kind { case type, function, property, enumCase }

  let kind: Kind
  /// The names of the types around it, with dots.
  let owner: String
  /// The declaration up to its body, in one line.
  let text: String
  /// The name of a type.
  let name: String?
  let place: String
  let comment: [String]

  /// What the list of the public API shows.
  var signature: String { owner.isEmpty ? text : "\(owner) · \(text)" }

  /// A name of another system or of an earlier version, there to lead its users to ours.
  var isForwarding: Bool {
    text.contains("@available(*, unavailable") || text.contains("@available(*, deprecated")
  }

  /// The public declarations of a file. `publicTypes` are the full names of the module's public types: what an internal
  /// type declares public is not for users.
  static func all(in file: SourceFile, publicTypes: Set<String>) -> [Declaration] {
    var reader = DeclarationReader(file)
    return reader.read().compactMap { found in
      guard found.owner.isEmpty || publicTypes.contains(found.owner), found.isPublic else {
        return nil
      }
      return Declaration(
        kind: found.kind, owner: found.owner, text: found.text, name: found.typeName,
        place: "\(file.path):\(found.line + 1)",
        comment: file.comment(endingAt: found.line - 1))
    }
  }

  /// The full names of the public types that a file declares.
  static func publicTypes(in file: SourceFile) -> [String] {
    var reader = DeclarationReader(file)
    return reader.read().compactMap { found in
      guard found.kind == .type, found.isPublic, let name = found.typeName else { return nil }
      return found.owner.isEmpty ? name : "\(found.owner).\(name)"
    }
  }
}
