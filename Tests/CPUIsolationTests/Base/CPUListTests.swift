// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

/// A list that is accepted, and the canonical list of what it means.
struct GoodList: Sendable, CustomTestStringConvertible {
  var text: String
  var width: Int
  var canonical: String

  init(_ text: String, _ width: Int, _ canonical: String) {
    (self.text, self.width, self.canonical) = (text, width, canonical)
  }

  var testDescription: String { "\(text.debugDescription) at width \(width)" }
}

/// A list that is refused, and the place of the fault.
struct BadList: Sendable, CustomTestStringConvertible {
  var text: String
  var width: Int
  var code: CPUMask.ParseError.Code
  var offset: Int

  init(_ text: String, _ width: Int, _ code: CPUMask.ParseError.Code, at offset: Int) {
    (self.text, self.width, self.code, self.offset) = (text, width, code, offset)
  }

  var testDescription: String { "\(text.debugDescription) at width \(width)" }
}

@Suite("CPU list, read as CPUMask")
struct CPUListTests {
  // MARK: - Accepted

  /// The texts that the documented grammar names as accepted.
  static let kernelGood = [
    GoodList("0", 8, "0"),
    GoodList("1", 8, "1"),
    GoodList("0-31:1/2", 32, "0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30"),
    GoodList(
      "  ,,  0-31:3/4  ,, 32-63:4/4  ,,  ", 64,
      "0-2,4-6,8-10,12-14,16-18,20-22,24-26,28-30,32-63"),
    GoodList("0-0:0/1", 32, ""),
    GoodList("0-15:16/31", 32, "0-15"),
    GoodList("1-10:8/12,8-31:24/29,0-31:0/3", 32, "1-31"),
    GoodList("15-N:1/N", 32, "15"),
    GoodList("16-N:16/N", 32, "16-31"),
    GoodList("N-N", 32, "31"),
    GoodList("N-N:N/N", 32, "31"),
    GoodList("0-N:1/3,1-N:1/3,2-N:1/3", 32, "0-31"),
    GoodList("0, 1, all,  ", 32, "0-31"),
    GoodList("ALL:1/2", 8, "0,2,4,6"),
    GoodList("all:1/2", 8, "0,2,4,6"),
    GoodList("", 8, ""),
    GoodList("\n", 8, ""),
    GoodList(",,  ,,  , ,  ,", 8, ""),
    GoodList(" ,  ,,  , ,   \n", 8, ""),
    GoodList(
      "0-31:1/4,32-63:2/4,64-95:3/4,96-127:4/4", 128,
      "0,4,8,12,16,20,24,28,32-33,36-37,40-41,44-45,48-49,52-53,56-57,60-61,"
        + "64-66,68-70,72-74,76-78,80-82,84-86,88-90,92-94,96-127"),
    GoodList(
      "0-2047:128/256", 2048,
      "0-127,256-383,512-639,768-895,1024-1151,1280-1407,1536-1663,1792-1919"),
  ]

  static let moreGood = [
    GoodList("all", 1, "0"),
    GoodList("aLl", 8, "0-7"),
    GoodList("N", 8, "7"),
    GoodList("N", 1, "0"),
    GoodList("N-7", 8, "7"),
    GoodList("0007-00000000000000000000000000000009", 16, "7-9"),
    GoodList("0\t1\u{B}2\u{C}3\r4 5", 8, "0-5"),
    GoodList("0\r\n", 8, "0"),
    GoodList("3,1,2,1", 8, "1-3"),
    GoodList("5-5", 8, "5"),
    GoodList("0-7:2/3", 8, "0-1,3-4,6-7"),
    GoodList("1-6:1/4294967295", 8, "0-1"),
    GoodList("1-1:1/4294967295", 2, "0-1"),
    GoodList("5-6:2/4294967294", 8, "1-6"),
    GoodList("4-7:3/4294967293", 8, "1-6"),
    GoodList("0-7:0/4294967295", 8, ""),
    GoodList("0-7:4294967295/4294967295", 8, "0-7"),
    GoodList("8191", 8192, "8191"),
    GoodList("all", 8192, "0-8191"),
    GoodList(" ,\n", 0, ""),
  ]

