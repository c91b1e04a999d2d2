// SPDX-License-Identifier: Apache-2.0

/// Reads the parts of a trace file one behind the other; every error names the byte.
struct TraceCursor {
  let source: TraceSource
  private(set) var offset: UInt64
  /// Nothing at or behind this is read.
  let end: UInt64
  private var window: [UInt8] = []
  private var windowStart: UInt64 = 0

  private static let windowSize = 1 << 16

  init(_ source: TraceSource, at offset: UInt64 = 0, end: UInt64? = nil) {
    self.source = source
    self.offset = offset
    self.end = min(end ?? source.size, source.size)
  }

  mutating func seek(to offset: UInt64) { self.offset = offset }

  /// The size is looked at before anything is allocated: a damaged file may claim any.
  mutating func bytes(_ count: UInt64, of what: String) throws(TraceFileError) -> [UInt8] {
    guard offset <= end else {
      throw source.error(.truncated, at: end, "\(what) would be at byte \(offset)")
    }
    guard count <= end - offset else {
      throw source.error(
        .truncated, at: offset, "\(what) needs \(count) bytes; there are \(end - offset)")
    }
    let count = Int(count)
    if count > Self.windowSize {
      let result = try source.read(at: offset, count: count)
      try demand(count, of: result, what)
      offset += UInt64(count)
      return result
    }
    if offset < windowStart || offset + UInt64(count) > windowStart + UInt64(window.count) {
      window = try source.read(at: offset, count: Self.windowSize)
      windowStart = offset
      try demand(count, of: window, what)
    }
    let start = Int(offset - windowStart)
    offset += UInt64(count)
    return Array(window[start..<start + count])
  }

  /// The file may have become shorter since its size was asked.
  private func demand(
    _ count: Int, of bytes: [UInt8], _ what: String
  ) throws(TraceFileError) {
    guard bytes.count < count else { return }
    throw source.error(
      .truncated, at: offset, "\(what) needs \(count) bytes; there are \(bytes.count)")
  }

  mutating func number<Integer: FixedWidthInteger & UnsignedInteger>(
    _ what: String
  ) throws(TraceFileError) -> Integer {
    try bytes(UInt64(Integer.bitWidth / 8), of: what).littleEndian(at: 0)!
  }

  mutating func number<Integer: FixedWidthInteger & UnsignedInteger>(
    _ type: Integer.Type, _ what: String
  ) throws(TraceFileError) -> Integer {
    try number(what)
  }

  /// Text up to a zero byte.
  mutating func text(_ what: String, limit: Int = 4096) throws(TraceFileError) -> String {
    let start = offset
    var result: [UInt8] = []
    while result.count < limit {
      let byte: UInt8 = try number(what)
      if byte == 0 { return String(decoding: result, as: UTF8.self) }
      result.append(byte)
    }
    throw source.error(.damaged, at: start, "\(what) does not end within \(limit) bytes")
  }

  /// Fixed text that the format demands here.
  mutating func expect(_ text: String, of what: String) throws(TraceFileError) {
    let start = offset
    let found = try bytes(UInt64(text.utf8.count), of: what)
    guard found.elementsEqual(text.utf8) else {
      throw source.error(.damaged, at: start, "\(what) does not begin here")
    }
  }
}

extension Collection<UInt8> where Index == Int {
  /// nil where it does not lie within the bytes whole. `offset` counts from the first of them.
  func littleEndian<Integer: FixedWidthInteger & UnsignedInteger>(
    _ type: Integer.Type = Integer.self, at offset: Int
  ) -> Integer? {
    let size = Integer.bitWidth / 8
    guard offset >= 0, offset <= count, count - offset >= size else { return nil }
    var value: Integer = 0
    for index in (0..<size).reversed() {
      // UInt8 has no bits to shift by eight.
      value = size == 1 ? 0 : value << 8
      value |= Integer(truncatingIfNeeded: self[startIndex + offset + index])
    }
    return value
  }

  /// A number of 1, 2, 4 or 8 bytes; nil for other sizes, and outside.
  func unsigned(at offset: Int, size: Int) -> UInt64? {
    switch size {
    case 1: littleEndian(UInt8.self, at: offset).map { UInt64($0) }
    case 2: littleEndian(UInt16.self, at: offset).map { UInt64($0) }
    case 4: littleEndian(UInt32.self, at: offset).map { UInt64($0) }
    case 8: littleEndian(UInt64.self, at: offset)
    default: nil
    }
  }
}
