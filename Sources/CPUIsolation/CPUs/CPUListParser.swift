// SPDX-License-Identifier: Apache-2.0

/// Reads a CPU list region by region, with the verdicts of `bitmap_parselist` (lib/bitmap-str.c,
/// Linux), as documented and as a Linux 6.18 kernel answered when asked.
///
/// ```
/// list    = { blank | "," } [ region … ]
/// region  = "all" [ pattern ] | number [ "-" number [ pattern ] ]
/// pattern = ":" number "/" number
/// number  = "N" | digit { digit }
/// ```
///
/// Four things in which the kernel differs from what one would guess, kept because a list must
/// mean the same in both places:
/// - A newline directly after a region without a pattern ends the list; what follows is not read.
/// - After a pattern no separator is needed: `0-3:1/2N` is two regions.
/// - A region is judged before the next is read, so of two faults the left one is reported.
/// - Groups are counted in 32 bits: after `1-1:1/4294967295` comes the group that begins with 0.
struct CPUListParser {
  private let width: UInt32
  private var position = 0
  private var regionStart = 0

  private init(width: Int) { self.width = UInt32(width) }

  static func parse(
    _ bytes: Span<UInt8>, width: Int, _ file: StaticString = #fileID, _ line: UInt = #line
  ) throws(CPUMask.ParseError) -> CPUMask {
    guard width >= 0, width <= CPUMask.maximumWidth else {
      misuse(
        "CPUMask(cpuList:width:): the width \(width) is outside 0...\(CPUMask.maximumWidth).", file,
        line)
    }
    var parser = CPUListParser(width: width)
    var mask = CPUMask()
    while let region = try parser.nextRegion(in: bytes) { region.insert(into: &mask) }
    return mask
  }

  /// A number and where it stands.
  private struct Token {
    var value: UInt32
    var offset: Int
  }

  private struct Region {
    var start: Token
    var end: Token
    var used: Token
    var group: Token

    /// All of `start...end`: the pattern that is one group and uses the whole of it.
    ///
    /// The addition wraps as it does in the kernel, where a region that ends at 4294967295 without
    /// a pattern has the group length zero and is therefore invalid and not out of range.
    init(start: Token, end: Token) {
      self.start = start
      self.end = end
      used = Token(value: end.value &+ 1, offset: end.offset)
      group = used
    }

    func insert(into mask: inout CPUMask) {
      let (end, used) = (Int(end.value) + 1, Int(used.value))
      mask.insert(
        contentsOf: Int(start.value)..<end, first: used, ofEvery: Int(group.value))
      // The kernel's sum of 32 bits wraps where the group is huge: the next one begins below, by as
      // much as the group falls short of 2^32.
      let step = Int(0 &- group.value)
      var first = Int(start.value) - step
      while first >= 0 {
        mask.insert(contentsOf: first..<min(first + used, end))
        first -= step
      }
    }
  }

  private mutating func nextRegion(in bytes: Span<UInt8>) throws(CPUMask.ParseError) -> Region? {
    while position < bytes.count, Self.isSeparator(bytes[position]) { position += 1 }
    guard position < bytes.count else { return nil }
    regionStart = position
    let region = try readRegion(in: bytes)
    try check(region, in: bytes)
    return region
  }

  private mutating func readRegion(in bytes: Span<UInt8>) throws(CPUMask.ParseError) -> Region {
    var region: Region
    if matchesAll(in: bytes) {
      region = Region(
        start: Token(value: 0, offset: position), end: Token(value: last, offset: position))
      position += 3
      if endsRegion(in: bytes) { return region }
    } else {
      let start = try readNumber(in: bytes)
      if endsRegion(in: bytes) { return Region(start: start, end: start) }
      try expect(UInt8(ascii: "-"), "a '-', a separator or the end is expected", in: bytes)
      region = Region(start: start, end: try readNumber(in: bytes))
      if endsRegion(in: bytes) { return region }
    }
    try expect(UInt8(ascii: ":"), "a ':', a separator or the end is expected", in: bytes)
    region.used = try readNumber(in: bytes)
    try expect(UInt8(ascii: "/"), "a '/' is expected", in: bytes)
    region.group = try readNumber(in: bytes)
    return region
  }

