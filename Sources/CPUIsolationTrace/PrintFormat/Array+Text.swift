// SPDX-License-Identifier: Apache-2.0

extension [UInt8] {
  /// Appends text that is known when this is compiled.
  @inline(__always)
  mutating func append(_ text: StaticString) {
    // Safety: a StaticString's bytes live as long as the process.
    unsafe append(
      contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  /// Appends a part of some text; what lies outside of it is left out.
  @inline(__always)
  mutating func append(_ text: [UInt8], _ range: Range<Int>) {
    let range = range.clamped(to: 0..<text.count)
    // Safety: the range is within the text, and nothing keeps the pointer.
    unsafe text.withUnsafeBufferPointer { unsafe append(contentsOf: $0[range]) }
  }

  /// Appends a part of some bytes; what lies outside of them is left out.
  @inline(__always)
  mutating func append(_ bytes: RawSpan, _ range: Range<Int>) {
    let range = range.clamped(to: 0..<bytes.byteCount)
    // Safety: the range is within the span, and nothing keeps the pointer.
    unsafe bytes.withUnsafeBytes { unsafe append(contentsOf: $0[range]) }
  }

  mutating func appendBlanks(_ count: Int) { appendRepeating(UInt8(ascii: " "), count) }

  mutating func appendRepeating(_ byte: UInt8, _ count: Int) {
    if count > 0 { append(contentsOf: repeatElement(byte, count: count)) }
  }

  // MARK: Numbers

  /// Digits of a number with blanks or zeros before them, up to `width`.
  @inline(__always)
  mutating func appendDecimal(_ value: UInt64, width: Int = 0, filler: UInt8 = UInt8(ascii: " ")) {
    if value < 10, width <= 1 {
      append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value))
      return
    }
    appendDigits(value, radix: 10, alpha: 0, width: width, filler: filler)
  }

  mutating func appendDecimal(_ value: Int64) {
    if value < 0 { append(UInt8(ascii: "-")) }
    appendDecimal(UInt64(value.magnitude))
  }

  /// Without `0x`.
  mutating func appendHexadecimal(_ value: UInt64, digits: Int = 0) {
    appendDigits(
      value, radix: 16, alpha: UInt8(ascii: "a") - 10, width: digits, filler: UInt8(ascii: "0"))
  }

  /// `alpha`: what a digit above 9 is added to.
  mutating func appendDigits(
    _ value: UInt64, radix: UInt64, alpha: UInt8, width: Int, filler: UInt8
  ) {
    var digits = InlineArray<24, UInt8>(repeating: 0)
    var start = 24
    var rest = value
    switch radix {
    case 10:
      while rest >= 10 {
        let quotient = rest / 10
        start -= 1
        digits[start] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest &- quotient &* 10)
        rest = quotient
      }
      start -= 1
      digits[start] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest)
    case 16, 8:
      let shift: UInt64 = radix == 16 ? 4 : 3
      repeat {
        let digit = UInt8(truncatingIfNeeded: rest & (radix &- 1))
        start -= 1
        digits[start] = digit < 10 ? UInt8(ascii: "0") &+ digit : alpha &+ digit
        rest &>>= shift
      } while rest != 0
    default: return
    }
    appendRepeating(filler, width &- (24 &- start))
    // Safety: the range is within the digits, and nothing keeps the pointer.
    unsafe digits.span.withUnsafeBufferPointer { unsafe append(contentsOf: $0[start..<24]) }
  }

  /// The two digits of a byte.
  mutating func appendByte(_ byte: UInt8, alpha: UInt8 = UInt8(ascii: "a") - 10) {
    for digit in [byte >> 4, byte & 15] {
      append(digit < 10 ? UInt8(ascii: "0") &+ digit : alpha &+ digit)
    }
  }

  // MARK: Fields

  /// Puts blanks before or after what was appended since `start`, and cuts it to `precision`.
  @inline(__always)
  mutating func finishField(from start: Int, width: Int, precision: Int?, isLeft: Bool) {
    if let precision, count - start > precision { removeLast(count - start - precision) }
    let missing = width - (count - start)
    guard missing > 0 else { return }
    if isLeft {
      appendBlanks(missing)
    } else {
      insert(contentsOf: repeatElement(UInt8(ascii: " "), count: missing), at: start)
    }
  }
}

extension RawSpan {
  /// A number of 1, 2, 4 or 8 bytes; 0 for other sizes, and where it does not lie within the bytes.
  @inline(__always)
  func number(at offset: Int, _ width: PrintWidth) -> UInt64 {
    guard offset >= 0, offset <= byteCount &- width.size else { return 0 }
    switch (width.size, width.isSigned) {
    case (1, false): return UInt64(load(UInt8.self, at: offset))
    case (1, true): return UInt64(bitPattern: Int64(load(Int8.self, at: offset)))
    case (2, false): return UInt64(UInt16(littleEndian: load(at: offset)))
    case (2, true): return UInt64(bitPattern: Int64(Int16(littleEndian: load(at: offset))))
    case (4, false): return UInt64(UInt32(littleEndian: load(at: offset)))
    case (4, true): return UInt64(bitPattern: Int64(Int32(littleEndian: load(at: offset))))
    case (8, _): return UInt64(littleEndian: load(at: offset))
    default: return 0
    }
  }

  @inline(__always)
  private func load<Number: FixedWidthInteger & BitwiseCopyable>(
    _ type: Number.Type = Number.self, at offset: Int
  ) -> Number {
    // Safety: every bit pattern is a number, and the caller looked whether it lies within the bytes.
    unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: Number.self)
  }

  func byte(at offset: Int) -> UInt8 {
    UInt8(truncatingIfNeeded: number(at: offset, PrintWidth(size: 1, isSigned: false)))
  }

  /// From `start` up to a zero byte, at most to `end`.
  @inline(__always)
  func text(from start: Int, to end: Int) -> Range<Int> {
    let end = Swift.min(end, byteCount)
    guard start >= 0, start < end else { return 0..<0 }
    // Safety: both ends are within the span.
    return unsafe withUnsafeBytes { bytes in
      var position = start
      while position < end, unsafe bytes[position] != 0 { position &+= 1 }
      return start..<position
    }
  }
}
