// SPDX-License-Identifier: Apache-2.0

/// One CPU's events, page by page.
struct TraceStream: Sendable {
  let buffer: Int
  let cpu: Int
  private var reader: TracePageReader
  private let times: TraceTimeConversion
  /// nil: every event.
  private let selection: TraceSelection?
  /// For pages of a big-endian machine.
  private let swapper: TracePayloadSwapper?
  private var window: [UInt8] = []
  private var nextPage = 0
  private var page = TracePage()
  private var index = 0
  /// What is missing before the next event that is selected.
  private var loss: TraceLoss?
  /// The current event; nil before the first and after the last.
  private(set) var record: TraceRecord?

  init(
    _ pages: TracePages, buffer: Int, cpu: Int, among streams: Int = 1,
    times: TraceTimeConversion = TraceTimeConversion(), selection: TraceSelection? = nil,
    swapper: TracePayloadSwapper? = nil
  ) {
    reader = TracePageReader(pages, among: streams)
    self.buffer = buffer
    self.cpu = cpu
    self.times = times
    self.selection = selection
    self.swapper = swapper
  }

  /// Steps to the next event and returns its time.
  mutating func advance() throws(TraceFileError) -> UInt64? {
    record = nil
    while true {
      index += 1
      while index >= page.events.count {
        guard try turnPage() else { return nil }
        index = 0
      }
      let event = page.events[index]
      let timestamp = times.converted(event.timestamp)
      if let selection,
        unsafe !selection.contains(
          window.span.bytes.extracting(event.payload), cpu: cpu, timestamp)
      {
        continue
      }
      record = TraceRecord(
        timestamp: timestamp, cpu: cpu, buffer: buffer, loss: loss, page: window,
        range: event.payload)
      loss = nil
      return timestamp
    }
  }

  private mutating func turnPage() throws(TraceFileError) -> Bool {
    if nextPage >= window.count {
      guard let next = try reader.next() else { return false }
      window = next
      nextPage = 0
    }
    try reader.decode(&page, in: window, at: nextPage)
    swapper?.swap(page.events, in: &window)
    nextPage += reader.pages.layout.pageSize
    if let more = page.loss { loss = loss.map { $0.adding(more) } ?? more }
    return true
  }
}

extension TraceLoss {
  /// What is missing altogether. A loss without a count takes the count away.
  func adding(_ more: TraceLoss) -> TraceLoss {
    guard case .events(let count) = self, case .events(let other) = more else { return .unknown }
    return .events(count &+ other)
  }
}