  private func check(_ region: Region, in bytes: Span<UInt8>) throws(CPUMask.ParseError) {
    let (start, end, used, group) = (region.start, region.end, region.used, region.group)
    if start.value > end.value {
      throw fault(.invalid, at: start.offset, "the range ends before it starts", in: bytes)
    }
    if group.value == 0 {
      // Without a pattern the group stands where the end does: see `Region.init`.
      let reason =
        group.offset == end.offset ? "no CPU has that number" : "the group length is zero"
      throw fault(.invalid, at: group.offset, reason, in: bytes)
    }
    if used.value > group.value {
      throw fault(.invalid, at: used.offset, "more CPUs are used than the group has", in: bytes)
    }
    if end.value >= width {
      let reason = "CPU \(end.value) is not below the width \(width)"
      throw fault(.range, at: end.offset, reason, in: bytes)
    }
  }

  // MARK: - Tokens

  /// The value of `N`; at width zero it wraps as in the kernel, and whatever uses it fails.
  private var last: UInt32 { width &- 1 }

  private mutating func readNumber(in bytes: Span<UInt8>) throws(CPUMask.ParseError) -> Token {
    let offset = position
    if position < bytes.count, bytes[position] == UInt8(ascii: "N") {
      position += 1
      return Token(value: last, offset: offset)
    }
    var value: UInt64 = 0
    while position < bytes.count {
      let digit = bytes[position] &- UInt8(ascii: "0")
      guard digit < 10 else { break }
      // Digits beyond the first that is too many are still part of the number, but not of its
      // value.
      if value <= UInt64(UInt32.max) { value = value * 10 + UInt64(digit) }
      position += 1
    }
    guard position > offset else {
      throw fault(.invalid, at: offset, "a number or N is expected", in: bytes)
    }
    guard let small = UInt32(exactly: value) else {
      throw fault(.overflow, at: offset, "the number does not fit 32 bits", in: bytes)
    }
    return Token(value: small, offset: offset)
  }

  private mutating func expect(
    _ byte: UInt8, _ reason: String, in bytes: Span<UInt8>
  ) throws(CPUMask.ParseError) {
    guard position < bytes.count, bytes[position] == byte else {
      throw fault(.invalid, at: position, reason, in: bytes)
    }
    position += 1
  }

  private func matchesAll(in bytes: Span<UInt8>) -> Bool {
    guard bytes.count - position >= 3 else { return false }
    // Setting bit 5 makes an ASCII letter lower case, and makes a letter of nothing else.
    return bytes[position] | 0x20 == UInt8(ascii: "a")
      && bytes[position + 1] | 0x20 == UInt8(ascii: "l")
      && bytes[position + 2] | 0x20 == UInt8(ascii: "l")
  }

  private mutating func endsRegion(in bytes: Span<UInt8>) -> Bool {
    guard position < bytes.count else { return true }
    guard Self.isSeparator(bytes[position]) else { return false }
    if bytes[position] == UInt8(ascii: "\n") { position = bytes.count }
    return true
  }

  private static func isSeparator(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: ",") || byte == UInt8(ascii: " ") || (9...13).contains(byte)
  }

  // MARK: - Faults

  private func fault(
    _ code: CPUMask.ParseError.Code, at offset: Int, _ reason: String, in bytes: Span<UInt8>
  ) -> CPUMask.ParseError {
    CPUMask.ParseError(code, at: offset, region: quotation(in: bytes), reason)
  }

  /// The text of the region, printable and short: a list may come from anywhere.
  private func quotation(in bytes: Span<UInt8>) -> String {
    var text = ""
    for index in regionStart..<bytes.count {
      let byte = bytes[index]
      if Self.isSeparator(byte) { break }
      if index - regionStart == 40 { return text + "…" }
      if (0x20..<0x7f).contains(byte) {
        text.unicodeScalars.append(Unicode.Scalar(byte))
      } else {
        text += "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
      }
    }
    return text
  }
}
