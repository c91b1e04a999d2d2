// SPDX-License-Identifier: Apache-2.0

/// Makes the pages of one CPU, event by event.
struct TracePageEncoder: Sendable {
  let layout: TracePageLayout
  private var closed: [UInt8] = []
  /// The events of the page at hand, without the page's head.
  private var open: [UInt8] = []
  private var openStamp: UInt64 = 0
  private var openLoss: TraceLoss?
  private var last: UInt64 = 0

  init(layout: TracePageLayout) { self.layout = layout }

  /// The longest payload that a page takes beside the event's head, two words, and the count of the
  /// lost.
  static func maximumPayload(_ layout: TracePageLayout) -> Int {
    (layout.capacity - 8 - layout.longSize) & ~3
  }

  var isEmpty: Bool { closed.isEmpty && open.isEmpty }

  /// The payload is filled up with zeros to whole words.
  mutating func append(timestamp: UInt64, payload: [UInt8]) {
    let length = (payload.count + 3) & ~3
    precondition(length >= 4 && length <= Self.maximumPayload(layout))
    let isLong = length > Int(TracePageLayout.Kind.maximumWords) * 4
    // A page may need room after its events for the count of the lost.
    let room = layout.capacity - layout.longSize - open.count
    // After another event there may have to be a time stamp first.
    if !open.isEmpty, 8 + (isLong ? 8 : 4) + length > room { close() }
    if !open.isEmpty { reach(timestamp) }
    var delta: UInt64 = 0
    if open.isEmpty {
      openStamp = timestamp
    } else {
      delta = timestamp &- last
    }
    last = timestamp
    let head = UInt32(delta) << 5
    if isLong {
      open.appendLittleEndian(head | TracePageLayout.Kind.longData)
      open.appendLittleEndian(UInt32(length + 4))
    } else {
      open.appendLittleEndian(head | UInt32(length / 4))
    }
    open += payload
    open.appendZeros(length - payload.count)
  }

  /// Brings the time near enough for an event's 27 bits of difference.
  private mutating func reach(_ timestamp: UInt64) {
    let deltaBits = TracePageLayout.deltaBits
    let mask = UInt64(1) << deltaBits - 1
    func pair(_ kind: UInt32, _ value: UInt64) {
      open.appendLittleEndian(UInt32(value & mask) << 5 | kind)
      open.appendLittleEndian(UInt32(value >> deltaBits))
      last = timestamp
    }
    let stampBits = TracePageLayout.stampBits
    if timestamp >= last, timestamp - last <= mask { return }
    if timestamp >= last, (timestamp - last) >> stampBits == 0 {
      pair(TracePageLayout.Kind.timeExtend, timestamp - last)
    } else if timestamp >> stampBits == last >> stampBits {
      // Back in time: a difference cannot say that, a whole stamp can.
      pair(TracePageLayout.Kind.timeStamp, timestamp & (UInt64(1) << stampBits - 1))
    } else {
      close()
    }
  }

  /// Only the first event of a page can say that something is missing before it.
  mutating func lose(_ loss: TraceLoss) {
    if !open.isEmpty { close() }
    openLoss = openLoss.map { $0.adding(loss) } ?? loss
  }

  private mutating func close() {
    appendOpenPage(to: &closed)
    open.removeAll(keepingCapacity: true)
    openLoss = nil
  }

  private func appendOpenPage(to pages: inout [UInt8]) {
    pages.appendLittleEndian(openStamp)
    var commit = UInt64(open.count)
    var count: UInt64?
    switch openLoss {
    case nil: break
    case .unknown: commit |= TracePageLayout.lostFlag
    case .events(let number):
      commit |= TracePageLayout.lostFlag | TracePageLayout.lostCountFlag
      count = number
    }
    pages.appendLong(commit, size: layout.longSize)
    pages += open
    if let count { pages.appendLong(count, size: layout.longSize) }
    pages.appendZeros(layout.capacity - open.count - (count == nil ? 0 : layout.longSize))
  }

  var closedCount: Int { closed.count }

  /// The pages to which nothing is added any more. They are forgotten here.
  mutating func takeClosed() -> [UInt8] {
    defer { closed = [] }
    return closed
  }

  /// All pages that were not taken, the one at hand too.
  var pages: [UInt8] {
    guard !open.isEmpty else { return closed }
    var result = closed
    appendOpenPage(to: &result)
    return result
  }
}

extension [UInt8] {
  mutating func appendLittleEndian(_ value: some FixedWidthInteger & UnsignedInteger) {
    for index in 0..<value.bitWidth / 8 {
      append(UInt8(truncatingIfNeeded: value >> (8 * index)))
    }
  }

  mutating func appendLong(_ value: UInt64, size: Int) {
    if size == 4 {
      appendLittleEndian(UInt32(truncatingIfNeeded: value))
    } else {
      appendLittleEndian(value)
    }
  }

  mutating func appendZeros(_ count: Int) { append(contentsOf: repeatElement(0, count: count)) }

  /// Text and the zero byte that ends it.
  mutating func appendTerminated(_ text: String) {
    append(contentsOf: text.utf8)
    append(0)
  }
}
