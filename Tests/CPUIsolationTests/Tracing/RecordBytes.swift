// SPDX-License-Identifier: Apache-2.0

@testable import CPUIsolation

/// A record in the making.
struct RecordBytes {
  var bytes: [UInt8]

  init(size: Int) { bytes = Array(repeating: 0, count: size) }

  mutating func set(_ number: some FixedWidthInteger, at offset: Int) {
    for index in 0..<number.bitWidth / 8 {
      bytes[offset + index] = UInt8(truncatingIfNeeded: number >> (8 * index))
    }
  }

  mutating func set(_ text: String, at offset: Int) {
    bytes.replaceSubrange(offset..<offset + text.utf8.count, with: text.utf8)
  }

  /// Appends bytes and lets a location word at `offset` lead to them.
  mutating func append(_ content: [UInt8], locatedAt offset: Int, relativeTo origin: Int = 0) {
    set(UInt32(content.count << 16 | (bytes.count - origin)), at: offset)
    bytes += content
  }

  mutating func append(_ mask: CPUMask, words: Int, locatedAt offset: Int) {
    var content = RecordBytes(size: 8 * words)
    for index in 0..<words { content.set(mask.word(at: index), at: 8 * index) }
    append(content.bytes, locatedAt: offset)
  }
}

extension TraceFilter {
  func matches(_ record: RecordBytes, cpu: Int = 0, comm: String = "") -> Bool {
    let name = Array(comm.utf8)
    return unsafe matches(record.bytes.span.bytes, cpu: cpu, taskName: name.span.bytes)
  }

  /// The answer, and the predicates asked for it in their order.
  func visited(by record: RecordBytes) -> (matches: Bool, visited: [Int]) {
    var visited: [Int] = []
    let matches = unsafe record.bytes.withUnsafeBytes { bytes in
      unsafe program.matches(
        FilterBytes(bytes), cpu: 0,
        taskName: FilterBytes(UnsafeRawBufferPointer(start: nil, count: 0)),
        visit: { visited.append($0) })
    }
    return (matches, visited)
  }
}