  /// What a Linux 6.18 kernel answered when asked, where it is not what one would guess.
  static let kernelCorners = [
    GoodList("0\ngarbage", 8, "0"),
    GoodList("0-1\n5", 8, "0-1"),
    GoodList("all\n?", 8, "0-7"),
    GoodList("\n1", 8, "1"),
    GoodList("0 \n1", 8, "0-1"),
    GoodList("0,\n1", 8, "0-1"),
    GoodList("0-1:1/2\n1", 8, "0-1"),
    GoodList("0-3:1/2N", 8, "0,2,7"),
    GoodList("0-3:1/2all", 8, "0-7"),
    GoodList("0-3:1/N5", 8, "0,5"),
  ]

  @Test("accepted lists", arguments: kernelGood + moreGood + kernelCorners)
  func good(list: GoodList) throws {
    let mask = try CPUMask(cpuList: list.text, width: list.width)
    #expect(mask.description == list.canonical)
  }

  // MARK: - Refused

  /// The texts that the documented grammar names as refused.
  static let kernelBad = [
    BadList("-1", 8, .invalid, at: 0),
    BadList("-0", 8, .invalid, at: 0),
    BadList("10-1", 8, .invalid, at: 0),
    BadList("al", 8, .invalid, at: 0),
    BadList("alll", 8, .invalid, at: 3),
    BadList("a-31", 8, .invalid, at: 0),
    BadList("0-a1", 8, .invalid, at: 2),
    BadList("a-31:10/1", 8, .invalid, at: 0),
    BadList("0-31:a/1", 8, .invalid, at: 5),
    BadList("0-\n", 8, .invalid, at: 2),
    BadList("0-31:", 32, .invalid, at: 5),
    BadList("0-31:0", 32, .invalid, at: 6),
    BadList("0-31:0/", 32, .invalid, at: 7),
    BadList("0-31:0/0", 32, .invalid, at: 7),
    BadList("0-31:1/0", 32, .invalid, at: 7),
    BadList("0-31:10/1", 32, .invalid, at: 5),
    BadList("8-8", 8, .range, at: 2),
    BadList("0-31", 8, .range, at: 2),
    BadList("0-98765432123456789:10/1", 8, .overflow, at: 2),
  ]

  static let syntaxFaults = [
    BadList("n", 8, .invalid, at: 0),
    BadList("N0", 8, .invalid, at: 1),
    BadList("0N", 8, .invalid, at: 1),
    BadList("+1", 8, .invalid, at: 0),
    BadList("0x1", 8, .invalid, at: 1),
    BadList("1;", 8, .invalid, at: 1),
    BadList("5:1/2", 8, .invalid, at: 1),
    BadList("0-", 8, .invalid, at: 2),
    BadList("0 -1", 8, .invalid, at: 2),
    BadList("0- 1", 8, .invalid, at: 2),
    BadList("0--1", 8, .invalid, at: 2),
    BadList("0-1-2", 8, .invalid, at: 3),
    BadList("0-1 :1/2", 8, .invalid, at: 4),
    BadList("0-1: 1/2", 8, .invalid, at: 4),
    BadList("0-1:1 /2", 8, .invalid, at: 5),
    BadList("0-1:/2", 8, .invalid, at: 4),
    BadList("0-1:1/2-5", 8, .invalid, at: 7),
    BadList("0-1:1/2:1/2", 8, .invalid, at: 7),
    BadList("0-1:1/2x", 8, .invalid, at: 7),
    BadList("all-3", 8, .invalid, at: 3),
    BadList("allN", 8, .invalid, at: 3),
    BadList("all:1", 8, .invalid, at: 5),
    BadList("0\u{0}", 8, .invalid, at: 1),
    BadList("\u{0}", 8, .invalid, at: 0),
    BadList("0,\u{A0}1", 8, .invalid, at: 2),
    BadList("٣", 8, .invalid, at: 0),
  ]

