// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolationTrace

/// Entries of ftrace's own tracers. The texts are what trace-cmd 3.3.3 prints of the same files.
@Suite struct TracerEntryTests {
  private func address(_ value: UInt64, _ longSize: Int) -> [UInt8] {
    longSize == 8 ? TestPayload.bytes(value) : TestPayload.bytes(UInt32(value))
  }

  private func functions(longSize: Int) throws -> TestEvents {
    var events = TestEvents(longSize: longSize)
    let size = longSize
    try events.define(
      "function", id: 1, system: "ftrace",
      fields: """
        field:unsigned long ip;\toffset:8;\tsize:\(size);\tsigned:0;
        field:unsigned long parent_ip;\toffset:\(8 + size);\tsize:\(size);\tsigned:0;
        """, print: #"" %ps <-- %ps", (void *)REC->ip, (void *)REC->parent_ip"#)
    return events
  }

  /// Indented below the caller, on each CPU by itself.
  @Test(arguments: [8, 4]) func calledFunctions(longSize: Int) throws {
    var events = try functions(longSize: longSize)
    func call(_ function: UInt64, from parent: UInt64, cpu: Int = 0) {
      events.record(1, address(function, longSize) + address(parent, longSize), cpu: cpu)
    }
    call(0x2000, from: 0x1010)
    call(0x3000, from: 0x2010)
    call(0x2000, from: 0x1010, cpu: 1)
    call(0x3010, from: 0x2020)
    call(0x9000, from: 0x3020)
    call(0x1000, from: 0x9000)
    call(0x1000, from: 0x3000)
    #expect(
      events.texts()
        == [
          "middle", "   end", "middle", "   end", "      0x9000", "begin", "begin",
        ].enumerated().map { $0.offset == 6 ? "      begin" : $0.element })
    #expect(events.texts(.traceCmd) == events.texts())
  }

