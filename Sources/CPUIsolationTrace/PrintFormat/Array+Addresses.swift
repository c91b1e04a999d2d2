// SPDX-License-Identifier: Apache-2.0

/// Network addresses and sets of bits, as the kernel's `%p` conversions print them.
extension [UInt8] {
  mutating func appendInternet4(
    _ record: RawSpan, at place: Int, isReversed: Bool, hasZeros: Bool
  ) {
    for index in 0..<4 {
      if index > 0 { append(UInt8(ascii: ".")) }
      let byte = record.byte(at: place + (isReversed ? 3 - index : index))
      appendDecimal(UInt64(byte), width: hasZeros ? 3 : 0, filler: UInt8(ascii: "0"))
    }
  }

  mutating func appendInternet6(
    _ record: RawSpan, at place: Int, isCompressed: Bool, hasColons: Bool
  ) {
    guard isCompressed else {
      for index in 0..<16 {
        if hasColons, index > 0, index % 2 == 0 { append(UInt8(ascii: ":")) }
        appendByte(record.byte(at: place + index))
      }
      return
    }
    func group(_ index: Int) -> UInt64 {
      UInt64(record.byte(at: place + 2 * index)) << 8
        | UInt64(record.byte(at: place + 2 * index + 1))
    }
    let isMapped = (0..<5).allSatisfy { group($0) == 0 } && group(5) == 0xffff
    // An address of ISATAP has 5efe in its third quarter, in any of two forms.
    let isTunnel = group(4) & 0xfdff == 0 && group(5) == 0x5efe
    let groups = isMapped || isTunnel ? 6 : 8
    // The longest run of zeros, the first of equal ones; one alone is written out.
    var longest = 0..<0
    var start = 0
    for index in 0...groups {
      if index < groups, group(index) == 0 { continue }
      if index - start > Swift.max(longest.count, 1) { longest = start..<index }
      start = index + 1
    }
    var needsColon = false
    var index = 0
    while index < groups {
      if index == longest.lowerBound, !longest.isEmpty {
        if needsColon || index == 0 { append(UInt8(ascii: ":")) }
        append(UInt8(ascii: ":"))
        needsColon = false
        index = longest.upperBound
        continue
      }
      if needsColon { append(UInt8(ascii: ":")) }
      needsColon = true
      appendHexadecimal(group(index))
      index += 1
    }
    guard groups == 6 else { return }
    if needsColon { append(UInt8(ascii: ":")) }
    appendInternet4(record, at: place + 12, isReversed: false, hasZeros: false)
  }

  /// A `struct sockaddr` of either family.
  mutating func appendSocket(
    _ record: RawSpan, at place: Int, _ parts: PrintPointer.SocketParts
  ) {
    func port() -> UInt64 {
      UInt64(record.byte(at: place + 2)) << 8 | UInt64(record.byte(at: place + 3))
    }
    switch record.number(at: place, PrintWidth(size: 2, isSigned: false)) {
    case 2:
      appendInternet4(record, at: place + 4, isReversed: false, hasZeros: false)
      if parts.contains(.port) {
        append(UInt8(ascii: ":"))
        appendDecimal(port())
      }
    case 10:
      let hasMore = !parts.isDisjoint(with: [.port, .flow, .scope])
      if hasMore { append(UInt8(ascii: "[")) }
      appendInternet6(
        record, at: place + 8, isCompressed: parts.contains(.compressed), hasColons: true)
      if hasMore { append(UInt8(ascii: "]")) }
      if parts.contains(.port) {
        append(UInt8(ascii: ":"))
        appendDecimal(port())
      }
      if parts.contains(.flow) {
        append(UInt8(ascii: "/"))
        var flow: UInt64 = 0
        for index in 4..<8 { flow = flow << 8 | UInt64(record.byte(at: place + index)) }
        // The low 28 bits, which are the label and the class.
        appendDecimal(flow & 0xfff_ffff)
      }
      if parts.contains(.scope) {
        append(UInt8(ascii: "%"))
        appendDecimal(record.number(at: place + 24, PrintWidth(size: 4, isSigned: false)))
      }
    default: append("(einval)")
    }
  }

  // MARK: Bits

  /// `0-3,7`, or hexadecimal digits with the most significant first and a comma between words of 32
  /// bits.
  mutating func appendBits(_ record: RawSpan, at place: Int, count: Int, isList: Bool) {
    let count = Swift.max(0, Swift.min(count, (record.byteCount - Swift.max(0, place)) * 8))
    func byte(_ index: Int) -> UInt8 {
      let byte = record.byte(at: place + index)
      let left = count - index * 8
      return left >= 8 ? byte : left <= 0 ? 0 : byte & (1 << left - 1)
    }
    guard isList else {
      var word = (count + 31) / 32
      var digits = ((count - 1) % 32) / 4 + 1
      while word > 0 {
        word -= 1
        var value: UInt64 = 0
        for index in (0..<4).reversed() { value = value << 8 | UInt64(byte(word * 4 + index)) }
        appendHexadecimal(value, digits: digits)
        digits = 8
        if word > 0 { append(UInt8(ascii: ",")) }
      }
      return
    }
    var isFirst = true
    var bit = 0
    while bit < count {
      guard byte(bit / 8) != 0 else {
        bit = (bit / 8 + 1) * 8
        continue
      }
      guard byte(bit / 8) >> (bit % 8) & 1 == 1 else {
        bit += 1
        continue
      }
      let start = bit
      while bit < count, byte(bit / 8) >> (bit % 8) & 1 == 1 { bit += 1 }
      if !isFirst { append(UInt8(ascii: ",")) }
      isFirst = false
      appendDecimal(UInt64(start))
      if bit - 1 > start {
        append(UInt8(ascii: "-"))
        appendDecimal(UInt64(bit - 1))
      }
    }
  }

  /// A byte as `%pE` shows it: letters as they are, others by an escape of C.
  mutating func appendEscaped(_ byte: UInt8) {
    let escapes: [UInt8: UInt8] = [
      10: UInt8(ascii: "n"), 13: UInt8(ascii: "r"), 9: UInt8(ascii: "t"), 11: UInt8(ascii: "v"),
      12: UInt8(ascii: "f"), 7: UInt8(ascii: "a"), 27: UInt8(ascii: "e"), 0: UInt8(ascii: "0"),
    ]
    if (0x20...0x7e).contains(byte) {
      append(byte)
      return
    }
    append(UInt8(ascii: "\\"))
    if let letter = escapes[byte] {
      append(letter)
    } else {
      appendDigits(UInt64(byte), radix: 8, alpha: 0, width: 3, filler: UInt8(ascii: "0"))
    }
  }
}
