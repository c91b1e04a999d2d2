// SPDX-License-Identifier: Apache-2.0

import Testing

/// A message of protobuf, field by field, as its wire format has it.
struct ProtobufReading {
  enum Value {
    case number(UInt64)
    case bytes(ArraySlice<UInt8>)
  }
  private(set) var fields: [(field: Int, value: Value)] = []

  init(_ bytes: ArraySlice<UInt8>) throws {
    var rest = bytes
    func varint() throws -> UInt64 {
      var value: UInt64 = 0
      for shift in stride(from: 0, to: 64, by: 7) {
        let next = rest.popFirst()
        let byte = try #require(next)
        value |= UInt64(byte & 0x7f) << UInt64(shift)
        if byte < 0x80 { break }
      }
      return value
    }
    while !rest.isEmpty {
      let tag = try varint()
      switch tag & 7 {
      case 0: fields.append((Int(tag >> 3), .number(try varint())))
      case 1:
        try #require(rest.count >= 8)
        let value = rest.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        rest = rest.dropFirst(8)
        fields.append((Int(tag >> 3), .number(value)))
      default:
        try #require(tag & 7 == 2)
        let length = Int(try varint())
        try #require(rest.count >= length)
        fields.append((Int(tag >> 3), .bytes(rest.prefix(length))))
        rest = rest.dropFirst(length)
      }
    }
  }

  func numbers(_ field: Int) -> [UInt64] {
    fields.compactMap { entry in
      if entry.field == field, case .number(let value) = entry.value { value } else { nil }
    }
  }

  func number(_ field: Int) -> UInt64? { numbers(field).first }

  func messages(_ field: Int) throws -> [ProtobufReading] {
    try fields.compactMap { entry in
      guard entry.field == field, case .bytes(let bytes) = entry.value else { return nil }
      return try ProtobufReading(bytes)
    }
  }

  func text(_ field: Int) -> String? {
    for entry in fields where entry.field == field {
      if case .bytes(let bytes) = entry.value { return String(decoding: bytes, as: UTF8.self) }
    }
    return nil
  }
}
