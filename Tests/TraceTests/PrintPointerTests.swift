// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolationTrace

/// The kernel's `%p` conversions.
@Suite struct PrintPointerTests {
  private func text(
    _ conversion: String, _ bytes: [UInt8], width: Int? = nil,
    style: TraceTextReport.Style = .kernel
  ) throws -> String {
    try TestEvents.text(
      "field:u8 bytes[\(bytes.count)];\toffset:8;\tsize:\(bytes.count);\tsigned:0;",
      "\"<\(conversion)>\"" + (width.map { ", \($0)" } ?? "") + ", REC->bytes", bytes, style: style)
  }

  private static let identifier: [UInt8] = Array(0...14) + [0xab]

  @Test(
    arguments: [
      ("%pI4", [127, 0, 0, 1], "127.0.0.1"), ("%pi4", [127, 0, 0, 1], "127.000.000.001"),
      ("%pI4h", [1, 0, 0, 127], "127.0.0.1"), ("%pI4n", [127, 0, 0, 1], "127.0.0.1"),
      ("%pI4b", [10, 20, 255, 9], "10.20.255.9"), ("%pI4l", [1, 2, 3, 4], "4.3.2.1"),
      ("%16pI4", [127, 0, 0, 1], "       127.0.0.1"),
      ("%-16pI4", [127, 0, 0, 1], "127.0.0.1       "),
      ("%pM", [0xde, 0xad, 0xbe, 0xef, 0, 1], "de:ad:be:ef:00:01"),
      ("%pMR", [0xde, 0xad, 0xbe, 0xef, 0, 1], "01:00:ef:be:ad:de"),
      ("%pMF", [0xde, 0xad, 0xbe, 0xef, 0, 1], "de-ad-be-ef-00-01"),
      ("%pm", [0xde, 0xad, 0xbe, 0xef, 0, 1], "deadbeef0001"),
      ("%pmR", [0xde, 0xad, 0xbe, 0xef, 0, 1], "0100efbeadde"),
      ("%pU", identifier, "00010203-0405-0607-0809-0a0b0c0d0eab"),
      ("%pUb", identifier, "00010203-0405-0607-0809-0a0b0c0d0eab"),
      ("%pUB", identifier, "00010203-0405-0607-0809-0A0B0C0D0EAB"),
      ("%pUl", identifier, "03020100-0504-0706-0809-0a0b0c0d0eab"),
      ("%pUL", identifier, "03020100-0504-0706-0809-0A0B0C0D0EAB"),
      ("%pad", [1, 2, 3, 4, 5, 6, 7, 8], "0x0807060504030201"),
    ] as [(String, [UInt8], String)])
  func addresses(conversion: String, bytes: [UInt8], printed: String) throws {
    #expect(try text(conversion, bytes) == "<\(printed)>")
    #expect(try text(conversion, bytes, style: .traceCmd) == "<\(printed)>")
  }

  @Test(arguments: [
    ("00000000000000000000000000000001", "::1"), ("00000000000000000000000000000000", "::"),
    ("20010db8000000000000000000000001", "2001:db8::1"),
    ("20010db8000000010000000000000001", "2001:db8:0:1::1"),
    ("20010000000100010000000100010001", "2001:0:1:1:0:1:1:1"),
    ("0001000000000002000000000003000f", "1::2:0:0:3:f"),
    ("fe800000000000000000000000000000", "fe80::"),
    ("00000000000000000000ffff7f000001", "::ffff:127.0.0.1"),
    ("fe8000000000000000005efec0a80001", "fe80::5efe:192.168.0.1"),
    ("fe8000000000000002005efec0a80001", "fe80::200:5efe:192.168.0.1"),
  ])
  func internet6(address: String, compressed: String) throws {
    let bytes = stride(from: 0, to: 32, by: 2).map { index in
      UInt8(address.dropFirst(index).prefix(2), radix: 16)!
    }
    let groups = stride(from: 0, to: 32, by: 4).map { address.dropFirst($0).prefix(4) }
    #expect(try text("%pI6c", bytes) == "<\(compressed)>")
    #expect(try text("%pI6", bytes) == "<\(groups.joined(separator: ":"))>")
    #expect(try text("%pi6", bytes) == "<\(address)>")
    // A socket's address: family, port in the network's order, flow, address, scope.
    let socket = [10, 0, 0x1f, 0x90, 0, 0, 1, 2] + bytes + [3, 0, 0, 0]
    #expect(try text("%pISc", socket) == "<\(compressed)>")
    #expect(try text("%pISpc", socket) == "<[\(compressed)]:8080>")
    #expect(try text("%pISpfsc", socket) == "<[\(compressed)]:8080/258%3>")
  }

