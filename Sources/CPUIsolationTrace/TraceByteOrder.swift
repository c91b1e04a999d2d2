// SPDX-License-Identifier: Apache-2.0

/// Which byte of a number stands first, on the machine that recorded.
enum TraceByteOrder: Sendable {
  case little, big
}

/// A number as a file may have it.
typealias TraceNumber = BitwiseCopyable & FixedWidthInteger & UnsignedInteger

extension RawSpan {
  /// nil where it does not lie within the bytes whole.
  func number<Number: TraceNumber>(
    _ type: Number.Type = Number.self, at offset: Int, _ order: TraceByteOrder = .little
  ) -> Number? {
    guard offset >= 0, offset <= byteCount - MemoryLayout<Number>.size else { return nil }
    // Safety: the bytes lie within the span, and every pattern of bits is a number.
    let value = unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: Number.self)
    return order == .little ? Number(littleEndian: value) : Number(bigEndian: value)
  }

  /// A number of 1, 2, 4 or 8 bytes; nil for other sizes, and outside.
  func unsigned(at offset: Int, size: Int, _ order: TraceByteOrder = .little) -> UInt64? {
    switch size {
    case 1: number(UInt8.self, at: offset).map { UInt64($0) }
    case 2: number(UInt16.self, at: offset, order).map { UInt64($0) }
    case 4: number(UInt32.self, at: offset, order).map { UInt64($0) }
    case 8: number(UInt64.self, at: offset, order)
    default: nil
    }
  }
}

extension [UInt8] {
  /// nil where it does not lie within the bytes whole.
  func littleEndian<Number: TraceNumber>(
    _ type: Number.Type = Number.self, at offset: Int
  ) -> Number? {
    // Safety: bytes have no padding that could be seen.
    unsafe span.bytes.number(at: offset)
  }
}

extension ArraySlice<UInt8> {
  /// nil where it does not lie within the bytes whole. `offset` counts from the first of them.
  func littleEndian<Number: TraceNumber>(
    _ type: Number.Type = Number.self, at offset: Int
  ) -> Number? {
    // Safety: bytes have no padding that could be seen.
    unsafe span.bytes.number(at: offset)
  }

  /// A number of 1, 2, 4 or 8 bytes; nil for other sizes, and outside.
  func unsigned(at offset: Int, size: Int) -> UInt64? {
    // Safety: bytes have no padding that could be seen.
    unsafe span.bytes.unsigned(at: offset, size: size)
  }
}
