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

    /// A member that an extension adds to a type of a lower floor belongs to the extension's floor.
    @Test func lowerFloorsUseNoHigherMember() throws {
      expectNone(Self.memberFindings(in: try SourceTree.library()))
    }

    @Test func theCheckOfMembersFindsWhatItIsFor() {
      func source(_ folder: String, _ text: String) -> SourceFile {
        SourceFile("Sources/CPUIsolation/\(folder)/File.swift", text)
      }
      let findings = Self.memberFindings(in: [
        source(
          "CPUs", "struct Slot {\n  var word: Int { 0 }\n}\nfunc f(_ s: Slot) { s.climb() }\n"),
        source("Coordination", "extension Slot {\n  func climb() { _ = word }\n}\n"),
        source("Protocol", "func g(_ s: Slot) {\n  _ = s.word\n  // s.climb()\n}\n"),
        source("Observing", "func h(_ s: Slot) { s.climb() }\n"),
      ])
      #expect(
        findings == ["Sources/CPUIsolation/CPUs/File.swift uses Slot.climb of Coordination"])
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

    /// Uses of members that a floor above the user's has added to a type of the user's floor, or of
    /// one below. A name that a lower floor declares as well counts as that one.
    static func memberFindings(in files: [SourceFile]) -> [String] {
      let placed = files.compactMap { file in
        file.floor.flatMap(order.firstIndex(of:)).map { (file: file, level: $0) }
      }
      var homes: [String: Int] = [:]
      for (file, level) in placed {
        for name in declaredTypes(in: file) { homes[name] = min(homes[name] ?? level, level) }
      }
      // A type inside another one is at home where it is declared.
      for (file, level) in placed {
        var reader = DeclarationReader(file)
        for found in reader.read() where found.kind == .type && !found.owner.isEmpty {
          guard let name = found.typeName else { continue }
          homes["\(found.owner).\(name)"] = min(homes["\(found.owner).\(name)"] ?? level, level)
        }
      }
      var lowest: [String: (level: Int, owner: String)] = [:]
      for (file, level) in placed {
        var reader = DeclarationReader(file)
        for found in reader.read() {
          guard found.kind != .type, let name = found.memberName else { continue }
          let owner = found.owner.split(separator: ".").first.map(String.init) ?? ""
          // What a type declares on its own floor is not added to it.
          let own = (homes[found.owner] ?? homes[owner]).map { $0 < level } != true
          if level < lowest[name]?.level ?? .max {
            lowest[name] = (level, own ? "" : owner)
          }
        }
      }
      return placed.flatMap { file, level in
        let used = Set(file.code.flatMap(\.membersUsed))
        return used.sorted().compactMap { name -> String? in
          guard let (home, owner) = lowest[name], home > level, !owner.isEmpty,
            homes[owner].map({ $0 <= level }) == true
          else { return nil }
          return "\(file.path) uses \(owner).\(name) of \(order[home])"
        }
      }
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
