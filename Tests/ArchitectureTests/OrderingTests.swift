// SPDX-License-Identifier: Apache-2.0

import Testing

extension ArchitectureTests {
  /// Every ordering says what it is for, and who its partner is.
  @Suite struct Orderings {
    private static let document = "Documentation/MemoryOrdering.md"

    /// What is stronger than relaxed, and needs a reason.
    private static let strong: Set<String> = [
      "acquiring", "releasing", "acquiringAndReleasing", "sequentiallyConsistent", "fullFence",
      "fullFenceAfterExchange",
    ]

    /// The files whose accesses are the protocols: not the seam itself, and not the checking build's engine.
    private func protocols() throws -> [SourceFile] {
      try SourceTree.sources().filter { file in
        file.path.hasPrefix("Sources/CPUIsolationTextPatching/")
          || file.path.hasPrefix("Sources/CPUIsolation/") && file.floor != "Scenarios"
            && !file.name.hasPrefix("Sync")
      }
    }

    @Test func strongOrderingsCarryALabel() throws {
      let findings = try protocols().flatMap(Self.unlabelled)
      expectNone(findings)
    }

    @Test func theCheckFindsWhatItIsFor() {
      let file = SourceFile(
        "f.swift",
        """
        // Acquire — f:A. Pairs with g:R.
        let a = word.load(
          ordering: .acquiring)
        let b = word.load(ordering: .acquiring)

        // No label.
        word.store(1, ordering: .releasing)
        word.store(1, ordering: .relaxed)  // .releasing

        fullFence()
        """)
      #expect(Self.unlabelled(file).map { $0.prefix(9) } == ["f.swift:7", "f.swift:1"])
      #expect(
        Self.partners(in: ["// A — f:A. Pairs with g:R", "// and h:S; not i:T"]) == ["g:R", "h:S"])
    }

    /// The strong orderings and fences with no label in the comment above.
    private static func unlabelled(_ file: SourceFile) -> [String] {
      file.code.indices.compactMap { index in
        let words = file.code[index].words
        guard let strong = words.firstIndex(where: Self.strong.contains) else { return nil }
        // The definition of a fence is not a use.
        if strong > 0, words[strong - 1] == "func" { return nil }
        // The comment stands above the statement, and a statement may be a few lines long.
        var above = index - 1
        while above >= 0, index - above <= 8, !file.isComment(above),
          !file.trimmed(above).isEmpty
        { above -= 1 }
        let comment = above >= 0 ? file.comment(endingAt: above) : []
        if comment.contains(where: { !$0.labels.isEmpty }) { return nil }
        return "\(file.path):\(index + 1) has no label above: \(file.trimmed(index))"
      }
    }

    /// The labels that a comment names as partners.
    private static func partners(in comment: [String]) -> [String] {
      let text = comment.map { $0.drop { $0 == "/" } }.joined(separator: " ")
      guard let range = text.firstRange(of: "Pairs with ") else { return [] }
      let sentence = text[range.upperBound...].prefix { $0 != "." && $0 != ";" }
      return sentence.labels
    }

    /// The labels that the sources define, each with its place and the partners it names.
    private func definitions() throws -> [(label: String, place: String, partners: [String])] {
      try protocols().flatMap { file in
        file.lines.indices.flatMap { index -> [(String, String, [String])] in
          guard file.isComment(index), let begin = file.lines[index].firstRange(of: " — ")
          else { return [] }
          // One comment may define two: "— merge:K, then merge:W."
          let labels = file.lines[index][begin.upperBound...].prefix { $0 != "." }
            .labels
          var end = index
          while end + 1 < file.lines.count, file.isComment(end + 1) { end += 1 }
          let partners = Self.partners(in: (index...end).map(file.trimmed))
          return labels.map { ($0, "\(file.path):\(index + 1)", partners) }
        }
      }
    }

    /// The rows of the document's tables, by the label in their first column.
    private func rows() throws -> [String: String] {
      var rows: [String: String] = [:]
      for line in try SourceTree.text(Self.document).split(separator: "\n")
      where line.hasPrefix("|") {
        let columns = line.split(separator: "|")
        guard let label = columns.first?.labels.first else { continue }
        rows[label, default: ""] += line
      }
      return rows
    }

    @Test func everyLabelStandsInTheDocument() throws {
      let rows = try rows()
      var findings: [String] = []
      for (label, place, partners) in try definitions() {
        guard let row = rows[label] else {
          findings.append("\(place) defines \(label), which has no row in \(Self.document)")
          continue
        }
        for partner in partners where !row.contains("`\(partner)`") {
          findings.append("\(place): \(label) pairs with \(partner), but its row does not say so")
        }
      }
      expectNone(findings)
    }

    /// A mutant, or the reason why there is none: the table of mutants or the page on verification
    /// has every label that stands for more than a relaxed access.
    @Test func everyOrderingHasAMutantOrAReason() throws {
      let page = try SourceTree.text("Documentation/Verification.md")
      let mutants = try #require(page.firstRange(of: "## The mutants")?.upperBound)
      let table = try SourceTree.text("Tests/ModelTests/Tables/Mutants.tsv")
      let mutated = table.split(separator: "\n").dropFirst().flatMap { row in
        // `send:O-split@calls`: what stands before the dash is the label.
        String(row.prefix { $0 != "\t" }).labels
      }
      let named = Set(page[mutants...].labels + mutated)
      #expect(named.count > 100)
      var strong = 0
      var findings: [String] = []
      for (label, row) in try rows() {
        let columns = row.split(separator: "|").map { $0.filter { $0 != " " } }
        if columns.count > 2, columns[2] == "relaxed" { continue }
        strong += 1
        if !named.contains(label) { findings.append("\(label) has neither a mutant nor a reason") }
      }
      #expect(strong > 100)
      expectNone(findings)
    }

    @Test func everyLabelThatIsNamedIsDefined() throws {
      let defined = Set(try definitions().map(\.label))
      var findings: [String] = []
      for file in try protocols() {
        for index in file.lines.indices where file.isComment(index) {
          for label in file.lines[index].labels where !defined.contains(label) {
            findings.append("\(file.path):\(index + 1) names \(label), which nothing defines")
          }
        }
      }
      for (label, row) in try rows() {
        if !defined.contains(label) {
          findings.append("\(Self.document) has a row for \(label), which nothing defines")
        }
        for other in row.labels where !defined.contains(other) {
          findings.append("\(Self.document): the row of \(label) names \(other)")
        }
      }
      expectNone(findings)
    }
  }
}
