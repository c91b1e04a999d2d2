// SPDX-License-Identifier: Apache-2.0

import Testing

extension ArchitectureTests {
  /// What the other articles show is what tests compile: a line with "…" alone stands for what is
  /// left out.
  @Suite struct Articles {
    private struct Article: CustomTestStringConvertible {
      var page: String
      var tests: String
      var pieces: Int

      var testDescription: String { page }
    }

    private static let articles = [
      Article(
        page: "StaticKeys", tests: "CPUIsolationTests/TextPatching/StaticKeyArticleTests",
        pieces: 1),
      Article(
        page: "Translation", tests: "CPUIsolationTests/Translation/TranslationArticleTests",
        pieces: 1),
      Article(
        page: "Probes", tests: "CPUIsolationTests/Probes/ProbeArticleTests", pieces: 3),
      Article(page: "TextPatching", tests: "TextPatchingTests/ArticleTests", pieces: 2),
      Article(page: "Tracing", tests: "TraceTests/TracingArticleTests", pieces: 6),
      Article(
        page: "Interference", tests: "CPUIsolationTests/Observing/InterferenceArticleTests",
        pieces: 1),
      Article(
        page: "Embedding", tests: "CPUIsolationTests/Coordination/EmbeddingArticleTests",
        pieces: 10),
    ]

    @Test(arguments: articles)
    private func itsCodeIsCompiled(_ article: Article) throws {
      let page = try SourceTree.text("Documentation/\(article.page).md")
      let pieces = TestingArticle.swiftBlocks(in: page).flatMap { block in
        block.split(separator: "…").map(Array.init)
      }
      #expect(pieces.count == article.pieces)
      let file = TestingArticle.lines(of: try SourceTree.text("Tests/\(article.tests).swift"))
      expectNone(
        pieces.filter { !TestingArticle.contains(file, $0) }.map { piece in
          "\(article.page) shows what no test has: \(piece.prefix(2).joined(separator: " / "))"
        })
    }

    /// A page with Swift on it that nobody compares would not be noticed.
    @Test func everyArticleIsCompared() throws {
      // What Verification shows is a piece of `MutantTests`, in the build with the trait alone.
      let compared = Set(Self.articles.map(\.page) + ["Testing", "Reclamation", "Verification"])
      let pages = SourceTree.paths(in: "Documentation", endingIn: [".md"])
      #expect(pages.count > 20)
      expectNone(
        try pages.filter { page in
          let hasCode = !TestingArticle.swiftBlocks(in: try SourceTree.text(page)).isEmpty
          return hasCode && !compared.contains { page == "Documentation/\($0).md" }
        }.map { "\($0) shows code that no test compiles" })
    }
  }
}
