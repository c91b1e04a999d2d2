// SPDX-License-Identifier: Apache-2.0

import Testing

extension ArchitectureTests {
  /// What the article on reclamation shows is what a test compiles and runs.
  @Suite struct ReclamationArticle {
    private static let page = "Documentation/Reclamation.md"
    private static let tests = "Tests/CPUIsolationTests/Reclamation/ReclamationArticleTests.swift"

    @Test func itsCodeIsCompiled() throws {
      let blocks = TestingArticle.swiftBlocks(in: try SourceTree.text(Self.page))
      #expect(blocks.count == 6)
      let file = TestingArticle.lines(of: try SourceTree.text(Self.tests))
      expectNone(
        blocks.filter { !TestingArticle.contains(file, $0) }
          .map { "\(Self.page) shows what no test has: \($0.prefix(2).joined(separator: " / "))" })
    }
  }
}
