// SPDX-License-Identifier: Apache-2.0

import Testing

extension ArchitectureTests.PublicAPI {
  /// Every public function, initialiser and subscript says of each parameter what it is: its range
  /// and its unit, what it is unless given, and what happens at the edges.
  @Test func saysWhatParametersAre() throws {
    let functions = try declarations().filter { !$0.isForwarding && !$0.parameters.isEmpty }
    #expect(functions.count > 250)
    expectNone(
      functions.flatMap { function in
        let documented = function.documentedParameters
        return function.parameters.filter { !documented.contains($0) }
          .map { "\(function.place) does not say what \($0) is: \(function.signature)" }
      })
  }

  /// A function that returns something, and one that throws, says what.
  @Test func saysWhatComesOut() throws {
    let functions = try declarations().filter { !$0.isForwarding && !$0.parameters.isEmpty }
    expectNone(
      functions.flatMap { function in
        let text = function.comment.joined(separator: "\n")
        var missing: [String] = []
        if function.returnsSomething, !text.contains("/// - Returns: ") {
          missing.append("Returns")
        }
        if function.canThrow, !text.contains("/// - Throws: ") { missing.append("Throws") }
        return missing.map { "\(function.place) has no \($0): \(function.signature)" }
      })
  }

  @Test func theReaderFindsParameters() {
    let file = SourceFile(
      "f.swift",
      """
      public struct Thing {
        /// - Parameters:
        ///   - count: how many, 1 to 8: others trap.
        ///   - site: where.
        @discardableResult @available(*, noasync)
        public func make<Some: Kind>(
          _ count: Int = 1 << 3, at site: Pair<Int, Some>, _ unnamed: (Int, Int) -> Void = { _, _ in },
          of _: Some.Type
        ) throws(Problem) -> [Thing] { [] }
        /// - Parameter index: which.
        public subscript(index: Int) -> Int { index }
        /// Compares.
        public static func < (a: Thing, b: Thing) -> Bool { true }
        /// Ends.
        public func end(after body: () throws -> Int) { }
      }
      """)
    let all = Declaration.all(in: file, publicTypes: ["Thing"]).filter { $0.kind == .function }
    #expect(
      all.map(\.parameters) == [["count", "site", "unnamed"], ["index"], [], ["body"]])
    #expect(all.map(\.documentedParameters) == [["count", "site"], ["index"], [], []])
    #expect(all.map(\.returnsSomething) == [true, true, true, false])
    #expect(all.map(\.canThrow) == [true, false, false, false])
  }
}
