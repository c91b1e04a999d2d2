// SPDX-License-Identifier: Apache-2.0

import Testing

extension ArchitectureTests {
  /// What every file keeps to.
  @Suite struct HouseRules {
    private func allSwift() throws -> [SourceFile] {
      try SourceTree.sources() + SourceTree.swift("Tests") + SourceTree.swift("Examples")
    }

    @Test func onlyTheSeamSpellsAtomics() throws {
      expectNone(
        try SourceTree.library()
          .filter { !$0.path.hasPrefix("Sources/CPUIsolation/Base/Sync") }
          .flatMap { file in
            file.code.indices.filter {
              file.code[$0].words.contains("Atomic") && file.code[$0].contains("Atomic<")
            }
            .map { "\(file.path):\($0 + 1) spells Atomic<" }
          })
    }

    @Test func nothingNeedsFoundation() throws {
      let files = try SourceTree.sources() + SourceTree.swift("Examples")
      expectNone(
        files.flatMap { file in
          file.code.indices.filter {
            let words = file.code[$0].words
            return words.contains("import") && words.contains { $0.hasPrefix("Foundation") }
          }
          .map { "\(file.path):\($0 + 1) imports Foundation" }
        })
    }

    @Test func filesAreShort() throws {
      expectNone(
        try SourceTree.sources().filter { $0.lines.count > 401 }
          .map { "\($0.path) has \($0.lines.count - 1) lines" })
    }

    @Test func namesSaySomething() throws {
      let banned = /Utilit|Helpers?\b|Common|Manager|Utils/
      var findings: [String] = []
      for file in try allSwift() {
        if file.path.contains(banned) { findings.append("\(file.path) has such a name") }
        for (index, line) in file.code.enumerated() {
          let words = line.words
          guard let keyword = words.firstIndex(where: typeKeywords.contains),
            keyword + 1 < words.count, words[keyword + 1].contains(banned)
          else { continue }
          findings.append("\(file.path):\(index + 1) declares \(words[keyword + 1])")
        }
      }
      expectNone(findings)
    }

    @Test func everyFileNamesItsLicence() throws {
      let folders = ["Sources", "Tests", "Examples"]
      let paths = folders.flatMap { SourceTree.paths(in: $0, endingIn: [".swift", ".c", ".h"]) }
      #expect(paths.count > 50)
      var findings: [String] = []
      for path in paths + ["Package.swift"] {
        let lines = try SourceTree.text(path).split(separator: "\n").prefix(2)
        let first = lines.first { !$0.hasPrefix("// swift-tools-version") }
        if first != "// SPDX-License-Identifier: Apache-2.0" {
          findings.append("\(path) does not begin with its licence")
        }
      }
      expectNone(findings)
    }

    @Test func noFileKnowsAMachine() throws {
      let folders = ["Sources", "Tests", "Examples", "Documentation", ".ci"]
      var paths = ["Package.swift", "README.md"]
      for folder in folders {
        paths += SourceTree.paths(in: folder, endingIn: [""]).filter { path in
          [".swift", ".c", ".h", ".md", ".json", ".txt", ".pml"].contains { path.hasSuffix($0) }
            || folder == ".ci"
        }
      }
      // In pieces, so that this file does not find itself.
      let machines = ["work", "home", "root", "Users"].map { "/" + $0 + "/" } + ["/t" + "mp/"]
      var findings: [String] = []
      for path in paths {
        guard let text = try? SourceTree.text(path) else { continue }
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false)
          .enumerated()
        {
          for machine in machines where line.contains(machine) {
            findings.append("\(path):\(index + 1) has a path of some machine: \(machine)")
          }
        }
      }
      expectNone(findings)
    }

    @Test func whatIsUncheckedIsProved() throws {
      var findings: [String] = []
      for file in try SourceTree.sources() {
        for index in file.code.indices
        where file.code[index].words.contains(where: { $0 == "unchecked" || $0 == "nonisolated" })
          && file.code[index].contains(/@unchecked Sendable|nonisolated\(unsafe\)/)
        {
          if file.lines[index].contains(/[{}\w)] +\/\/ \w/) { continue }
          var above = index - 1
          // Attributes may stand between the proof and the declaration.
          while above >= 0, file.trimmed(above).hasPrefix("@") { above -= 1 }
          let proof = above >= 0 ? file.trimmed(above) : ""
          let isProof = proof.hasPrefix("// ") || proof.hasPrefix("/// ")
          if !isProof { findings.append("\(file.path):\(index + 1) is not proved") }
        }
      }
      expectNone(findings)
    }
  }
}
