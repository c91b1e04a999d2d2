// SPDX-License-Identifier: Apache-2.0

/// Where the pages of one CPU lie.
struct TracePages: Sendable {
  let source: TraceSource
  let offset: UInt64
  let size: UInt64
  let layout: TracePageLayout
  /// How they are compressed: in chunks of whole pages, after the number of the chunks.
  var compression = TraceCompression.none
}

/// Takes the pages of one CPU from the file, several at once.
struct TracePageReader: Sendable {
  let pages: TracePages
  private let pagesAtOnce: Int
  /// How many bytes of the file are taken.
  private var position: UInt64 = 0
  /// Where what was taken last begins in the file.
  private var place: UInt64 = 0
  private var chunks: UInt32?

  /// - Parameter readers: how many there are: together they hold a few megabytes.
  init(_ pages: TracePages, among readers: Int = 1) {
    self.pages = pages
    let share = Self.memory / max(readers, 1) / pages.layout.pageSize
    pagesAtOnce = min(max(share, 1), Self.mostBytes / pages.layout.pageSize + 1)
  }

  private static let memory = 1 << 22
  private static let mostBytes = 1 << 16

  /// Whole pages; nil at the end.
  mutating func next() throws(TraceFileError) -> [UInt8]? {
    pages.compression == .none ? try plain() : try chunk()
  }

  /// Finds the events of a page of what was taken last.
  func decode(
    _ page: inout TracePage, in window: [UInt8], at start: Int
  ) throws(TraceFileError) {
    do {
      try unsafe page.decode(window.span.bytes, at: start, pages.layout)
    } catch {
      guard pages.compression == .none else {
        throw pages.source.error(
          .damaged, at: place,
          "\(error.reason) (byte \(start + error.offset) of what is compressed here)")
      }
      throw pages.source.error(.damaged, at: place + UInt64(start + error.offset), error.reason)
    }
  }

  private mutating func plain() throws(TraceFileError) -> [UInt8]? {
    guard position < pages.size else { return nil }
    let pageSize = pages.layout.pageSize
    place = try self.place(position)
    let wanted = Int(min(UInt64(pageSize * pagesAtOnce), pages.size - position))
    var bytes = try pages.source.read(at: place, count: wanted)
    let excess = bytes.count % pageSize
    guard bytes.count > excess else {
      guard bytes.count == wanted else { throw endOfFile(place + UInt64(bytes.count)) }
      throw pages.source.error(
        .damaged, at: place, "a page of \(wanted) bytes, where all have \(pageSize)")
    }
    bytes.removeLast(excess)
    position += UInt64(bytes.count)
    return bytes
  }

  private mutating func chunk() throws(TraceFileError) -> [UInt8]? {
    if chunks == nil {
      chunks = try header(4).number(at: 0, pages.layout.order)
      position = 4
    }
    guard let left = chunks, left > 0 else { return nil }
    chunks = left - 1
    let head = try header(8)
    let compressed: UInt32 = head.number(at: 0, pages.layout.order)
    let claimed: UInt32 = head.number(at: 4, pages.layout.order)
    position += 8
    // The size of the pages does not count the number of the chunks.
    guard position + UInt64(compressed) <= pages.size.addingReportingOverflow(4).partialValue else {
      throw pages.source.error(
        .damaged, at: place,
        "a chunk of \(compressed) bytes; the pages of its CPU end after "
          + "\(pages.size - min(pages.size, position - 4))")
    }
    let start = try self.place(position)
    let bytes = try pages.source.read(at: start, count: Int(compressed))
    guard bytes.count == Int(compressed) else { throw endOfFile(start + UInt64(bytes.count)) }
    position += UInt64(compressed)
    return try decompressed(bytes, claimed: UInt64(claimed))
  }

  /// Nothing is allocated before what the chunk claims is known to be possible.
  private func decompressed(
    _ bytes: [UInt8], claimed: UInt64
  ) throws(TraceFileError) -> [UInt8] {
    let pageSize = UInt64(pages.layout.pageSize)
    guard claimed > 0, claimed % pageSize == 0,
      claimed <= min(TraceCompression.mostPagesInChunk * pageSize, TraceCompression.largestSection)
    else {
      throw pages.source.error(
        .damaged, at: place,
        "a chunk that claims \(claimed) bytes, which are not 1 to "
          + "\(TraceCompression.mostPagesInChunk) pages of \(pageSize)")
    }
    return try pages.compression.decompress(bytes, claimed, at: place, in: pages.source)
  }

  /// The next bytes of the file, which say what comes after them.
  private mutating func header(_ count: Int) throws(TraceFileError) -> [UInt8] {
    place = try self.place(position)
    let bytes = try pages.source.read(at: place, count: count)
    guard bytes.count == count else { throw endOfFile(place + UInt64(bytes.count)) }
    return bytes
  }

  private func place(_ position: UInt64) throws(TraceFileError) -> UInt64 {
    let (place, overflow) = pages.offset.addingReportingOverflow(position)
    guard !overflow, place <= UInt64(Int64.max) else {
      throw pages.source.error(
        .damaged, at: pages.offset, "the pages of a CPU lie outside of any file")
    }
    return place
  }

  private func endOfFile(_ place: UInt64) -> TraceFileError {
    pages.source.error(
      .truncated, at: min(place, pages.source.size),
      "the file ends here; the pages of a CPU go on to byte \(pages.offset &+ pages.size)")
  }
}

extension [UInt8] {
  /// Of bytes that were read whole.
  fileprivate func number<Number: TraceNumber>(at offset: Int, _ order: TraceByteOrder) -> Number {
    unsafe span.bytes.number(at: offset, order)!
  }
}
