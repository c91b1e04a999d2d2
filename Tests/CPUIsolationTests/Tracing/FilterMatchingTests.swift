// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite struct FilterMatchingTests {
  /// The program answers as the tree does, at widths of one word and of several.
  @Test(arguments: [2, 8, 64, 65, 200])
  func programsAgreeWithTrees(_ cpuCount: Int) throws {
    var generator = SeededGenerator(state: UInt64(cpuCount))
    var matches = 0
    for _ in 0..<600 {
      let oracle = FilterOracle.random(depth: 3, cpuCount: cpuCount, using: &generator)
      let text = oracle.description
      guard text.utf8.count <= 4095 else { continue }
      let filter = try TraceFilter(text, for: FilterOracle.event, cpuCount: cpuCount)
      for _ in 0..<20 {
        let words = Int.random(in: 0...4, using: &generator)
        let (sample, record) = FilterOracle.sample(maskWords: max(1, words), using: &generator)
        let expected = oracle.matches(sample, cpuCount: cpuCount)
        let cpu = Int(
          truncatingIfNeeded: sample.numbers[FilterOracle.Sample.Number.cpu] ?? Int64(0))
        let answer = filter.matches(record, cpu: cpu, comm: sample.texts[.comm] ?? "")
        #expect(answer == expected, "\(text)")
        if answer { matches += 1 }
      }
    }
    // Neither answer is rare, or the comparison would say little.
    #expect((2000..<10000).contains(matches))
  }

  private func matches(
    _ text: String, _ event: TraceEventFormat, _ record: RecordBytes, cpu: Int = 0,
    comm: String = "", cpuCount: Int = 8
  ) throws -> Bool {
    try TraceFilter(text, for: event, cpuCount: cpuCount).matches(record, cpu: cpu, comm: comm)
  }

  // MARK: - CPUs

  private func toCPU(_ cpu: UInt32) -> RecordBytes {
    var record = RecordBytes(size: 32)
    record.set(cpu, at: 8)
    return record
  }

  /// A number that is no CPU matches no list of several CPUs, not even by `!=`.
  @Test func numbersBeyondTheWidthMatchNoList() throws {
    let filters = ["cpu == CPUS{1-2}", "cpu != CPUS{1-2}", "cpu & CPUS{1-2}", "cpu != CPUS{,}"]
    func answers(_ cpu: UInt32) throws -> [Bool] {
      try filters.map { try matches($0, .ipiSendCPU, toCPU(cpu)) }
    }
    #expect(try answers(1) == [false, true, true, true])
    #expect(try answers(7) == [false, true, false, true])
    #expect(try answers(8) == [false, false, false, false])
    #expect(try answers(.max) == [false, false, false, false])
  }

  /// A list of one CPU is that number, and a number has no width.
  @Test func oneCPUIsANumber() throws {
    #expect(try matches("cpu != CPUS{1}", .ipiSendCPU, toCPU(8)))
    #expect(try matches("cpu & CPUS{1}", .ipiSendCPU, toCPU(1)))
    #expect(try !matches("cpu & CPUS{1}", .ipiSendCPU, toCPU(3)))
    #expect(try TraceFilter("CPU & CPUS{3}", for: .ipiSendCPU).matches(toCPU(0), cpu: 3))
  }

  @Test func wideNumbersAreCutTo32Bits() throws {
    var record = toCPU(0)
    record.set(0x1_0000_0001 as UInt64, at: 16)
    #expect(try matches("callsite & CPUS{0-1}", .ipiSendCPU, record))
    #expect(try !matches("callsite & CPUS{1}", .ipiSendCPU, record))
  }

  @Test func recordingCPUIsNotTheFieldOfThatName() throws {
    #expect(try matches("cpu == 5 && CPU == 1", .ipiSendCPU, toCPU(5), cpu: 1))
    #expect(try matches("cpu == 1", .csdFunctionEntry, RecordBytes(size: 24), cpu: 1))
    #expect(try !matches("CPU & 3", .ipiSendCPU, toCPU(5), cpu: 1))
  }

  @Test func masksCompareWithinTheWidth() throws {
    var record = RecordBytes(size: 32)
    record.append([1, 3], words: 1, locatedAt: 8)
    let answers: [(String, Bool)] = [
      ("cpumask == CPUS{1,3}", true), ("cpumask != CPUS{1,3}", false),
      ("cpumask & CPUS{3}", true), ("cpumask & CPUS{2}", false), ("cpumask == CPUS{3}", false),
      ("cpumask != CPUS{3}", true), ("cpumask & CPUS{0,2}", false), ("cpumask & CPUS{,}", false),
      ("cpumask == CPUS{,}", false),
    ]
    for (text, answer) in answers {
      #expect(try matches(text, .ipiSendCPUMask, record) == answer, "\(text)")
    }
    // With two CPUs there is no CPU 3.
    #expect(try matches("cpumask == CPUS{1}", .ipiSendCPUMask, record, cpuCount: 2))
  }

  // MARK: - Texts

  private func stage(_ text: String) -> RecordBytes {
    var record = RecordBytes(size: 32)
    record.set(text, at: 16)
    return record
  }

  @Test(arguments: [
    ("ab*", "abc", true), ("ab*", "ab", true), ("ab*", "xab", false), ("*bc", "abc", true),
    ("*bc", "bcd", false), ("*b*", "abc", true), ("*", "", true), ("**", "x", true),
    ("a*c", "abbc", true), ("a*c", "abcd", false), ("a?c", "abc", true), ("a?c", "ac", false),
    ("[a-c]x", "bx", true), ("[!a-c]x", "bx", false), ("[]]x", "]x", true), ("[a", "[a", true),
    ("[a-", "[a-", true), ("[a-]", "-", true), ("\\*", "*", true), ("\\*", "x", false),
    ("a\\", "a", true), ("a*\\", "ab", true), ("!ab*", "abc", false), ("!ab*", "x", true),
    ("!", "", false), ("*a*b?", "xaxbabc", true), ("", "", true), ("", "a", false),
    ("0*", "0*", true), ("0*", "01", false), ("é?", "éx", true),
  ])
  func patterns(_ pattern: String, _ text: String, _ answer: Bool) throws {
    #expect(try matches("stage ~ '\(pattern)'", .gracePeriod, stage(text)) == answer)
    #expect(try matches("comm ~ '\(pattern)'", .gracePeriod, stage("x"), comm: text) == answer)
    #expect(try matches("!(stage ~ '\(pattern)')", .gracePeriod, stage(text)) != answer)
  }

  /// A text that fills its place may have been cut off there.
  @Test func textsThatFillTheirPlaceEqualLongerOnes() throws {
    #expect(try matches("stage == 'abcdefgh'", .gracePeriod, stage("abcdefgh")))
    #expect(try matches("stage == 'abcdefghi'", .gracePeriod, stage("abcdefgh")))
    #expect(try !matches("stage == 'abcdefgh'", .gracePeriod, stage("abcdefg")))
    #expect(try !matches("stage == 'abcdefg'", .gracePeriod, stage("abcdefgh")))
  }

  // MARK: - Functions

  @Test func functionIsARangeOfAddresses() throws {
    let symbols = SymbolTable([
      .init("flush", 0x1000..<0x1010), .init("nothing", 0x2000..<0x2000),
    ])
    func answers(_ text: String) throws -> [Bool] {
      let filter = try TraceFilter(text, for: .csdFunctionEntry, symbols: symbols)
      return [0xfff, 0x1000, 0x100f, 0x1010, 0].map { (address: UInt64) in
        var record = RecordBytes(size: 24)
        record.set(address, at: 8)
        return filter.matches(record)
      }
    }
    let inside = [false, true, true, false, false]
    for text in ["func.function == flush", "(func.function == flush )", "func.function==0x100f"] {
      #expect(try answers(text) == inside)
    }
    #expect(try answers("func.function != 4096 && func != 7") == inside.map(!))
    #expect(try answers("func.function == nothing") == Array(repeating: false, count: 5))
    #expect(try answers("func.function != nothing") == Array(repeating: true, count: 5))
  }

  // MARK: - Broken records

  /// What leads out of the record matches nothing, negated or not.
  @Test func recordsThatLieMatchNothing() throws {
    var record = RecordBytes(size: 32)
    record.set(0xffff_0010 as UInt32, at: 8)
    for text in ["cpumask & CPUS{0}", "cpumask != CPUS{0-1}", "!(cpumask == CPUS{0-1})"] {
      #expect(try !matches(text, .ipiSendCPUMask, record))
    }
    var lying = RecordBytes(size: 56)
    lying.set(0x0001_ffff as UInt32, at: 48)
    lying.set(0x0001_0000 as UInt32, at: 52)
    for text in ["path != 'a'", "near != 'a'", "path ~ '*'"] {
      #expect(try !matches(text, FilterOracle.event, lying))
    }
  }

  @Test func shortRecordsMatchNothing() throws {
    for size in 0..<12 {
      #expect(try !matches("cpu >= 0", .ipiSendCPU, RecordBytes(size: size)))
      #expect(try matches("CPU == 0", .ipiSendCPU, RecordBytes(size: size)))
    }
    #expect(try matches("cpu >= 0", .ipiSendCPU, RecordBytes(size: 12)))
  }

  /// A format file may say anything.
  @Test func fieldsThatNoRecordHasMatchNothing() throws {
    for (type, offset, size) in [
      ("int", Int.max, 4), ("char[8]", Int(Int32.max), 8), ("__data_loc char[]", 30, 0),
      ("u8[3]", 8, 3),
    ] {
      let field = TraceEventFormat.Field(
        name: "x", type: type, offset: offset, size: size, isSigned: false)
      let event = TraceEventFormat(
        system: "s", name: "e", id: 1, fields: TraceEventFormat.commonFields + [field],
        printFormat: "")
      let text = field.kind == .number ? "x != 1" : "x != 'a'"
      #expect(try !matches(text, event, RecordBytes(size: 32)))
    }
  }

  /// An address of another process's text is never followed.
  @Test func textPointersMatchNothing() throws {
    let field = TraceEventFormat.Field(
      name: "x", type: "char *", offset: 8, size: 8, isSigned: false)
    let event = TraceEventFormat(
      system: "s", name: "e", id: 1, fields: TraceEventFormat.commonFields + [field],
      printFormat: "")
    var record = RecordBytes(size: 16)
    record.set(UInt64.max, at: 8)
    #expect(try !matches("x == 'a'", event, record))
    #expect(try !matches("x.ustring != 'a'", event, record))
  }
}