  static let orderOfFaults = [
    // Reading comes before judging, and an overflow is found while reading.
    BadList("99-1x", 8, .invalid, at: 4),
    BadList("99999999999x", 8, .overflow, at: 0),
    BadList("9-99999999999:0/0", 8, .overflow, at: 2),
    BadList("x-99999999999", 8, .invalid, at: 0),
    // Sense comes before the width.
    BadList("99-98", 8, .invalid, at: 0),
    BadList("0-99:2/1", 8, .invalid, at: 5),
    BadList("0-99:0/0", 8, .invalid, at: 7),
    BadList("N-0", 8, .invalid, at: 0),
    // The left region decides.
    BadList("99,x", 8, .range, at: 0),
    BadList("x,99", 8, .invalid, at: 0),
    BadList("1, 2,99999999999 ,x", 8, .overflow, at: 5),
    BadList("0-99:1/2x", 8, .range, at: 2),
    // 32 bits: the largest number is no overflow, but without a pattern its region makes no sense.
    BadList("4294967294", 8, .range, at: 0),
    BadList("4294967295", 8, .invalid, at: 0),
    BadList("0-4294967295", 8, .invalid, at: 2),
    BadList("0-4294967295:1/2", 8, .range, at: 2),
    BadList("4294967296", 8, .overflow, at: 0),
    BadList("18446744073709551616", 8, .overflow, at: 0),
    BadList("0-1:4294967296/1", 8, .overflow, at: 4),
    BadList("0-1:1/4294967296", 8, .overflow, at: 6),
    // At width 0 and 1.
    BadList("0", 0, .range, at: 0),
    BadList("all", 0, .invalid, at: 0),
    BadList("all:1/2", 0, .range, at: 0),
    BadList("N", 0, .invalid, at: 0),
    BadList("all:1/N", 1, .invalid, at: 6),
    BadList("1", 1, .range, at: 0),
    BadList("8192", 8192, .range, at: 0),
  ]

