// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

/// The kernel's own test of its filter programs: eight filters over eight fields, the answer for a
/// record, and the fields that must not be looked at on the way to it.
@Suite struct FilterProgramTests {
  private static let event = TraceEventFormat(
    system: "test", name: "letters", id: 1,
    declaring: "abcdefgh".map { .number(String($0), as: UInt32.self) }, printFormat: "")

  private static func equal(_ text: String) -> String {
    text.replacing(/[a-h]/) { "\($0.output) == 1" }
  }

  struct Vector: CustomTestStringConvertible {
    var filter: Int
    var values: String
    var matches: Bool
    var skips: String = ""

    var testDescription: String { "filter \(filter + 1), \(values)" }
  }

  private static let filters = [
    "a && b && c && d && e && f && g && h",
    "a || b || c || d || e || f || g || h",
    "(a || b) && (c || d) && (e || f) && (g || h)",
    "(a && b) || (c && d) || (e && f) || (g && h)",
    "(a && b) && (c && d) && (e && f) || (g && h)",
    "((a || b) || (c || d) || (e || f)) && (g || h)",
    "((((((((a) && (b)) || (c)) && (d)) || (e)) && (f)) || (g)) && (h))",
    "((((((((a) || (b)) && (c)) || (d)) && (e)) || (f)) && (g)) || (h))",
  ].map(equal)

  private static let vectors: [Vector] = [
    Vector(filter: 0, values: "11111111", matches: true),
    Vector(filter: 0, values: "01111111", matches: false, skips: "bcdefgh"),
    Vector(filter: 0, values: "11111110", matches: false),
    Vector(filter: 1, values: "00000000", matches: false),
    Vector(filter: 1, values: "00000001", matches: true),
    Vector(filter: 1, values: "10000000", matches: true, skips: "bcdefgh"),
    Vector(filter: 2, values: "00111111", matches: false, skips: "dfh"),
    Vector(filter: 2, values: "01010101", matches: true),
    Vector(filter: 2, values: "10100101", matches: true, skips: "bd"),
    Vector(filter: 2, values: "10100100", matches: false, skips: "bd"),
    Vector(filter: 3, values: "10111111", matches: true, skips: "efgh"),
    Vector(filter: 3, values: "00000011", matches: true),
    Vector(filter: 3, values: "00000001", matches: false),
    Vector(filter: 4, values: "11111100", matches: true, skips: "gh"),
    Vector(filter: 4, values: "00000001", matches: false),
    Vector(filter: 4, values: "11111011", matches: true),
    Vector(filter: 5, values: "11111101", matches: true, skips: "bcdef"),
    Vector(filter: 5, values: "00000000", matches: false),
    Vector(filter: 5, values: "11111011", matches: true, skips: "h"),
    Vector(filter: 6, values: "11111111", matches: true, skips: "ceg"),
    Vector(filter: 6, values: "01010101", matches: false),
    Vector(filter: 6, values: "10101010", matches: false),
    Vector(filter: 7, values: "11111111", matches: true, skips: "bdfh"),
    Vector(filter: 7, values: "01010101", matches: true),
    Vector(filter: 7, values: "10101010", matches: true, skips: "bdfh"),
  ]

  @Test(arguments: vectors)
  func vector(_ vector: Vector) throws {
    var record = RecordBytes(size: 40)
    for (index, value) in vector.values.enumerated() {
      record.set(UInt32(value.wholeNumberValue ?? 0), at: 8 + 4 * index)
    }
    let filter = try TraceFilter(Self.filters[vector.filter], for: Self.event, cpuCount: 8)
    let answer = filter.visited(by: record)
    #expect(answer.matches == vector.matches)
    let visited = answer.visited.map { filter.predicates[$0].field.name }.joined()
    #expect(visited.allSatisfy { !vector.skips.contains($0) }, "\(visited)")
  }

  /// Each fold is exactly one jump: no predicate is reached only to be skipped.
  @Test func branchesToBranchesAreFolded() throws {
    let filter = try TraceFilter(Self.filters[5], for: Self.event, cpuCount: 8)
    #expect(
      filter.description == """
        0: a == 1  true -> 6
        1: b == 1  true -> 6
        2: c == 1  true -> 6
        3: d == 1  true -> 6
        4: e == 1  true -> 6
        5: f == 1  false -> 9
        6: g == 1  true -> 8
        7: h == 1  false -> 9
        8: TRUE
        9: FALSE

        """)
  }

  @Test func programPrintsWhatItComparesWith() throws {
    let filter = try TraceFilter(
      "!(cpumask & CPUS{ 0, 1 }) || callback.function != flush && comm ~ '\"*' && CPU < -0x10",
      for: .ipiSendCPUMask, cpuCount: 4, symbols: SymbolTable([.init("flush", 16..<32)]))
    #expect(
      filter.description == """
        0: cpumask & CPUS{0-1}         false -> 4
        1: callback.function != flush  false -> 5
        2: comm ~ '"*'                 false -> 5
        3: CPU < -16                   false -> 5
        4: TRUE
        5: FALSE

        """)
  }

  /// What a predicate prints is that predicate again.
  @Test(
    arguments: [
      "cpu == 0x10", "cpu&07", "common_pid >= -5", "callsite > 0xffffffffffffffff",
      "cpu != CPUS{3,0-1}", "cpu & CPUS{,}", "comm == 'x'", "comm != '\"'", "comm ~ \"*'*\"",
      "callback.function == f", "callback.ustring.function != 0x15", "stacktrace == 1", "cpu <= 5",
    ])
  func roundTrip(_ text: String) throws {
    let symbols = SymbolTable([.init("f", 0x10..<0x20)])
    func predicate(_ text: String) throws -> FilterPredicate {
      let filter = try TraceFilter(text, for: .ipiSendCPU, cpuCount: 8, symbols: symbols)
      return try #require(filter.predicates.first)
    }
    let first = try predicate(text)
    #expect(try predicate(first.description) == first)
  }

  @Test func everythingMatchesWhatAsksNothing() throws {
    for text in ["0", "", " 0\n"] {
      let filter = try TraceFilter(text, for: .ipiSendCPU, cpuCount: 2)
      #expect(filter.isUnconditional)
      #expect(filter.matches(RecordBytes(size: 0)))
      #expect(filter.description == "0: TRUE\n1: FALSE\n")
    }
  }
}
