// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

extension ArchitectureTests {
  /// What the library promises to its users, as a list in the repository: a change of it is seen in a review.
  @Suite struct PublicAPI {
    private static let list = "Tests/ArchitectureTests/PublicAPI.txt"

    func declarations() throws -> [Declaration] {
      let files = try SourceTree.products().filter { $0.floor != "Scenarios" }
      let publicTypes = Set(files.flatMap(Declaration.publicTypes))
      return files.flatMap { Declaration.all(in: $0, publicTypes: publicTypes) }
    }

    /// Run with `CPUISOLATION_UPDATE_API=1` to write the list anew.
    @Test func isTheOneThatIsListed() throws {
      let actual = Set(try declarations().map(\.signature)).sorted()
      #expect(actual.count > 100)
      if ProcessInfo.processInfo.environment["CPUISOLATION_UPDATE_API"] != nil {
        try SourceTree.write(actual.joined(separator: "\n") + "\n", to: Self.list)
      }
      let listed = try SourceTree.text(Self.list).split(separator: "\n").map(String.init)
      let added = Set(actual).subtracting(listed).sorted()
      let removed = Set(listed).subtracting(actual).sorted()
      expectNone(added.map { "not listed: \($0)" } + removed.map { "gone: \($0)" })
    }

    /// Every public declaration has a comment. A case may be explained in its type's instead, by its name in backticks,
    /// and `description` is what its protocol says.
    @Test func isDocumented() throws {
      let all = try declarations()
      var comments: [String: String] = [:]
      for type in all where type.kind == .type {
        guard let name = type.name else { continue }
        comments[type.owner.isEmpty ? name : "\(type.owner).\(name)"] = type.comment.joined()
      }
      var findings: [String] = []
      for declaration in all where declaration.comment.first?.hasPrefix("///") != true {
        if declaration.isForwarding || declaration.text.hasSuffix("var description: String") {
          continue
        }
        let text = comments[declaration.owner] ?? ""
        let names = declaration.text.matches(of: /\b\w+/).dropFirst().prefix(1)
        if declaration.kind == .enumCase, names.allSatisfy({ text.contains("`\($0.output)`") }) {
          continue
        }
        findings.append("\(declaration.place) has no documentation: \(declaration.signature)")
      }
      expectNone(findings)
    }

    /// Types and functions say what they cost. A type inside another one is as that one.
    @Test func saysWhatItCosts() throws {
      var findings: [String] = []
      for declaration in try declarations() where !declaration.isForwarding {
        switch declaration.kind {
        case .function: break
        case .type where declaration.owner.isEmpty && declaration.name != nil: break
        default: continue
        }
        let text = declaration.comment.joined(separator: "\n")
        let missing = ["Progress", "Context", "Allocates"].filter { !text.contains("- \($0):") }
        if !missing.isEmpty {
          findings.append(
            "\(declaration.place) lacks \(missing.joined(separator: ", ")): \(declaration.signature)"
          )
        }
      }
      expectNone(findings)
    }

    @Test func theReaderReads() {
      let file = SourceFile(
        "f.swift",
        """
        /// A thing.
        @frozen
        public struct Thing: Sendable {
          /// How many.
          public private(set) var count: Int = 3
          let secret = 1
          /// Makes it.
          public init(
            _ count: Int = 1, what: (Int) -> Void = { _ in }
          ) throws(Problem) { if count > 0 { let public = 1 } }
          public enum Colour { case red, green(Int) }
        }
        struct Inner { public var unseen: Int { 1 } }
        extension Thing { public static func == (a: Thing, b: Thing) -> Bool { true } }
        """)
      let all = Declaration.all(in: file, publicTypes: Set(Declaration.publicTypes(in: file)))
      #expect(
        all.map(\.signature) == [
          "@frozen public struct Thing: Sendable",
          "Thing · public private(set) var count: Int",
          "Thing · public init( _ count: Int = 1, what: (Int) -> Void = { _ in } ) throws(Problem)",
          "Thing · public enum Colour",
          "Thing.Colour · case red, green(Int)",
          "Thing · public static func == (a: Thing, b: Thing) -> Bool",
        ])
      #expect(all.filter { $0.comment.isEmpty }.count == 3)
    }
  }
}