  @Test func sockets() throws {
    let socket: [UInt8] = [2, 0, 0, 80, 10, 0, 0, 1] + [UInt8](repeating: 0, count: 20)
    #expect(try text("%pIS", socket) == "<10.0.0.1>")
    #expect(try text("%pISpc", socket) == "<10.0.0.1:80>")
    #expect(try text("%pISpc", [1, 0] + socket) == "<(einval)>")
    // As most formats have them: at the end of the record, after a word that says where.
    let located = TestPayload.bytes(UInt32(12 | 28 << 16)) + socket
    let field = "field:__data_loc u8[] addr;\toffset:8;\tsize:4;\tsigned:0;"
    for argument in [
      "(struct sockaddr *)__get_dynamic_array(addr)", "__get_sockaddr(addr)",
      "(void *)((char *)REC + (REC->__data_loc_addr & 0xffff))",
    ] {
      #expect(try TestEvents.text(field, "\"%pISpc\", \(argument)", located) == "10.0.0.1:80")
    }
  }

  @Test(
    arguments: [
      ("%*ph", 3, "01 a2 ff"), ("%*phC", 3, "01:a2:ff"), ("%*phD", 3, "01-a2-ff"),
      ("%*phN", 4, "01a2ff80"), ("%ph", nil, "01"), ("%*pbl", 32, "0,9,13,15-23,31"),
      ("%*pbl", 16, "0,9,13,15"), ("%*pb", 32, "80ffa201"), ("%*pb", 20, "fa201"),
      ("%*pb", 0, ""), ("%*pbl", 0, ""), ("%*pE", 4, #"\001\242\377\200"#),
    ] as [(String, Int?, String)])
  func bytesAndBits(conversion: String, width: Int?, printed: String) throws {
    #expect(try text(conversion, [0x01, 0xa2, 0xff, 0x80], width: width) == "<\(printed)>")
  }

  @Test(
    arguments: [
      ("%p", 0x1_0010, "0000000000010010", "0x10010"), ("%px", 0, "0000000000000000", "(nil)"),
      ("%pK", 0x2010, "0000000000002010", "0x2010"), ("%ps", 0x2010, "middle", "middle"),
      ("%pS", 0x2010, "middle+0x10", "middle+0x10"), ("%pF", 0x2000, "middle+0x0", "middle+0x0"),
      ("%pf", 0x2000, "middle", "middle"), ("%pSR", 0x2010, "middle+0x10", "middle+0x10"),
      // A return address belongs to the call before it.
      ("%pB", 0x2000, "begin+0x1000", "begin+0x1000"), ("%pS", 0x10, "0x10", "0x10"),
      ("%ps", 0xffff_ffff_ffff_fff0, "0xfffffffffffffff0", "0xfffffffffffffff0"),
      // What an address in the record leads to was not recorded.
      ("%pI4", 0x2010, "0000000000002010", "0x2010"), ("%pd", 0x10, "0000000000000010", "0x10"),
    ] as [(String, UInt64, String, String)])
  func pointers(
    conversion: String, address: UInt64, printed: String, traceCmd: String
  ) throws {
    let field = "field:void * place;\toffset:8;\tsize:8;\tsigned:0;"
    let bytes = TestPayload.bytes(address)
    let format = "\"\(conversion)\", REC->place"
    #expect(try TestEvents.text(field, format, bytes) == printed)
    #expect(try TestEvents.text(field, format, bytes, style: .traceCmd) == traceCmd)
  }

  @Test func addressesOf32Bits() throws {
    let field = "field:void * place;\toffset:8;\tsize:4;\tsigned:0;"
    let bytes = TestPayload.bytes(UInt32(0x2010))
    #expect(
      try TestEvents.text(field, "\"%p %ps\", REC->place, REC->place", bytes, longSize: 4)
        == "00002010 middle")
  }

  /// Modules stand after their functions' names in the kernel's text.
  @Test func modules() {
    let symbols = TraceSymbols(
      text: Array("ffffffffc0000000 t load\t[driver]\nffffffffc0001000 t last\t[driver]\n".utf8))
    var environment = PrintEnvironment(symbols: symbols, printkTexts: [:])
    func printed(offset: Bool, module: Bool) -> String {
      var line: [UInt8] = []
      environment.appendFunction(
        0xffff_ffff_c000_0008, showsOffset: offset, showsModule: module, to: &line)
      return String(decoding: line, as: UTF8.self)
    }
    #expect(printed(offset: true, module: true) == "load+0x8 [driver]")
    #expect(printed(offset: false, module: true) == "load [driver]")
    #expect(printed(offset: true, module: false) == "load+0x8")
  }
}
