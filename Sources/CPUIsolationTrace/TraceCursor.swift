// SPDX-License-Identifier: Apache-2.0

/// Reads the parts of a trace file one after the other; every error names the byte.
struct TraceCursor {
  let source: TraceSource
  private(set) var offset: UInt64
  /// Nothing at or after this is read.
  private(set) var end: UInt64
  var order = TraceByteOrder.little
  /// Where the source stands in the file, if it is a section that was compressed there.
  private let place: UInt64?
  private var window: [UInt8] = []
  private var windowStart: UInt64 = 0

  private static let windowSize = 1 << 16

  init(_ source: TraceSource) {
    self.source = source
    offset = 0
    end = source.size
    place = nil
  }

  /// Of what a compressed section holds. Errors name the section's place in the file.
  init(decompressed bytes: [UInt8], at place: UInt64, in file: TraceSource, _ order: TraceByteOrder)
  {
    source = TraceSource(bytes: bytes, name: file.name)
    offset = 0
    end = source.size
    self.place = place
    self.order = order
  }

  func error(
    _ code: TraceFileError.Code, at offset: UInt64, _ reason: String
  ) -> TraceFileError {
    guard let place else { return source.error(code, at: offset, reason) }
    // What was decompressed is whole: too short can only be damage.
    return source.error(
      .damaged, at: place, "\(reason) (byte \(offset) of what is compressed here)")
  }

  mutating func seek(to offset: UInt64) { self.offset = offset }

  /// Steps over so many bytes, and returns what reads them alone.
  mutating func part(_ count: UInt64, of what: String) throws(TraceFileError) -> TraceCursor {
    try demand(count, what)
    var part = self
    part.end = offset + count
    offset += count
    return part
  }

  /// All that is left of a part.
  mutating func rest(of what: String) throws(TraceFileError) -> [UInt8] {
    try bytes(end - min(offset, end), of: what)
  }

  /// Reads on elsewhere in the same file.
  func moved(to offset: UInt64) -> TraceCursor {
    var moved = self
    moved.end = source.size
    moved.offset = offset
    return moved
  }

  /// The size is looked at before anything is allocated: a damaged file may claim any.
  mutating func bytes(_ count: UInt64, of what: String) throws(TraceFileError) -> [UInt8] {
    try demand(count, what)
    if count > UInt64(Self.windowSize) {
      let result = try source.read(at: offset, count: Int(count))
      try demand(Int(count), of: result, what)
      offset += count
      return result
    }
    let start = try fill(Int(count), what)
    return Array(window[start..<start + Int(count)])
  }

  private func demand(_ count: UInt64, _ what: String) throws(TraceFileError) {
    guard offset <= end else {
      throw error(.truncated, at: end, "\(what) would be at byte \(offset)")
    }
    guard count <= end - offset else {
      throw error(.truncated, at: offset, "\(what) needs \(count) bytes; there are \(end - offset)")
    }
  }

  /// The file may have become shorter since its size was asked.
  private func demand(
    _ count: Int, of bytes: [UInt8], _ what: String
  ) throws(TraceFileError) {
    guard bytes.count < count else { return }
    throw error(
      .truncated, at: offset, "\(what) needs \(count) bytes; there are \(bytes.count)")
  }

  /// Steps over so many bytes, and returns where in the window they begin.
  private mutating func fill(_ count: Int, _ what: String) throws(TraceFileError) -> Int {
    if offset < windowStart || offset + UInt64(count) > windowStart + UInt64(window.count) {
      window = try source.read(at: offset, count: Self.windowSize)
      windowStart = offset
      try demand(count, of: window, what)
    }
    defer { offset += UInt64(count) }
    return Int(offset - windowStart)
  }

  mutating func number<Number: TraceNumber>(
    _ what: String
  ) throws(TraceFileError) -> Number {
    let size = MemoryLayout<Number>.size
    try demand(UInt64(size), what)
    let start = try fill(size, what)
    return unsafe window.span.bytes.number(at: start, order)!
  }

  mutating func number<Number: TraceNumber>(
    _ type: Number.Type, _ what: String
  ) throws(TraceFileError) -> Number {
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
    throw error(.damaged, at: start, "\(what) does not end within \(limit) bytes")
  }

  /// Fixed text that the format demands here.
  mutating func expect(_ text: String, of what: String) throws(TraceFileError) {
    let start = offset
    let found = try bytes(UInt64(text.utf8.count), of: what)
    guard found.elementsEqual(text.utf8) else {
      throw error(.damaged, at: start, "\(what) does not begin here")
    }
  }
}
