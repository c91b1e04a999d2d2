// SPDX-License-Identifier: Apache-2.0

import Testing

extension ArchitectureTests {
  /// Folders are floors: a lower one knows nothing of a higher one. Module borders would cost inlining, folders cost nothing.
  @Suite struct Floors {
    /// Lowest first. `Scenarios` is the checking build's own, and may use everything.
    static let order = [
      "Base", "CPUs", "Reclamation", "Tracing", "Protocol", "Coordination", "Observing",
      "Handlers", "Probes", "Scenarios",
    ]

    @Test func lowerFloorsNameNoHigherType() throws {
      expectNone(Self.findings(in: try SourceTree.library()))
    }

    @Test func theCheckFindsWhatItIsFor() {
      func source(_ folder: String, _ text: String) -> SourceFile {
        SourceFile("Sources/CPUIsolation/\(folder)/File.swift", text)
      }
      let upstairs = source("Coordination", "public struct Upstairs {}\nprivate struct Hidden {}\n")
      let findings = Self.findings(in: [
        upstairs,
        source("Base", "struct Downstairs { let up: Upstairs }"),
        source("CPUs", "// Upstairs\nlet text = \"Upstairs\"\nstruct Hidden {}\n"),
        source("Cellar", "struct Rat {}"),
      ])
      #expect(
        findings.sorted() == [
          "Sources/CPUIsolation/Base/File.swift names Upstairs of Coordination",
          "Sources/CPUIsolation/Cellar/File.swift is on no known floor",
        ])
      #expect(Self.findings(in: [upstairs, source("Probes", "let up: Upstairs")]).isEmpty)
    }

    static func findings(in files: [SourceFile]) -> [String] {
      var homes: [String: Set<Int>] = [:]
      var findings: [String] = []
      var placed: [(file: SourceFile, level: Int)] = []
      for file in files {
        guard let floor = file.floor, let level = order.firstIndex(of: floor) else {
          findings.append("\(file.path) is on no known floor")
          continue
        }
        placed.append((file, level))
        for name in declaredTypes(in: file) { homes[name, default: []].insert(level) }
      }
      for (file, level) in placed {
        let words = Set(file.code.flatMap(\.words))
        for word in words.sorted() {
          guard let lowest = homes[word]?.min(), lowest > level else { continue }
          findings.append("\(file.path) names \(word) of \(order[lowest])")
        }
      }
      return findings
    }

    /// The types that a file declares at its top level, for others to name.
    private static func declaredTypes(in file: SourceFile) -> [String] {
      file.code.compactMap { line in
        guard let first = line.utf8.first, first != UInt8(ascii: " ") else { return nil }
        let words = line.words
        guard !words.contains("private"),
          let keyword = words.firstIndex(where: typeKeywords.contains), keyword + 1 < words.count,
          !words[..<keyword].contains("func"), words[keyword + 1].first?.isUppercase == true
        else { return nil }
        return words[keyword + 1]
      }
    }
  }
}
