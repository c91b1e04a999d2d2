// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

@testable import CPUIsolationTrace

/// Numbers and functions in `print fmt:` lines, as C and the kernel have them.
@Suite struct PrintNumberTests {
  private static let fields = """
    field:signed char c;\toffset:8;\tsize:1;\tsigned:1;
    field:u8 b;\toffset:9;\tsize:1;\tsigned:0;
    field:short s;\toffset:10;\tsize:2;\tsigned:1;
    field:int i;\toffset:12;\tsize:4;\tsigned:1;
    field:unsigned int u;\toffset:16;\tsize:4;\tsigned:0;
    field:long l;\toffset:24;\tsize:8;\tsigned:1;
    field:u16 list[4];\toffset:32;\tsize:8;\tsigned:0;
    field:__data_loc u32[] more;\toffset:40;\tsize:4;\tsigned:0;
    field:__rel_loc char[] name;\toffset:44;\tsize:4;\tsigned:0;
    """

  private static let bytes: [UInt8] =
    [0xf9, 0xc8, 0xfa, 0xff] + TestPayload.bytes(Int32(-5))
    + TestPayload.bytes(UInt32(0xffff_fff0)) + [0, 0, 0, 0] + TestPayload.bytes(Int64(-8))
    + [1, 0, 2, 0, 0xff, 0xff, 4, 0] + TestPayload.bytes(UInt32(48 | 8 << 16))
    + TestPayload.bytes(UInt32(8 | 6 << 16)) + TestPayload.bytes(UInt32(7))
    + TestPayload.bytes(UInt32(0xdead_beef)) + Array("hello\0\0\0".utf8)

