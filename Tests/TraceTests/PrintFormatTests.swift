// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

@testable import CPUIsolationTrace

/// What stands after an event's name, by its `print fmt:` line.
@Suite struct PrintFormatTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var text: String
    var printed: String
    /// What `.traceCmd` prints; nil if it is the same.
    var traceCmd: String?
    /// Whether trace-cmd 3.1.6 prints that.
    var isAsTraceCmdPrints = true
    var testDescription: String { text }
  }

  static func format(_ text: String, id: Int = 9) -> TraceEventFormat {
    TraceEventFormat(
      system: "test", name: "event\(id)", id: id,
      declaring: [
        .number("small", as: UInt8.self), .number("negative", as: Int8.self),
        .number("word", as: UInt16.self), .number("sum", as: Int32.self),
        .number("big", as: UInt64.self), .pointer("place"), .text("name", bytes: 8),
        .dynamicText("path"), .cpuMask("mask"),
      ], printFormat: text)
  }

  static let payload: [UInt8] =
    TestPayload.head(1) + [200, 0xfe] + TestPayload.bytes(UInt16(513))
    + TestPayload.bytes(Int32(-5))
    + TestPayload.bytes(UInt64(0xdead_beef_0000_0001)) + TestPayload.bytes(UInt64(0x1010))
    + Array("abcdefgh".utf8) + TestPayload.bytes(UInt32(48 | 6 << 16))
    + TestPayload.bytes(UInt32(56 | 8 << 16)) + Array("/a/bc\0\0\0".utf8)
    + TestPayload.bytes(UInt64(0x8000_0000_0000_000d))

  static let cases: [Case] = [
    Case(text: #""plain 100%% text""#, printed: "plain 100% text"),
    Case(text: #""a\tb\\c""#, printed: "a\tb\\c"),
    Case(
      text: #""%d %u %x %X %o", REC->small, REC->small, REC->small, REC->small, REC->small"#,
      printed: "200 200 c8 C8 310"),
    Case(text: #""%d|%i", REC->sum, REC->sum"#, printed: "-5|-5"),
    Case(
      text: #""%hhd|%hd|%ld", REC->negative, REC->sum, REC->big"#,
      printed: "-2|-5|-2401053092612145151"),
    Case(
      text: #""%lu %llx %zu", REC->big, REC->big, REC->word"#,
      printed: "16045690981097406465 deadbeef00000001 513"),
    Case(
      text: #""[%5d][%-5d][%05d]", REC->word, REC->word, REC->word"#,
      printed: "[  513][513  ][00513]"),
    Case(
      text: #""[%+d][% d]", REC->word, REC->word"#, printed: "[+513][ 513]",
      isAsTraceCmdPrints: false),
    Case(
      text:
        #""[%#x][%#o][%.6d][%8.6d][%02x]", REC->word, REC->word, REC->word, REC->word, REC->small"#,
      printed: "[0x201][01001][000513][  000513][c8]"),
    Case(text: #""[%*d][%-*d]", 6, REC->word, 6, REC->word"#, printed: "[   513][513   ]"),
    Case(text: #""%c%c", 'x', 0x41"#, printed: "xA", isAsTraceCmdPrints: false),
    Case(
      text: #""%s|%10s|%-10s|%.3s", REC->name, REC->name, REC->name, REC->name"#,
      printed: "abcdefgh|  abcdefgh|abcdefgh  |abc"),
    Case(text: #""%s %s", __get_str(path), "text""#, printed: "/a/bc text"),
    Case(
      text: #""%s %d", __get_cpumask(mask), __get_dynamic_array_len(path)"#,
      printed: "0,2-3,63 6"),
    Case(text: #""%s", __get_bitmask(mask)"#, printed: "80000000,0000000d"),
    Case(
      text: #""%pS %ps %p %pS", REC->place, REC->place, REC->place, (void *)0x9"#,
      printed: "begin+0x10 begin 0000000000001010 0x9", traceCmd: "begin+0x10 begin 0x1010 0x9"),
    Case(text: #""%p", (void *)0"#, printed: "0000000000000000", traceCmd: "(nil)"),
    Case(
      text: #""%s", __print_symbolic(REC->small, { 1, "ONE" }, { 200, "MANY" })"#, printed: "MANY"),
    Case(text: #""%s", __print_symbolic(REC->small, { 1, "ONE" }, { 2, "TWO" })"#, printed: "0xc8"),
    Case(
      text: #""%s", __print_symbolic(9, { HI_SOFTIRQ, "HI" }, { RCU_SOFTIRQ, "RCU" })"#,
      printed: "RCU"),
    Case(
      text: #""%s", __print_flags(REC->small, "|", { 0x80, "A" }, { 0x40, "B" }, { 1, "C" })"#,
      printed: "A|B|0x8"),
    Case(text: #""%s", __print_flags(REC->small & 0, "|", { 0x80, "A" })"#, printed: ""),
    Case(
      text: #""%s", __print_flags(REC->small, "|", {(unsigned long)(((( gfp_t)(((1UL))) << (7)))"#
        + #"| (( gfp_t)((((1UL))) << (6)))), "AB"}, { 8, "D" }, { 0, ((void *)0) } )"#,
      printed: "AB|D"),
    Case(
      text: #""%d", REC->small > 100 && REC->word == 513 ? REC->small - 1 : 0"#, printed: "199",
      isAsTraceCmdPrints: false),
    Case(text: #""%s", REC->small > 100 ? "yes" : "no""#, printed: "yes"),
    Case(text: #""%s", !REC->small ? "yes" : "no""#, printed: "no"),
    Case(text: #""%d", ((int)(REC->word >> 1) & 0xff) + 2 * 3"#, printed: "6"),
    Case(text: #""%d", (REC->word & (0x100 | 0x200)) >> 9"#, printed: "1"),
    Case(text: #""%lld", (long long)(s8)REC->small"#, printed: "-56", isAsTraceCmdPrints: false),
    Case(text: #""%u", (u8)REC->word"#, printed: "1"),
    Case(text: #""%s", __print_hex(REC->name, 3)"#, printed: "61 62 63"),
    Case(
      text: #""%s", __print_array(__get_dynamic_array(path), 3, 2)"#,
      printed: "{0x612f,0x622f,0x63}", isAsTraceCmdPrints: false),
    Case(
      text: #""%*pbl", 64, __get_cpumask(mask)"#, printed: "0,2-3,63", isAsTraceCmdPrints: false),
    Case(
      text: #""%d", unknown_function(REC->small)"#,
      printed: "[FAILED TO PARSE] small=200 negative=-2 word=513 sum=-5 big=0xdeadbeef00000001 "
        + "place=0x1010 name=abcdefgh path=/a/bc "
        + "mask=ARRAY[0d, 00, 00, 00, 00, 00, 00, 80]", isAsTraceCmdPrints: false),
  ]

  @Test(arguments: cases, [TraceTextReport.Style.kernel, .traceCmd])
  func prints(_ test: Case, style: TraceTextReport.Style) throws {
    var recording = TraceRecording(cpuCount: 1)
    recording.define(Self.format(test.text))
    recording.nameSymbol("begin", at: 0x1000)
    recording.nameSymbol("end", at: 0x2000)
    recording.append(cpu: 0, timestamp: 1, event: 9, payload: Self.payload)
    let line = try #require(recording.reportLines(style).last)
    let start = try #require(line.firstRange(of: "event9:               ")?.upperBound)
    let expected = style == .traceCmd ? test.traceCmd ?? test.printed : test.printed
    #expect(line[start...] == expected[...])
  }

  /// The kernel's two spellings of a mask's declaration mean the same, to reports and to filters.
  @Test(arguments: ["__data_loc cpumask_t cpumask", "__data_loc cpumask_t *[] cpumask"])
  func bothSpellingsOfAMask(declaration: String) throws {
    let text = TraceEventFormat.ipiSendCPUMask.description
      .replacing("__data_loc cpumask_t cpumask", with: declaration)
    #expect(text.contains(declaration + ";"))
    let format = try TraceEventFormat(parsing: text, system: "ipi")
    #expect(format.field(named: "cpumask")?.kind == .cpuMask)
    #expect(format.fields.count == TraceEventFormat.ipiSendCPUMask.fields.count)
    var recording = TraceRecording(cpuCount: 4)
    recording.define(format)
    for mask in [0b0110, 0b1000] as [UInt64] {
      recording.append(
        cpu: 0, timestamp: 1, event: format.id,
        payload: TestPayload.sendMask([mask], from: 0, to: 0, thread: 1))
    }
    #expect(recording.reportLines().map { $0.contains("cpumask=1-2 ") } == [false, true, false])
    var selection = TraceSelection(recording)
    try selection.add("ipi_send_cpumask", "cpumask & CPUS{2-3} && !(cpumask & CPUS{1})")
    #expect(recording.records().map(selection.contains) == [false, true])
  }

  /// A format file that was printed reads back as it was.
  @Test(arguments: TraceEventFormat.builtIn) func formatFilesReadBack(_ format: TraceEventFormat)
    throws
  {
    #expect(
      try TraceEventFormat(parsing: format.description, system: format.system) == format)
  }

  /// Fields in all the spellings of the kernel.
  @Test func fieldDeclarations() throws {
    let format = try TraceEventFormat(
      parsing: """
        name: odd
        ID: 77
        format:
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;

        \tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;
        \tfield:const char * name;\toffset:24;\tsize:8;\tsigned:0;
        \tfield:__data_loc char[] path;\toffset:32;\tsize:4;\tsigned:0;
        \tfield:unsigned long args[6];\toffset:40;\tsize:48;\tsigned:0;
        \tfield:struct list_head *head;\toffset:88;\tsize:8;\tsigned:0;

        print fmt: "%s",
          REC->prev_comm
        """, system: "test")
    #expect(format.name == "odd" && format.id == 77)
    #expect(
      format.fields.map { "\($0.type) / \($0.name)" } == [
        "unsigned short / common_type", "char[16] / prev_comm", "const char * / name",
        "__data_loc char[] / path", "unsigned long[6] / args", "struct list_head * / head",
      ])
    #expect(format.printFormat == "\"%s\",\n  REC->prev_comm")
  }

  @Test(arguments: [
    ("", 0), ("name: a", 1), ("name: a\nID: x", 2), ("name: a\nID: 70000", 2),
    ("name: a\nID: 1\nformat:\n\tfield:int x;\toffset:-1;\tsize:4;", 4),
    ("name: a\nID: 1\n\tfield:x;\toffset:0;\tsize:4;", 3),
    ("name: a\nID: 1\n\tfield:int x;\toffset:99999999999;\tsize:4;", 3),
  ])
  func badFormatFiles(text: String, line: Int) {
    let error = #expect(throws: TraceFormatError.self) {
      try TraceEventFormat(parsing: text, system: "test")
    }
    #expect(error?.line == line)
  }
}

/// Names of addresses.
@Suite struct TraceSymbolsTests {
  /// Lines of the kernel's list: what is no function is left out, modules do not matter.
  @Test func kernelList() {
    let symbols = TraceSymbols(
      text: Array(
        """
        0000000000000000 A fixed_percpu_data
        ffffffff81000100 T second
        ffffffff81000000 T first
        ffffffff81000100 t second_alias
        ffffffffc0000000 t module_function\t[module]
        ffffffff81000050 t $x
        garbage
        ffffffff81000060
        """.utf8))
    #expect(symbols.count == 4)
    func name(_ address: UInt64) -> String {
      symbols.symbol(at: address).map { "\($0.name)+\($0.offset)" } ?? "-"
    }
    #expect(name(0) == "-")
    #expect(name(0xffff_ffff_8100_0000) == "first+0")
    #expect(name(0xffff_ffff_8100_00ff) == "first+255")
    #expect(name(0xffff_ffff_8100_0101) == "second+1")
    #expect(name(0xffff_ffff_c000_0000) == "module_function+0")
    #expect(name(0xffff_ffff_c000_0001) == "-", "nobody knows where the last one ends")
  }

  /// Whatever the order in which they are added.
  @Test func addedInAnyOrder() {
    var symbols = TraceSymbols()
    for index in [5, 1, 4, 2, 3, 0] as [UInt64] { symbols.add("symbol \(index)", at: index * 16) }
    for index in 0..<5 as Range<UInt64> {
      #expect(symbols.symbol(at: index * 16 + 7)?.name == "symbol_\(index)")
    }
    #expect(TraceSymbols(text: symbols.text).all.map(\.name) == symbols.all.map(\.name))
  }
}
