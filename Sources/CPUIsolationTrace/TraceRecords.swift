// SPDX-License-Identifier: Apache-2.0

/// The events of a recording in the order of their time stamps.
///
/// ```swift
/// var records = recording.records()
/// while let record = records.next() { print(record.timestamp) }
/// for error in records.damage { print(error) }
/// ```
///
/// Equal stamps come in the order of buffers, then of CPUs, then as they were recorded. A CPU whose
/// pages are damaged ends before the first bad one; the others go on. Only one page for each CPU is
/// in memory at a time.
///
/// - Progress: blocking: reads the file
/// - Context: any thread
/// - Allocates: a page for each CPU
public struct TraceRecords: Sequence, IteratorProtocol, Sendable {
  private var streams: [TraceStream] = []
  /// A binary heap: the least is first.
  private var heap: [(timestamp: UInt64, stream: Int)] = []
  /// What could not be read; complete when `next` has returned nil.
  public private(set) var damage: [TraceFileError] = []

  init(_ streams: [TraceStream]) {
    self.streams = streams
    for index in streams.indices { advance(index) }
  }

  /// The next event.
  ///
  /// `while let record = records.next() { … }`
  ///
  /// - Progress: blocking: reads the file
  /// - Context: any thread
  /// - Allocates: a page, when one is used up
  public mutating func next() -> TraceRecord? {
    guard let least = heap.first else { return nil }
    let record = streams[least.stream].record
    replaceFirst(with: heap.removeLast())
    advance(least.stream)
    return record
  }

  private mutating func advance(_ index: Int) {
    do {
      guard let timestamp = try streams[index].advance() else { return }
      push((timestamp, index))
    } catch {
      damage.append(error)
    }
  }

  private typealias Head = (timestamp: UInt64, stream: Int)

  private func isBefore(_ a: Head, _ b: Head) -> Bool {
    a.timestamp != b.timestamp ? a.timestamp < b.timestamp : a.stream < b.stream
  }

  private mutating func push(_ head: Head) {
    heap.append(head)
    var child = heap.count - 1
    while child > 0, isBefore(heap[child], heap[(child - 1) / 2]) {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  private mutating func replaceFirst(with last: Head) {
    guard !heap.isEmpty else { return }
    heap[0] = last
    var parent = 0
    while true {
      let children = [2 * parent + 1, 2 * parent + 2].filter { $0 < heap.count }
      guard let least = children.min(by: { isBefore(heap[$0], heap[$1]) }),
        isBefore(heap[least], heap[parent])
      else { return }
      heap.swapAt(least, parent)
      parent = least
    }
  }
}

/// Where the pages of one CPU lie.
struct TracePages: Sendable {
  let source: TraceSource
  let offset: UInt64
  let size: UInt64
  let layout: TracePageLayout

  /// The page that begins so many bytes behind the first; nil behind the last.
  func page(at position: UInt64) throws(TraceFileError) -> TracePage? {
    guard position < size else { return nil }
    let (start, overflow) = offset.addingReportingOverflow(position)
    guard !overflow else {
      throw source.error(.damaged, at: offset, "the pages of a CPU lie outside of any file")
    }
    let wanted = Int(min(UInt64(layout.pageSize), size - position))
    let bytes = try source.read(at: start, count: wanted)
    guard bytes.count == wanted else {
      throw source.error(
        .truncated, at: min(start + UInt64(bytes.count), source.size),
        "the file ends here; the pages of a CPU go on to byte \(offset &+ size)")
    }
    guard bytes.count == layout.pageSize else {
      throw source.error(
        .damaged, at: start, "a page of \(bytes.count) bytes, where all have \(layout.pageSize)")
    }
    do {
      return try TracePage(bytes, layout: layout)
    } catch {
      throw source.error(.damaged, at: start + UInt64(error.offset), error.reason)
    }
  }

  /// How many bytes of whole, undamaged pages there are, and what is wrong behind them.
  func intactSize() -> (size: UInt64, damage: TraceFileError?) {
    var position: UInt64 = 0
    do {
      while try page(at: position) != nil { position += UInt64(layout.pageSize) }
    } catch {
      return (position, error)
    }
    return (position, nil)
  }
}

/// One CPU's events, page by page.
struct TraceStream: Sendable {
  let pages: TracePages
  let buffer: Int
  let cpu: Int
  private let timeOffset: UInt64
  private var position: UInt64 = 0
  private var page: TracePage?
  private var index = 0
  private(set) var record: TraceRecord?

  init(_ pages: TracePages, buffer: Int, cpu: Int, timeOffset: Int64 = 0) {
    self.pages = pages
    self.buffer = buffer
    self.cpu = cpu
    self.timeOffset = UInt64(bitPattern: timeOffset)
  }

  /// Steps to the next event and returns its time.
  mutating func advance() throws(TraceFileError) -> UInt64? {
    index += 1
    while index >= page?.events.count ?? 0 {
      guard let next = try pages.page(at: position) else {
        record = nil
        return nil
      }
      page = next
      index = 0
      position += UInt64(pages.layout.pageSize)
    }
    guard let page else { return nil }
    let event = page.events[index]
    let timestamp = event.timestamp &+ timeOffset
    record = TraceRecord(
      timestamp: timestamp, cpu: cpu, buffer: buffer, loss: index == 0 ? page.loss : nil,
      page: page.bytes, range: event.payload)
    return timestamp
  }
}