  @Test func repeatedFunctions() throws {
    var events = TestEvents()
    try events.define(
      "func_repeats", id: 2, system: "ftrace",
      fields: """
        field:unsigned long ip;\toffset:8;\tsize:8;\tsigned:0;
        field:unsigned long parent_ip;\toffset:16;\tsize:8;\tsigned:0;
        field:u16 count;\toffset:24;\tsize:2;\tsigned:0;
        field:u16 top_delta_ts;\toffset:26;\tsize:2;\tsigned:0;
        field:u32 bottom_delta_ts;\toffset:28;\tsize:4;\tsigned:0;
        """, print: #"" %ps", (void *)REC->ip"#)
    events.record(
      2,
      TestPayload.bytes(UInt64(0x2000)) + TestPayload.bytes(UInt64(0x1000))
        + TestPayload.bytes(UInt16(7)) + TestPayload.bytes(UInt16(0))
        + TestPayload.bytes(UInt32(1_000)))
    #expect(events.texts() == ["middle (count: 7  last_ts:     0.000999)"])
  }

  private func graph(longSize: Int, hasValue: Bool = false) throws -> TestEvents {
    var events = TestEvents(longSize: longSize)
    let size = longSize
    try events.define(
      "funcgraph_entry", id: 11, system: "ftrace",
      fields: """
        field:unsigned long func;\toffset:8;\tsize:\(size);\tsigned:0;
        field:\(longSize == 8 ? "unsigned int" : "int") depth;\toffset:\(8 + size);\tsize:4;\tsigned:0;
        """, print: #""--> %ps (%u)", (void *)REC->func, REC->depth"#)
    let start = hasValue ? 8 + 2 * size : 8 + size
    try events.define(
      "funcgraph_exit", id: 10, system: "ftrace",
      fields: """
        field:unsigned long func;\toffset:8;\tsize:\(size);\tsigned:0;
        \(hasValue ? "field:unsigned long retval;\toffset:\(8 + size);\tsize:\(size);\tsigned:0;" : "")
        field:unsigned int depth;\toffset:\(start);\tsize:4;\tsigned:0;
        field:unsigned int overrun;\toffset:\(start + 4);\tsize:4;\tsigned:0;
        field:unsigned long long calltime;\toffset:\(start + 8);\tsize:8;\tsigned:0;
        field:unsigned long long rettime;\toffset:\(start + 16);\tsize:8;\tsigned:0;
        """, print: #""<-- %ps (%u)", (void *)REC->func, REC->depth"#)
    return events
  }

  private func entered(_ function: UInt64, _ depth: UInt32, _ longSize: Int) -> [UInt8] {
    address(function, longSize) + TestPayload.bytes(depth)
  }

  private func left(
    _ function: UInt64, _ depth: UInt32, took nanoseconds: UInt64, _ longSize: Int,
    value: UInt64? = nil
  ) -> [UInt8] {
    address(function, longSize) + (value.map { address($0, longSize) } ?? [])
      + TestPayload.bytes(depth) + TestPayload.bytes(UInt32(0))
      + TestPayload.bytes(UInt64(1_000)) + TestPayload.bytes(UInt64(1_000) + nanoseconds)
  }

  /// A function that calls no other is one line; its end is not printed again.
  @Test(arguments: [8, 4]) func graphOfCalls(longSize: Int) throws {
    var events = try graph(longSize: longSize)
    events.record(11, entered(0x1000, 0, longSize))
    events.record(11, entered(0x2000, 1, longSize))
    events.record(10, left(0x2000, 1, took: 123, longSize))
    events.record(11, entered(0x3000, 1, longSize))
    events.record(10, left(0x3000, 1, took: 12_345, longSize))
    events.record(10, left(0x1000, 0, took: 123_456, longSize))
    events.record(11, entered(0x9000, 0, longSize), cpu: 1)
    events.record(10, left(0x9000, 0, took: 1_234_567, longSize), cpu: 1)
    events.record(10, left(0x2000, 0, took: 12_345_678_901, longSize))
    let expected = [
      "             |  begin() {", "  0.123 us   |    middle();", "+ 12.345 us  |    end();",
      "! 123.456 us |  }", "# 1234.567 us |  9000();", "$ 12345678 us |  }",
    ]
    #expect(events.texts() == expected)
    #expect(events.texts(.traceCmd) == expected)
  }

  /// What a function returned: a small negative number is an error.
  @Test func returnedValues() throws {
    var events = try graph(longSize: 8, hasValue: true)
    events.record(11, entered(0x1000, 0, 8))
    events.record(11, entered(0x2000, 1, 8))
    events.record(10, left(0x2000, 1, took: 100, 8, value: 0))
    events.record(10, left(0x1000, 0, took: 9_999, 8, value: UInt64(bitPattern: -12)))
    #expect(
      events.texts() == [
        "             |  begin() {", "  0.100 us   |    middle(); (ret=0x0)",
        "  9.999 us   |  } (ret=-12)",
      ])
  }

  /// The end of another function, thread or CPU does not end a leaf.
  @Test func endsOfOtherFunctions() throws {
    var events = try graph(longSize: 8)
    events.record(11, entered(0x1000, 0, 8))
    events.record(10, left(0x2000, 0, took: 100, 8))
    events.record(11, entered(0x1000, 0, 8))
    events.record(11, entered(0x1000, 1, 8))
    #expect(events.texts().map { $0.contains("() {") } == [true, false, true, true])
  }

  @Test(arguments: [8, 4]) func stacks(longSize: Int) throws {
    var events = TestEvents(longSize: longSize)
    let start = longSize == 8 ? 16 : 12
    try events.define(
      "kernel_stack", id: 4, system: "ftrace",
      fields: """
        field:int size;\toffset:8;\tsize:4;\tsigned:1;
        field:unsigned long caller[8];\toffset:\(start);\tsize:\(8 * longSize);\tsigned:0;
        """, print: #""\t=> %ps\n", (void *)REC->caller[0]"#)
    func record(_ size: Int32, _ frames: [UInt64]) {
      events.record(
        4,
        TestPayload.bytes(size) + [UInt8](repeating: 0, count: start - 12)
          + frames.flatMap { address($0, longSize) })
    }
    let frames = (0..<10).map { UInt64(0x1000 + 0x400 * $0) }
    record(10, frames)
    record(2, [0x1010, 0xfff_0000, 0x2000])
    record(20, [0x1010])
    record(-1, [0x1010])
    let names = [
      "begin", "begin", "begin", "begin", "middle", "middle", "middle", "middle", "end", "end",
    ]
    #expect(
      events.texts()
        == ["<stack trace >"] + zip(names, frames).map { "=> \($0) (\(String($1, radix: 16)))" }
        + ["<stack trace >", "=> begin (1010)", "=> fff0000", "<stack trace >", "=> begin (1010)"]
        + ["<stack trace >"])
  }

  @Test func userStacks() throws {
    var events = TestEvents()
    try events.define(
      "user_stack", id: 12, system: "ftrace",
      fields: """
        field:unsigned int tgid;\toffset:8;\tsize:4;\tsigned:0;
        field:unsigned long caller[8];\toffset:16;\tsize:64;\tsigned:0;
        """,
      print: #""\t=> %ps\n\t=> %ps\n", (void *)REC->caller[0], (void *)REC->caller[1]"#)
    let frames: [UInt64] = [0x7f52_2000_0000, 0x55d0, 0, 0, 0, 0, 0, 0]
    events.record(
      12,
      TestPayload.bytes(UInt32(100)) + TestPayload.bytes(UInt32(0))
        + frames.flatMap { TestPayload.bytes($0) })
    #expect(
      events.texts() == [
        "<user stack trace>", " =>  <00007f5220000000>", " =>  <00000000000055d0>",
      ])
    #expect(events.texts(.traceCmd) == ["\t=> 0x7f5220000000", "\t=> 0x55d0"])
  }

  @Test func rawData() throws {
    var events = TestEvents()
    try events.define(
      "raw_data", id: 16, system: "ftrace",
      fields: """
        field:unsigned int id;\toffset:8;\tsize:4;\tsigned:0;
        field:char buf[];\toffset:12;\tsize:0;\tsigned:0;
        """, print: #""id:%04x %08x", REC->id, (int)REC->buf[0]"#)
    events.record(16, TestPayload.bytes(UInt32(5)) + Array("abcdefgh".utf8))
    events.record(16, TestPayload.bytes(UInt32(0xff)) + [0xfe, 1, 2, 3])
    events.record(16, TestPayload.bytes(UInt32(1)))
    #expect(events.texts() == ["# 5 61 62 63 64 65 66 67 68", "# ff fe 01 02 03", "# 1"])
  }

  // MARK: trace_printk

  private func prints(
    _ text: String, _ arguments: [UInt8], longSize: Int = 8,
    style: TraceTextReport.Style = .kernel
  ) throws -> String {
    var events = TestEvents(longSize: longSize)
    try events.define(
      "bprint", id: 6, system: "ftrace",
      fields: """
        field:unsigned long ip;\toffset:8;\tsize:\(longSize);\tsigned:0;
        field:const char * fmt;\toffset:\(8 + longSize);\tsize:\(longSize);\tsigned:0;
        field:u32 buf[];\toffset:\(8 + 2 * longSize);\tsize:0;\tsigned:0;
        """, print: #""%ps: %s", (void *)REC->ip, REC->fmt"#)
    events.namePrintk(text, at: 0x8000)
    events.record(6, address(0x1010, longSize) + address(0x8000, longSize) + arguments)
    return events.texts(style).joined(separator: "\n")
  }

  private static func little(_ value: some FixedWidthInteger) -> [UInt8] {
    TestPayload.bytes(value)
  }

  @Test(
    arguments: [
      (
        "cpu=%d by %s at %llu\n",
        little(UInt32(3)) + Array("router\0".utf8) + [0] + little(UInt64(123_456_789)),
        "cpu=3 by router at 123456789"
      ),
      ("no args", [], "no args"), ("100%%", [], "100%"),
      // Each argument begins at a multiple of its size, and those of 8 bytes at one of 4.
      (
        "%c %hd %hhu %d", [0x78, 0] + little(Int16(-2)) + [200, 0, 0, 0] + little(Int32(-3)),
        "x -2 200 -3"
      ),
      ("%d %lx %d", little(UInt32(1)) + little(UInt64(0xabcd)) + little(UInt32(2)), "1 abcd 2"),
      ("%s|%s|%d", Array("a\0bc\0".utf8) + [0, 0, 0] + little(UInt32(9)), "a|bc|9"),
      (
        "%5d|%-5d|%05x", little(UInt32(1)) + little(UInt32(2)) + little(UInt32(3)),
        "    1|2    |00003"
      ),
      (
        "%*d|%.*s", little(UInt32(4)) + little(UInt32(7)) + little(UInt32(2)) + Array("abc\0".utf8),
        "   7|ab"
      ),
      ("%8s|%-4s|", Array("ab\0c\0".utf8), "      ab|c   |"),
      (
        "%pS %ps %px", little(UInt64(0x2010)) + little(UInt64(0x2010)) + little(UInt64(0x10)),
        "middle+0x10 middle 0000000000000010"
      ),
      // What the kernel printed into the arguments itself.
      ("%*pbl on %pI4", little(UInt32(8)) + Array("0-3,7\010.0.0.1\0".utf8), "0-3,7 on 10.0.0.1"),
      ("missing %s%d", [], "missing 0"),
    ] as [(String, [UInt8], String)])
  func binaryArguments(text: String, arguments: [UInt8], printed: String) throws {
    #expect(try prints(text, arguments) == "begin: " + printed)
  }

  @Test func binaryArgumentsOf32Bits() throws {
    #expect(
      try prints(
        "%lu %llu %ps",
        Self.little(UInt32(7)) + Self.little(UInt64(8)) + Self.little(UInt32(0x2000)),
        longSize: 4) == "begin: 7 8 middle")
  }

  @Test func textsThatAreNotInTheFile() throws {
    var events = TestEvents()
    try events.define(
      "bputs", id: 7, system: "ftrace",
      fields: """
        field:unsigned long ip;\toffset:8;\tsize:8;\tsigned:0;
        field:const char * str;\toffset:16;\tsize:8;\tsigned:0;
        """, print: #""%ps: %s", (void *)REC->ip, REC->str"#)
    events.namePrintk("hello\n", at: 0x8000)
    for text in [0x8000, 0x9000] as [UInt64] {
      events.record(7, TestPayload.bytes(UInt64(0x1000)) + TestPayload.bytes(text))
    }
    #expect(events.texts() == ["begin: hello", "begin: 9000"])
  }

  /// Lines of the kernel's list, whose escapes are C's.
  @Test func listOfTexts() {
    let texts = PrintkTexts.parse(
      Array(
        #"""
        0xffffffff82000000 : "cpu=%d\n"
        0xffffffff82000010 : "a \"quoted\" \\ and\ttab: %s"
        garbage
        0xzz : "x"
        """#.utf8))
    #expect(
      texts.mapValues { String(decoding: $0, as: UTF8.self) } == [
        0xffff_ffff_8200_0000: "cpu=%d\n", 0xffff_ffff_8200_0010: "a \"quoted\" \\ and\ttab: %s",
      ])
  }
}
