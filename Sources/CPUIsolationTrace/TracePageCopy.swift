// SPDX-License-Identifier: Apache-2.0

/// The pages of one CPU for a file that is written: as they are, or made of the events that are
/// selected.
struct TracePageCopy {
  /// What is wrong with the pages that were read: they end before it.
  private(set) var damage: TraceFileError?
  private var source: Source
  private var isAtEnd = false

  private enum Source {
    case pages(TracePageReader, TracePage)
    case events(TraceStream, TracePageEncoder, left: Int)
  }

  init(of pages: TracePages) { source = .pages(TracePageReader(pages), TracePage()) }

  /// - Parameter limit: how many events are taken at most.
  init(of stream: TraceStream, limit: Int, _ layout: TracePageLayout) {
    source = .events(stream, TracePageEncoder(layout: layout), left: limit)
  }

  /// Whole pages; nil at the end.
  mutating func next() -> [UInt8]? {
    guard !isAtEnd else { return nil }
    let pages: [UInt8]
    switch source {
    case .pages(var reader, var page):
      pages = copy(&reader, &page)
      source = .pages(reader, page)
    case .events(var stream, var encoder, var left):
      pages = encode(&stream, &encoder, &left)
      source = .events(stream, encoder, left: left)
    }
    return pages.isEmpty ? nil : pages
  }

  private mutating func copy(_ reader: inout TracePageReader, _ page: inout TracePage) -> [UInt8] {
    var intact = 0
    var window: [UInt8] = []
    do {
      guard let next = try reader.next() else {
        isAtEnd = true
        return []
      }
      window = next
      while intact < window.count {
        try reader.decode(&page, in: window, at: intact)
        intact += reader.pages.layout.pageSize
      }
    } catch {
      damage = error
      isAtEnd = true
    }
    return intact == window.count ? window : Array(window[..<intact])
  }

  private mutating func encode(
    _ stream: inout TraceStream, _ encoder: inout TracePageEncoder, _ left: inout Int
  ) -> [UInt8] {
    do {
      while encoder.closedCount < 1 << 16 {
        guard left > 0, try stream.advance() != nil, let record = stream.record else {
          isAtEnd = true
          break
        }
        left -= 1
        if let loss = record.loss { encoder.lose(loss) }
        encoder.append(timestamp: record.timestamp, payload: Array(record.payload))
      }
    } catch {
      damage = error
      isAtEnd = true
    }
    return isAtEnd ? encoder.pages : encoder.takeClosed()
  }
}

extension TraceRecording {
  /// Whether a file of it cannot have the pages as they are.
  var needsEncoding: Bool { selection != nil || buffers[0].layout.order == .big }

  /// The pages of every CPU that has some, buffer by buffer.
  func pageCopies() -> [(buffer: Int, cpu: Int, pages: TracePageCopy)] {
    guard needsEncoding else {
      return buffers.enumerated().flatMap { index, buffer in
        buffer.pages().map { (index, $0.cpu, TracePageCopy(of: $0.pages)) }
      }
    }
    // The earliest of all CPUs are those that come first in the order of time.
    var counts: [[Int]]?
    if selection?.limit != nil {
      var taken = buffers.map { _ in [Int](repeating: 0, count: cpuCount) }
      for record in records() { taken[record.buffer][record.cpu] += 1 }
      counts = taken
    }
    return streams().map { stream in
      var layout = buffers[stream.buffer].layout
      layout.order = .little
      let limit = counts?[stream.buffer][stream.cpu] ?? Int.max
      return (stream.buffer, stream.cpu, TracePageCopy(of: stream, limit: limit, layout))
    }
  }
}