  @Test(arguments: [
    // Narrow numbers keep their sign.
    (#""%d %d %d %ld", REC->c, REC->s, REC->i, REC->l"#, "-7 -6 -5 -8"),
    (#""%u %x %hx %hhx", REC->c, REC->s, REC->s, REC->s"#, "4294967289 fffffffa fffa fa"),
    (#""%lld %llu", (long long)REC->c, (u64)REC->i"#, "-7 18446744073709551611"),
    (#""%s", REC->i < 0 ? "yes" : "no""#, "yes"), (#""%s", REC->c < 0 ? "yes" : "no""#, "yes"),
    // A number of 32 bits without a sign makes the other one such.
    (#""%s", REC->i < REC->u ? "yes" : "no""#, "no"),
    (#""%s", REC->i < (long)REC->u ? "yes" : "no""#, "yes"),
    (#""%s", -1 > 1u ? "yes" : "no""#, "yes"), (#""%s", -1 < 1 ? "yes" : "no""#, "yes"),
    (#""%d %d %d", REC->i / 2, REC->i % 3, REC->i >> 1"#, "-2 -2 -3"),
    (#""%u %d", REC->u >> 4, REC->l >> 2"#, "268435455 -2"),
    (#""%d %u", REC->u + 32, REC->u + 32"#, "16 16"),
    (#""%lld", REC->u + 32L"#, "4294967312"), (#""%llx", ~REC->b"#, "ffffffffffffff37"),
    (#""%d", -REC->s"#, "6"), (#""%d", !REC->i"#, "0"), (#""%d", REC->b / 0"#, "0"),
    (#""%d", 1 + 2 * 3 - 8 / 4 << 1"#, "10"), (#""%d", 5 & 6 | 8 ^ 1"#, "13"),
    (#""%d", REC->b == 200 && REC->i == -5 || 0"#, "1"), (#""%d", REC->b ?: 3"#, "200"),
    (#""%d", 0 ? 1 : REC->b > 100 ? 2 : 3"#, "2"),
    // Casts to any name of a number.
    (#""%u %u %d", (uint)(REC->l), (u8)REC->i, (__s8)REC->b"#, "4294967288 251 -56"),
    (#""%llu %lld", (uint64_t)REC->u, (int64_t)REC->s"#, "4294967280 -6"),
    (#""%d %d %u", (ssize_t)REC->s, (loff_t)REC->c, (xfs_agnumber_t)REC->u"#, "-6 -7 4294967280"),
    (#""%u", (some_new_type_t)REC->b"#, "200"), (#""%d", (bool)REC->b"#, "1"),
    (#""%d", (enum zone_type)REC->b"#, "200"), (#""%u", (unsigned short)(REC->u)"#, "65520"),
    (#""%d %d %d", sizeof(u64), sizeof(REC->list), sizeof(unsigned short)"#, "8 8 2"),
    (#""%d %d", sizeof(void *), sizeof(REC->list[0])"#, "8 2"),
    // Elements.
    (#""%d %d", REC->list[1], REC->list[REC->b - 198]"#, "2 65535"),
    (#""%d", ((u8 *)REC->list)[4]"#, "255"), (#""%x", *((u32 *)&REC->list[1])"#, "ffff0002"),
    (#""%d", ((u32 *)__get_dynamic_array(more))[0]"#, "7"),
    (#""%d", __get_dynamic_array_len(more) / sizeof(u32)"#, "2"),
    (#""%d", REC->list[-1000000] + REC->list[1000000]"#, "0"),
    // Functions.
    (#""%s", __print_array(REC->list, 4, 2)"#, "{0x1,0x2,0xffff,0x4}"),
    (#""%s", __print_array(REC->list, 2, sizeof(u8))"#, "{0x1,0x0}"),
    (#""%s", __print_array(REC->list, 0, 2)"#, "{}"),
    (#""%s", __print_array(__get_dynamic_array(more), 2, 4)"#, "{0x7,0xdeadbeef}"),
    (#""%s", __print_array(__get_dynamic_array(more), 1, 8)"#, "{0xdeadbeef00000007}"),
    (#""%s", __print_dynamic_array(more, sizeof(u32))"#, "{0x7,0xdeadbeef}"),
    (#""%s", __print_hex(REC->list, 3)"#, "01 00 02"),
    (#""%s", __print_hex_str(REC->list, 3)"#, "010002"),
    (#""%s", __get_rel_str(name)"#, "hello"), (#""%.*s", 2, __get_rel_str(name)"#, "he"),
    (#""[%-*s]", 7, __get_rel_str(name)"#, "[hello  ]"),
    (#""%s", __print_symbolic(REC->i, { -5, "minus" "five" }, { 0, "zero" })"#, "minusfive"),
    (#""%s", __print_symbolic(REC->i, { })"#, "0xfffffffffffffffb"),
    (#""%s", __print_symbolic((u8)REC->i, { (1 << 8) - 5, "low" })"#, "low"),
    (#""%s", __print_flags(REC->b, ", ", { 0x40, "A" }, { 8, "B" })"#, "A, B, 0x80"),
    (#""%s", __print_flags(REC->b, "", { 0x40, "A" }, { 8, "B" })"#, "AB0x80"),
    (#""%s", __print_flags(REC->b, "|", { 0, "NONE" }, { 0xc8, "ALL" })"#, "NONE|ALL"),
    (#""%s", __print_flags(0, "|", { 0, "NONE" })"#, ""),
    (
      #""%8s|%-8s|", __print_flags(8, "|", { 8, "B" }), __print_symbolic(1, { 1, "one" })"#,
      "       B|one     |"
    ),
    (#""%s", __print_symbolic(REC->b, { FROM_THE_KERNEL, "X" }, { 200, "Y" })"#, "Y"),
    (#""%d", ({ int x = (REC->b); int y = (128); ((x) < (y) ? (x) : (y)); })"#, "128"),
    (
      #""%llu.%06u", __print_ns_to_secs(3000000123ULL), __print_ns_without_secs(3000000123ULL)"#,
      "3.000123"
    ),
    (#""%u", jiffies_to_msecs(REC->b)"#, "200"),
    (#""%u %u", MAJOR(0x800001), MINOR(0x800001)"#, "8 1"),
    (#""%x", be32_to_cpu(REC->u)"#, "f0ffffff"), (#""%s", mc_event_error_type(1)"#, "Uncorrected"),
    (#""%p %s", (REC->b ? vmemmap_base + 1 : 0), "known""#, "? known"),
    // Conversions as the kernel's.
    (#""%#x %#x %#o %#o", 0, 255, 0, 8"#, "0x0 0xff 0 010"),
    (#""[%5d][%-5d][%05d][%+d]", REC->i, REC->i, REC->i, 5"#, "[   -5][-5   ][-0005][+5]"),
    (#""[%#010x][%.3d][%6.3d]", 255, 7, 7"#, "[0x000000ff][007][   007]"),
    (
      #""%zd %zu %td %Lu %hhd", REC->l, REC->l, REC->l, REC->l, REC->b"#,
      "-8 18446744073709551608 -8 18446744073709551608 -56"
    ),
    (#""%c%c%3c", 'x', 0x41, 'z'"#, "xA  z"), (#""%d%%\t\x41\101\n""#, "%"),
    (#""100%%, \"%s\"", "quoted""#, #"100%, "quoted""#),
  ])
  func prints(format: String, printed: String) throws {
    guard format != #""%d%%\t\x41\101\n""# else {
      #expect(try TestEvents.text(Self.fields, #""%%\t\x41\101\n""#, Self.bytes) == "%\tAA")
      return
    }
    #expect(try TestEvents.text(Self.fields, format, Self.bytes) == printed)
  }

  /// What trace-cmd makes of the same: all numbers are unsigned and have 64 bits.
  @Test(arguments: [
    (#""%d %d %d", REC->c, REC->s, REC->i"#, "249 65530 -5"),
    (#""%s", REC->i < 0 ? "yes" : "no""#, "no"), (#""%d", (u8)REC->i"#, "251"),
    (#""%s", __print_flags(0, "|", { UNKNOWN, "X" })"#, "X"),
    (#""%x", vmemmap_base + REC->b"#, "c8"),
  ])
  func printsAsTraceCmd(format: String, printed: String) throws {
    #expect(try TestEvents.text(Self.fields, format, Self.bytes, style: .traceCmd) == printed)
  }

  @Test func rowsOfBytes() throws {
    let fields = "field:u8 data[20];\toffset:8;\tsize:20;\tsigned:0;"
    let bytes = Array("0123456789abcdefgh\u{1}\u{2}".utf8)
    #expect(
      try TestEvents.text(
        fields, #""%s", __print_hex_dump("d: ", DUMP_PREFIX_OFFSET, 16, 1, REC->data, 20, 1)"#,
        bytes) == "\n" + """
          d: 00000000: 30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef
          d: 00000010: 67 68 01 02                                      gh..
          """)
    #expect(
      try TestEvents.text(
        fields, #""%s", __print_hex_dump("", DUMP_PREFIX_NONE, 16, 4, REC->data, 8, 0)"#, bytes)
        == "\n33323130 37363534")
  }

  /// Numbers of `long` have 4 bytes where the recorder's have.
  @Test func longsOf32Bits() throws {
    let fields = "field:long l;\toffset:8;\tsize:4;\tsigned:1;"
    let bytes = TestPayload.bytes(Int32(-8))
    func text(_ format: String) throws -> String {
      try TestEvents.text(fields, format, bytes, longSize: 4)
    }
    #expect(
      try text(#""%ld %lx %llx", REC->l, REC->l, (unsigned long)REC->l"#) == "-8 fffffff8 fffffff8")
    #expect(try text(#""%d %lu", sizeof(long), ~0UL"#) == "4 4294967295")
    #expect(try text(#""%s", __print_symbolic(REC->l, { -8UL, "eight" })"#) == "eight")
  }

  /// As many ticks in a second as the report was told.
  @Test func ticks() throws {
    var recording = TraceRecording(cpuCount: 1)
    recording.define(
      TraceEventFormat(
        system: "test", name: "waited", id: 9, declaring: [.number("wait", as: UInt64.self)],
        printFormat: #""%u ms %u us", jiffies_to_msecs(REC->wait), jiffies_to_usecs(REC->wait)"#))
    recording.append(
      cpu: 0, timestamp: 1, event: 9, payload: TestPayload.head(1) + TestPayload.bytes(UInt64(3)))
    var report = TraceTextReport(recording)
    report.ticksPerSecond = 250
    let record = try #require(recording.records().first { _ in true })
    #expect(report.line(for: record).hasSuffix("12 ms 12000 us"))
  }
}