  @Test("refused lists", arguments: kernelBad + syntaxFaults + orderOfFaults)
  func bad(list: BadList) {
    let error = #expect(throws: CPUMask.ParseError.self) {
      try CPUMask(cpuList: list.text, width: list.width)
    }
    #expect(error?.code == list.code)
    #expect(error?.position == list.offset)
  }

  @Test("an error quotes the region and its place")
  func message() {
    let error = #expect(throws: CPUMask.ParseError.self) { try CPUMask(cpuList: "0-3, 10-8,x") }
    #expect(
      error?.message == "CPU list region \"10-8\" at byte 5: the range ends before it starts")
    #expect(error?.description == error?.message)
    #expect(error?.code.description == "invalid")
  }

  @Test("the quotation is printable and short")
  func quotation() {
    let odd = #expect(throws: CPUMask.ParseError.self) { try CPUMask(cpuList: "1\u{1B}é") }
    #expect(odd?.message.contains(#""1\x1b\xc3\xa9""#) == true)
    let long = String(repeating: "x", count: 1_000_000)
    let wide = #expect(throws: CPUMask.ParseError.self) { try CPUMask(cpuList: long) }
    #expect((wide?.message.utf8.count ?? 1000) < 200)
  }

  // MARK: - Entrances

  @Test("the width is the widest unless it is given")
  func defaultWidth() throws {
    #expect(try CPUMask(cpuList: "N") == CPUMask(8191))
    #expect(try CPUMask(cpuList: "all").count == 8192)
  }

  @Test("N is the last CPU of the width", arguments: [1, 2, 64, 128, 129, 8192])
  func lastCPU(width: Int) throws {
    #expect(try CPUMask(cpuList: "N", width: width) == CPUMask(width - 1))
    #expect(try CPUMask(cpuList: "0-N", width: width) == .all(width))
    #expect(try CPUMask(cpuList: "all", width: width) == .all(width))
    #expect(try CPUMask(cpuList: "all:N/N,N", width: max(width, 2)) == .all(max(width, 2)))
  }

  @Test("a part of a text is read with offsets of its own")
  func substring() throws {
    let text = "cpus=0-3,x"
    #expect(try CPUMask(cpuList: text.dropFirst(5).dropLast(2)) == .all(4))
    let error = #expect(throws: CPUMask.ParseError.self) { try CPUMask(cpuList: text.dropFirst(5)) }
    #expect(error?.position == 4)
  }

  @Test("lossless conversion")
  func lossless() {
    #expect(CPUMask("0-3,7") == [0, 1, 2, 3, 7])
    #expect(CPUMask("0-3,7-") == nil)
  }

  @Test("patterns agree with a bit by bit model", arguments: 0..<6 as Range<UInt64>)
  func patternModel(seed: UInt64) throws {
    var generator = SeededGenerator(state: seed)
    for _ in 0..<200 {
      let width = Int.random(in: 1...300, using: &generator)
      let start = Int.random(in: 0..<width, using: &generator)
      let end = Int.random(in: start..<width, using: &generator)
      let group = Int.random(in: 1...40, using: &generator)
      let used = Int.random(in: 0...group, using: &generator)
      let mask = try CPUMask(cpuList: "\(start)-\(end):\(used)/\(group)", width: width)
      #expect(Array(mask) == (start...end).filter { ($0 - start) % group < used })
    }
  }

  // MARK: - Size

  @Test("a text of a megabyte takes time in proportion", .timeLimit(.minutes(10)))
  func megabyte() throws {
    let singles = String(repeating: "17,", count: 350_000)
    #expect(try CPUMask(cpuList: singles) == CPUMask(17))
    let wide = String(repeating: "8000-8191 ", count: 100_000)
    #expect(try CPUMask(cpuList: wide).count == 192)
    #expect(try CPUMask(cpuList: String(repeating: ", ", count: 500_000)).isEmpty)
    let digits = String(repeating: "0", count: 1_000_000)
    #expect(try CPUMask(cpuList: digits + "7") == CPUMask(7))
    let tail = #expect(throws: CPUMask.ParseError.self) { try CPUMask(cpuList: singles + "x") }
    #expect(tail?.position == 1_050_000)
  }

  // MARK: - Printing

  @Test(
    "canonical lists",
    arguments: [
      ([], ""), ([0], "0"), ([0, 1], "0-1"), ([0, 2], "0,2"), ([0, 1, 2, 3, 7], "0-3,7"),
      ([63, 64], "63-64"), ([127, 128], "127-128"), ([191, 192, 8191], "191-192,8191"),
    ] as [([Int], String)])
  func printing(members: [Int], text: String) {
    #expect(CPUMask(members).description == text)
    #expect(CPUMask(members).debugDescription == "CPUMask(\"\(text)\")")
  }

  @Test("runs that end with a word", arguments: [64, 128, 192, 8192])
  func printingFullWords(width: Int) {
    #expect(CPUMask.all(width).description == "0-\(width - 1)")
    #expect(CPUMask(width - 64..<width).description == "\(width - 64)-\(width - 1)")
  }

  @Test("what is printed is read back", arguments: CPUMaskTests.widths)
  func roundTrip(width: Int) throws {
    var generator = SeededGenerator(state: 17)
    for _ in 0..<100 {
      let mask = CPUMask(generator.cpuSet(width: width))
      #expect(try CPUMask(cpuList: mask.description, width: width) == mask)
      #expect(CPUMask(mask.description) == mask)
    }
  }

  @Test(
    "hexadecimal words",
    arguments: [
      ("all", 8, "ff"), ("all", 40, "ff,ffffffff"), ("all", 32, "ffffffff"), ("all", 1, "1"),
      ("all", 33, "1,ffffffff"), ("all", 30, "3fffffff"), ("", 8, "00"), ("", 0, ""),
      ("", 9, "000"), ("0", 36, "0,00000001"), ("33", 64, "00000002,00000000"),
      ("4", 128, "00000000,00000000,00000000,00000010"),
      ("159", 160, "80000000,00000000,00000000,00000000,00000000"),
    ] as [(String, Int, String)])
  func hexWords(list: String, width: Int, text: String) throws {
    #expect(try CPUMask(cpuList: list, width: width).hexWords(width: width) == text)
  }

  @Test("hexadecimal words leave out what is beyond the width")
  func hexWordsBeyond() {
    #expect(CPUMask.all(200).hexWords(width: 8) == "ff")
    #expect(CPUMask.all(200).hexWords(width: 36) == "f,ffffffff")
  }
}
