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
/// pages are damaged ends before the first bad one; the others go on. Only a few pages for each CPU
/// are in memory at a time.
///
/// - Progress: blocking: reads the file
/// - Context: any thread
/// - Allocates: some pages for each CPU
public struct TraceRecords: Sequence, IteratorProtocol, Sendable {
  private var streams: [TraceStream] = []
  /// A binary heap: the least is first.
  private var heap: [(timestamp: UInt64, stream: Int)] = []
  /// How many more are wanted.
  private var left: Int
  /// Where the last one came from.
  private var last = 0
  /// What could not be read; complete when `next` has returned nil.
  public private(set) var damage: [TraceFileError] = []

  init(_ streams: [TraceStream], limit: Int? = nil) {
    self.streams = streams
    left = limit ?? Int.max
    heap.reserveCapacity(streams.count)
    for index in streams.indices {
      if let timestamp = advance(index) { push((timestamp, index)) }
    }
  }

  /// When the next event is; nil at the end.
  var nextTimestamp: UInt64? { left > 0 ? heap.first?.timestamp : nil }

  /// The next event, which stays the next one.
  var upcoming: TraceRecord? { left > 0 ? heap.first.flatMap { streams[$0.stream].record } : nil }

  /// The next event of the CPU and buffer that the last one came from. Nothing is taken.
  func following(_ record: TraceRecord) -> TraceRecord? {
    guard left > 0, let next = streams[last].record, next.cpu == record.cpu,
      next.buffer == record.buffer
    else { return nil }
    return next
  }

  /// The next event.
  ///
  /// `while let record = records.next() { … }`
  ///
  /// - Progress: blocking: reads the file
  /// - Context: any thread
  /// - Allocates: some pages, when those at hand are used up
  public mutating func next() -> TraceRecord? {
    guard left > 0, let least = heap.first else { return nil }
    left -= 1
    last = least.stream
    let record = streams[least.stream].record
    if let timestamp = advance(least.stream) {
      heap[0].timestamp = timestamp
    } else if let last = heap.popLast(), !heap.isEmpty {
      heap[0] = last
    }
    sink()
    return record
  }

  private mutating func advance(_ index: Int) -> UInt64? {
    do {
      return try streams[index].advance()
    } catch {
      damage.append(error)
      return nil
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

  /// The first may have become later than others: it goes down to where it belongs.
  private mutating func sink() {
    var parent = 0
    while true {
      var least = 2 * parent + 1
      guard least < heap.count else { return }
      if least + 1 < heap.count, isBefore(heap[least + 1], heap[least]) { least += 1 }
      guard isBefore(heap[least], heap[parent]) else { return }
      heap.swapAt(least, parent)
      parent = least
    }
  }
}
