// SPDX-License-Identifier: Apache-2.0

/// Writes fields of a message as protobuf has them on the wire.
///
/// ```swift
/// var message = ProtobufEncoder()
/// message.number(8, 150)
/// message.message(11) { $0.text(23, "drain") }
/// ```
///
/// - Source: protobuf.dev, Encoding.
struct ProtobufEncoder: Sendable {
  private(set) var bytes: [UInt8] = []

  private enum WireType: UInt64 {
    case varint = 0
    case fixed64 = 1
    case length = 2
  }

  mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }

  /// A field of an unsigned type, of `int64`, or of an enumeration.
  mutating func number(_ field: UInt64, _ value: UInt64) {
    tag(field, .varint)
    varint(value)
  }

  mutating func fixed(_ field: UInt64, _ value: UInt64) {
    tag(field, .fixed64)
    for byte in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * byte))) }
  }

  mutating func text(_ field: UInt64, _ text: String) {
    tag(field, .length)
    varint(UInt64(text.utf8.count))
    bytes += text.utf8
  }

  /// Fields that are encoded already.
  mutating func fields(_ fields: [UInt8]) { bytes += fields }

  /// A message that is encoded already.
  mutating func bytes(_ field: UInt64, _ message: [UInt8]) {
    tag(field, .length)
    varint(UInt64(message.count))
    bytes += message
  }

  /// A message within this one. Nearly all are shorter than 128 bytes, whose length is one byte;
  /// for others the body moves.
  mutating func message<Failure>(
    _ field: UInt64, _ body: (inout ProtobufEncoder) throws(Failure) -> Void
  ) throws(Failure) {
    tag(field, .length)
    let start = bytes.count
    bytes.append(0)
    try body(&self)
    var length = bytes.count - start - 1
    bytes[start] = UInt8(length & 0x7f)
    var place = start
    while length > 0x7f {
      length >>= 7
      bytes[place] |= 0x80
      place += 1
      bytes.insert(UInt8(length & 0x7f), at: place)
    }
  }

  private mutating func tag(_ field: UInt64, _ type: WireType) {
    varint(field << 3 | type.rawValue)
  }

  /// Seven bits a byte, the lowest first; the top bit says that more follow.
  private mutating func varint(_ value: UInt64) {
    var rest = value
    while rest > 0x7f {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}
