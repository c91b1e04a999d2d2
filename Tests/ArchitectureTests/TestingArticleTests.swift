// SPDX-License-Identifier: Apache-2.0

import Testing

extension ArchitectureTests {
  /// What the article on testing shows is what the package that depends on this one compiles.
  @Suite struct TestingArticle {
    private static let page = "Documentation/Testing.md"
    private static let package = "Tests/Dependent"

    /// Every piece of Swift stands in that package, line by line, but for its indentation.
    @Test func itsCodeIsCompiled() throws {
      let blocks = Self.swiftBlocks(in: try SourceTree.text(Self.page))
      #expect(blocks.count >= 6)
      let files = try SourceTree.paths(in: Self.package, endingIn: [".swift"]).map { path in
        Self.lines(of: try SourceTree.text(path))
      }
      #expect(files.count > 5)
      expectNone(
        blocks.filter { block in !files.contains { Self.contains($0, block) } }
          .map { "\(Self.page) shows what no file has: \($0.prefix(2).joined(separator: " / "))" })
    }

    @Test func aChangedLineIsFound() {
      let file = Self.lines(of: "a\n  b\n\n    c\n")
      #expect(Self.contains(file, ["b", "", "c"]))
      #expect(!Self.contains(file, ["b", "c"]))
      #expect(Self.swiftBlocks(in: "x\n```swift\n  b\n```\n```\nno\n```\n") == [["b"]])
    }

    /// The commands on the page are those of the CI.
    @Test func itsCommandsAreRun() throws {
      let script = try SourceTree.text(".ci/dependent")
      #expect(script.contains("--traits ModelChecking --filter RouteModelTests"))
      #expect(
        try SourceTree.text(Self.page).contains(
          "swift test --traits ModelChecking --filter RouteModelTests"))
    }

    static func lines(of text: String) -> [String] {
      text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
        String(line.drop { $0 == " " })
      }
    }

    static func contains(_ file: [String], _ block: [String]) -> Bool {
      file.indices.contains { file[$0...].starts(with: block) }
    }

    static func swiftBlocks(in text: String) -> [[String]] {
      var blocks: [[String]] = []
      var block: [String]? = nil
      for line in lines(of: text) {
        if line == "```swift" {
          block = []
        } else if line.hasPrefix("```") {
          if let block { blocks.append(block) }
          block = nil
        } else {
          block?.append(line)
        }
      }
      return blocks
    }
  }
}
