// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@Suite struct ReadmeTests {
  private let root = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  /// The first example is the program that is compiled, to the letter.
  @Test func exampleIsTheQuickStart() throws {
    let readme = try String(contentsOf: root.appending(path: "README.md"), encoding: .utf8)
    let program = try String(
      contentsOf: root.appending(path: "Examples/QuickStart/QuickStart.swift"), encoding: .utf8)
    let body = try #require(program.split(separator: "  // README begins\n").last)
    let example = try #require(body.split(separator: "  // README ends\n").first)
    #expect(example.split(separator: "\n").count >= 12)
    #expect(readme.contains("```swift\n\(example)```"))
  }

  /// The scripted test is one that runs.
  @Test func scriptedTestIsOneThatRuns() throws {
    let readme = try String(contentsOf: root.appending(path: "README.md"), encoding: .utf8)
    let tests = try String(
      contentsOf: root.appending(path: "Tests/TestingTests/ScriptedMachineTests.swift"),
      encoding: .utf8)
    let body = try #require(tests.split(separator: "@Test func deferral() throws {\n").last)
    let lines = body.split(separator: "\n").prefix { $0 != "  }" }.map { $0.dropFirst(4) }
    #expect(lines.count == 8)
    #expect(readme.contains("```swift\n\(lines.joined(separator: "\n"))\n```"))
  }

  /// What the page promises as the first two commands is what the manifest and the CI know.
  @Test func commandsExist() throws {
    let readme = try String(contentsOf: root.appending(path: "README.md"), encoding: .utf8)
    let manifest = try String(contentsOf: root.appending(path: "Package.swift"), encoding: .utf8)
    let ci = try String(contentsOf: root.appending(path: ".ci/run"), encoding: .utf8)
    #expect(readme.contains("swift run -c release isolation-demo"))
    #expect(manifest.contains("\"isolation-demo\""))
    #expect(readme.contains("\nswift test\n") && ci.contains("\nswift test "))
  }

  /// Every page that a page points to exists.
  @Test func linksLead() throws {
    let pages =
      ["README.md"]
      + (try FileManager.default.subpathsOfDirectory(
        atPath: root.appending(path: "Documentation").path
      )
      .filter { $0.hasSuffix(".md") }.map { "Documentation/\($0)" })
    for page in pages {
      let url = root.appending(path: page)
      let text = try String(contentsOf: url, encoding: .utf8)
      for match in text.matches(of: /\]\(([^)#:]+)\)/) {
        let target = url.deletingLastPathComponent().appending(path: String(match.1))
        #expect(FileManager.default.fileExists(atPath: target.path), "\(page): \(match.1)")
      }
    }
  }
}
