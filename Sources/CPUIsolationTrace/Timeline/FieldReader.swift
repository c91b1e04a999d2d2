// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// Reads one field of an event's records. What is not in a record is 0 or empty.
struct FieldReader: Sendable {
  private let offset: Int
  private let size: Int
  private let isLocation: Bool
  private let isRelative: Bool

  init(_ field: TraceEventFormat.Field) {
    offset = field.offset
    size = field.size
    isLocation = field.isLocation
    isRelative = field.type.hasPrefix("__rel_loc")
  }

  /// The field of a format by the first of these names that it has.
  init?(_ format: TraceEventFormat, _ names: String...) {
    guard let field = names.lazy.compactMap({ format.field(named: $0) }).first else { return nil }
    self.init(field)
  }

  func number(_ record: TraceRecord) -> UInt64 {
    record.payload.unsigned(at: offset, size: size) ?? 0
  }

  /// What the field holds, or what its location word leads to.
  func bytes(_ record: TraceRecord) -> ArraySlice<UInt8> {
    let payload = record.payload
    var start = offset
    var length = size == 0 ? payload.count - offset : size
    if isLocation {
      guard let word = payload.unsigned(at: offset, size: size) else { return [] }
      start = Int(word & 0xffff) + (isRelative ? offset + size : 0)
      length = size == 2 ? payload.count - start : Int(word >> 16 & 0xffff)
    }
    guard start >= 0, length >= 0, start <= payload.count, length <= payload.count - start else {
      return []
    }
    return payload[payload.startIndex + start..<payload.startIndex + start + length]
  }

  func text(_ record: TraceRecord) -> String {
    String(decoding: bytes(record).prefix { $0 != 0 }, as: UTF8.self)
  }

  /// The numbers of the bits that are set.
  func cpus(_ record: TraceRecord) -> [Int] {
    let bytes = bytes(record)
    return bytes.indices.flatMap { index in
      (0..<8).filter { bytes[index] >> $0 & 1 == 1 }.map { (index - bytes.startIndex) * 8 + $0 }
    }
  }
}
