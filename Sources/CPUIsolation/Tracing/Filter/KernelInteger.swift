// SPDX-License-Identifier: Apache-2.0

// The kernel's notion of a number in a text: `0x` before is hexadecimal, any other leading zero
// octal, and the whole text has to be the number.

extension UInt64 {
  /// Reads an unsigned number, or returns `nil` if it is none or does not fit.
  ///
  /// - Source: `kstrtoull` with base 0 (lib/kstrtox.c, Linux).
  init?(kernel text: ArraySlice<UInt8>) {
    var digits = text
    var radix: UInt64 = 10
    if digits.first == UInt8(ascii: "0") {
      let second = digits.dropFirst().first ?? 0
      let isHexadecimal =
        second | 0x20 == UInt8(ascii: "x")
        && digits.dropFirst(2).first.flatMap(Self.digit).map { $0 < 16 } == true
      radix = isHexadecimal ? 16 : 8
      if isHexadecimal { digits = digits.dropFirst(2) }
    }
    guard !digits.isEmpty else { return nil }
    var value: UInt64 = 0
    for byte in digits {
      guard let digit = Self.digit(byte), digit < radix else { return nil }
      let (product, isTooLarge) = value.multipliedReportingOverflow(by: radix)
      let (sum, carries) = product.addingReportingOverflow(digit)
      guard !isTooLarge, !carries else { return nil }
      value = sum
    }
    self = value
  }

  private static func digit(_ byte: UInt8) -> UInt64? {
    if FilterText.isDigit(byte) { return UInt64(byte - UInt8(ascii: "0")) }
    let letter = (byte | 0x20) &- UInt8(ascii: "a")
    return byte < 0x80 && letter < 6 ? UInt64(letter) + 10 : nil
  }
}

extension Int64 {
  /// Reads a signed number, or returns `nil` if it is none or does not fit.
  ///
  /// - Source: `kstrtoll` with base 0 (lib/kstrtox.c, Linux).
  init?(kernel text: ArraySlice<UInt8>) {
    let isNegative = text.first == UInt8(ascii: "-")
    guard let magnitude = UInt64(kernel: isNegative ? text.dropFirst() : text) else { return nil }
    guard isNegative else {
      self.init(exactly: magnitude)
      return
    }
    guard magnitude <= Int64.min.magnitude else { return nil }
    self.init(truncatingIfNeeded: 0 &- magnitude)
  }
}
