// SPDX-License-Identifier: Apache-2.0

/// Names of addresses, as `/proc/kallsyms` lists them.
///
/// ```swift
/// var symbols = TraceSymbols()
/// symbols.add("flush_tlb", at: 0x1000)
/// symbols.symbol(at: 0x1000)?.name  // flush_tlb
/// ```
///
/// - Source: `trace-cmd report` (trace-cmd 3.1.6), which it looks addresses up like.
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: when symbols are added
public struct TraceSymbols: Sendable {
  struct Entry: Sendable {
    let address: UInt64
    private let start: UInt32
    private let length: UInt32

    init(address: UInt64, name: Range<Int>) {
      self.address = address
      start = UInt32(name.lowerBound)
      length = UInt32(name.count)
    }

    /// Where its name stands in the text.
    var name: Range<Int> { Int(start)..<Int(start) + Int(length) }

    /// By address; of equal ones, the last listed first.
    static func isBefore(_ a: Entry, _ b: Entry) -> Bool {
      a.address != b.address ? a.address < b.address : a.start > b.start
    }
  }

  /// Lines of address, type and name.
  private(set) var text: [UInt8] = []
  /// By address; of equal ones, the last listed first.
  private(set) var entries: [Entry] = []

  /// Makes an empty list.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public init() {}

  /// How many addresses have a name.
  public var count: Int { entries.count }

  /// Every symbol, by address.
  var all: [(name: String, address: UInt64)] {
    entries.map { (String(decoding: text[$0.name], as: UTF8.self), $0.address) }
  }

  init(text: [UInt8]) {
    self.text = text
    let newline = UInt8(ascii: "\n")
    // A kernel lists so many that an array which grows would be several times as large.
    entries.reserveCapacity(text.count { $0 == newline } + 1)
    var start = 0
    while start < text.count {
      let end = text[start...].firstIndex(of: newline) ?? text.count
      if let entry = Self.entry(in: text, start..<end) { entries.append(entry) }
      start = end + 1
    }
    sort()
  }

  /// The kernel lists its own symbols in order, but for those of one address; those of modules come
  /// after them.
  private mutating func sort() {
    var isSorted = true
    var first = 0
    for index in 1..<max(entries.count, 1) {
      if entries[index - 1].address == entries[index].address { continue }
      if entries[index - 1].address > entries[index].address { isSorted = false }
      entries[first..<index].reverse()
      first = index
    }
    entries[first...].reverse()
    if !isSorted { entries.sort(by: Entry.isBefore) }
  }

  /// `ffffffff81000000 T _stext`, and a module after a tab. Absolute symbols are no addresses of
  /// code (per-CPU offsets on x86-64), and names with `$` are marks of the ARM assembler.
  private static func entry(in text: [UInt8], _ line: Range<Int>) -> Entry? {
    var address: UInt64 = 0
    var index = line.lowerBound
    while index < line.upperBound, let digit = hexadecimal(text[index]),
      index - line.lowerBound < 16
    {
      address = address << 4 | UInt64(digit)
      index += 1
    }
    let space = UInt8(ascii: " ")
    guard index > line.lowerBound, index + 3 < line.upperBound, text[index] == space,
      text[index + 2] == space
    else { return nil }
    let type = text[index + 1] | 0x20
    let start = index + 3
    var end = start
    while end < line.upperBound, text[end] != space, text[end] != UInt8(ascii: "\t") { end += 1 }
    guard end > start, type != UInt8(ascii: "a"), text[start] != UInt8(ascii: "$") else {
      return nil
    }
    return Entry(address: address, name: start..<end)
  }

  private static func hexadecimal(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }

  /// Gives an address a name. White space in it becomes `_`: a line of the list has no place for
  /// it.
  ///
  /// `symbols.add("drain", at: 0x1000)`
  ///
  /// - Parameters:
  ///   - name: what reports show.
  ///   - address: the first byte of what it names.
  /// - Complexity: linear in the number of symbols, unless the address is the largest.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: yes
  public mutating func add(_ name: String, at address: UInt64) {
    text += Array((String(hex: address, digits: 16) + " t ").utf8)
    let start = text.count
    for byte in name.utf8 { text.append(byte <= 0x20 ? UInt8(ascii: "_") : byte) }
    let entry = Entry(address: address, name: start..<text.count)
    text.append(UInt8(ascii: "\n"))
    guard !entry.name.isEmpty else { return }
    let index =
      entries.last.map { $0.address < address } ?? true
      ? entries.count : entries.firstIndex { $0.address >= address } ?? entries.count
    entries.insert(entry, at: index)
  }
}

extension String {
  init(hex value: UInt64, digits: Int) {
    let text = String(value, radix: 16)
    let zeros = String(repeating: "0", count: Swift.max(0, digits - text.utf8.count))
    self = zeros + text
  }
}
