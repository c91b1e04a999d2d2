// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension AddressSpace {
  /// Hands out ranges of page numbers, and takes them back in batches: one flush for many unmappings.
  ///
  ///     let unmapper = AddressSpace.LazyUnmapper(space, pages: 0..<1 << 20) { page, frame in free(frame) }
  ///     guard let pages = unmapper.reserve(16) else { … }
  ///     for (offset, frame) in frames.enumerated() {
  ///       _ = try space.map(pages.lowerBound + UInt64(offset), to: frame)
  ///     }
  ///     …
  ///     unmapper.unmap(pages)  // no flush: the batch is not full
  ///
  /// **A range is never handed out again, and a frame never released, before every CPU has dropped
  /// the old translations.** What was unmapped waits in a batch; a full batch is flushed as one, and
  /// goes back when every CPU has acknowledged that flush (`AddressSpace.Retirement`). An isolated CPU in user
  /// acknowledges by being there: it drops what it has before it looks again.
  ///
  /// Memory is bounded by `maximumPending` pages twice, one batch that fills and one that waits, each
  /// with what the range that fills it has too many: then `unmap` answers `full`, and the caller waits
  /// by `purge`, or does something else.
  ///
  /// After the lazy unmapping of Linux's vmalloc (mm/vmalloc.c, `lazy_max_pages`).
  ///
  /// - Progress: as each member says
  /// - Context: any thread, outside handlers
  /// - Allocates: lists, which grow to their bound
  public final class LazyUnmapper: Sendable {
    private let space: AddressSpace
    private let pages: Range<UInt64>
    private let maximumPending: Int
    private let release: @Sendable (_ page: UInt64, _ frame: UInt64) -> Void
    private let state: Lock<State>

    private struct State {
      /// What may be handed out, in order and apart.
      var free: [Range<UInt64>]
      var batch = Batch()
      /// The batch that was flushed, until every CPU has acknowledged that.
      var flight: Flight? = nil
      /// A thread looks at the flight, and has taken it out.
      var isLooking = false
    }

    private struct Batch {
      /// In order and apart, as what is free.
      var ranges: [Range<UInt64>] = []
      var retired: [Retired] = []
      var pages = 0
      var isUrgent = false
    }

    /// A flushed batch.
    // Sendable: whoever has taken it out of the state has it alone.
    private final class Flight: @unchecked Sendable {
      let ranges: [Range<UInt64>]
      let pages: Int
      var retirement: AddressSpace.Retirement

      init(_ batch: Batch, _ retirement: consuming AddressSpace.Retirement) {
        ranges = batch.ranges
        pages = batch.pages
        self.retirement = retirement
      }
    }

    /// An unmapper of the pages of a range, none of which is mapped.
    ///
    /// `release` gets each frame when it may be used again, on the thread of whoever noticed. With
    /// `maximumPending` nil, a batch is 8192 pages for each doubling of the number of CPUs, as in
    /// Linux: there 32 MiB.
    ///
    /// - Parameters:
    ///   - space: the address space, which it keeps.
    ///   - pages: pages that nothing else maps; one that is mapped ends the process with a
    ///     sentence.
    ///   - maximumPending: how many unmapped pages may wait before they are flushed together; nil
    ///     takes a figure for the number of CPUs.
    ///   - file: the caller's file, for messages and traces.
    ///   - line: the caller's line.
    ///   - release: gets the page and the frame.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: yes
    public init(
      _ space: AddressSpace, pages: Range<UInt64>, maximumPending: Int? = nil,
      file: StaticString = #fileID, line: UInt = #line,
      release: @escaping @Sendable (_ page: UInt64, _ frame: UInt64) -> Void
    ) {
      space.requirePages(pages, CallSite(file, line))
      if let maximumPending, maximumPending < 1 {
        misuse("a batch of lazy unmappings cannot be of \(maximumPending) pages", file, line)
      }
      let cpus = space.coordinator.cpus.count
      self.space = space
      self.pages = pages
      self.maximumPending = maximumPending ?? 8192 * (Int.bitWidth - cpus.leadingZeroBitCount)
      self.release = release
      state = Lock(State(free: pages.isEmpty ? [] : [pages]))
    }

    /// How many pages were unmapped and have not been given back.
    ///
    /// - Progress: blocking, for as long as another thread uses it
    /// - Context: any thread
    /// - Allocates: never
    public var pendingPages: Int {
      state.withLock { $0.batch.pages + ($0.flight?.pages ?? 0) }
    }

    /// Takes a range of so many pages that no CPU has a translation of; nil if there is none now.
    ///
    /// When there is none, `purge` may make one.
    ///
    /// - Parameters:
    ///   - count: how many pages, at least 1.
    ///   - file: the caller's file, for messages and traces.
    ///   - line: the caller's line.
    /// - Returns: the pages, to map and later to unmap; nil if there are none.
    /// - Progress: blocking, for as long as another thread uses it
    /// - Context: any thread, outside handlers
    /// - Allocates: as `release`
    public func reserve(
      _ count: UInt64, file: StaticString = #fileID, line: UInt = #line
    ) -> Range<UInt64>? {
      if count == 0 { misuse("a range of no pages was reserved", file, line) }
      if let range = take(count) { return range }
      _ = poll()
      return take(count)
    }

    private func take(_ count: UInt64) -> Range<UInt64>? {
      state.withLock { state in
        guard let index = state.free.firstIndex(where: { $0.upperBound - $0.lowerBound >= count })
        else { return nil }
        let found = state.free[index]
        let end = found.lowerBound + count
        if end == found.upperBound {
          state.free.remove(at: index)
        } else {
          state.free[index] = end..<found.upperBound
        }
        return found.lowerBound..<end
      }
    }

    /// Unmaps a range that was reserved, at once for the table, and later for the caches.
    ///
    /// - Parameters:
    ///   - pages: what `reserve` gave; pages that are not reserved end the process with a sentence.
    ///   - file: the caller's file, for messages and traces.
    ///   - line: the caller's line.
    /// - Returns: `.batched` or `.flushed`; `.full` where nothing was done.
    /// - Progress: blocking, for as long as another thread uses it
    /// - Context: any thread, outside handlers; in kernel it is a safe point
    /// - Allocates: two words per page that was mapped
    public func unmap(
      _ pages: Range<UInt64>, file: StaticString = #fileID, line: UInt = #line
    ) -> Outcome {
      let site = CallSite(file, line)
      space.requirePages(pages, site)
      let count = Int(clamping: pages.upperBound - pages.lowerBound)
      let hasRoom = state.withLock { state in
        if !isReserved(pages, state) {
          misuse("pages \(pages) were unmapped, but were not reserved", file, line)
        }
        guard state.batch.pages < maximumPending else { return false }
        space.retireLazily(pages, &state.batch.retired, &state.batch.isUrgent, site)
        Self.insert(pages, into: &state.batch.ranges)
        state.batch.pages += count
        return true
      }
      if !hasRoom {
        _ = poll()
        let isFlushed = flushIfFull(file, line)
        return isFlushed ? unmap(pages, file: file, line: line) : .full
      }
      return flushIfFull(file, line) ? .flushed : .batched
    }

    /// Sends the flush of the batch if it is full and no other is under way.
    private func flushIfFull(_ file: StaticString, _ line: UInt) -> Bool {
      flushBatch(ofAtLeast: maximumPending, file, line)
    }

    private func flushBatch(ofAtLeast pages: Int, _ file: StaticString, _ line: UInt) -> Bool {
      state.withLock { state in
        guard state.flight == nil, !state.isLooking, state.batch.pages >= max(1, pages) else {
          return false
        }
        let batch = state.batch
        state.batch = Batch()
        state.flight = Flight(
          batch,
          space.flush(
            batch.ranges, pages: batch.pages, batch.retired, isUrgent: batch.isUrgent, file, line))
        return true
      }
    }

    /// Gives back what every CPU has dropped; tells whether there was anything.
    ///
    /// - Progress: blocking, for as long as another thread uses it
    /// - Context: any thread, outside handlers
    /// - Allocates: as `release`
    public func poll() -> Bool { look { $0.poll(release) } }

    /// Flushes what is pending, and waits until every CPU has acknowledged it.
    ///
    /// - Parameters:
    ///   - timeout: how long to wait at most; nil waits for ever, and zero looks once.
    ///   - file: the caller's file, for messages and traces.
    ///   - line: the caller's line.
    /// - Returns: `.settled` when that has happened; else why not, and the CPUs that held it up.
    /// - Progress: blocking
    /// - Context: any thread, outside handlers; in kernel it is a safe point
    /// - Allocates: as `release`
    @discardableResult
    public func purge(
      timeout: Duration? = nil, file: StaticString = #fileID, line: UInt = #line
    ) -> WaitOutcome {
      let until = Deadline(after: timeout)
      var backoff = Backoff()
      while true {
        var end = WaitOutcome.settled
        _ = look { retirement in
          let left = timeout == nil ? nil : Duration.nanoseconds(Int64(clamping: until.remaining))
          end = retirement.wait(timeout: left, file: file, line: line, release)
          return end == .settled
        }
        _ = flushBatch(ofAtLeast: 1, file, line)
        if pendingPages == 0 { return .settled }
        if end != .settled { return end }
        // Another thread has the flight, or the next one has only been sent.
        if let end = space.coordinator.endOfWait(until, CPUMask()) { return end }
        CurrentThread.serveOwnCPU()
        backoff.wait()
      }
    }

    /// Has one thread at a time look at the flight; true if it is over.
    private func look(_ isOver: (inout AddressSpace.Retirement) -> Bool) -> Bool {
      let flight = state.withLock { state -> Flight? in
        if state.isLooking { return nil }
        state.isLooking = state.flight != nil
        return state.flight
      }
      guard let flight else { return false }
      let isOver = isOver(&flight.retirement)
      state.withLock { state in
        state.isLooking = false
        guard isOver else { return }
        state.flight = nil
        for range in flight.ranges { Self.insert(range, into: &state.free) }
      }
      return isOver
    }

    /// Whether the whole of a range was handed out, and no part of it was unmapped since: what came
    /// back twice would be handed out twice.
    private func isReserved(_ range: Range<UInt64>, _ state: borrowing State) -> Bool {
      if range.isEmpty { return true }
      if range.lowerBound < pages.lowerBound || range.upperBound > pages.upperBound { return false }
      return [state.free, state.batch.ranges, state.flight?.ranges ?? []].allSatisfy { ranges in
        let next = Self.index(of: range.lowerBound, in: ranges)
        return next == ranges.count || ranges[next].lowerBound >= range.upperBound
      }
    }

    /// Where the first range is that ends after a page.
    private static func index(of page: UInt64, in ranges: [Range<UInt64>]) -> Int {
      var (low, high) = (0, ranges.count)
      while low < high {
        let middle = (low + high) / 2
        if ranges[middle].upperBound > page { high = middle } else { low = middle + 1 }
      }
      return low
    }

    /// Puts a range where it belongs, and joins it to its neighbours.
    private static func insert(_ range: Range<UInt64>, into ranges: inout [Range<UInt64>]) {
      if range.isEmpty { return }
      var joined = range
      var index = index(of: range.lowerBound, in: ranges)
      if index < ranges.count, ranges[index].lowerBound == joined.upperBound {
        joined = joined.lowerBound..<ranges[index].upperBound
        ranges.remove(at: index)
      }
      if index > 0, ranges[index - 1].upperBound == joined.lowerBound {
        index -= 1
        joined = ranges[index].lowerBound..<joined.upperBound
        ranges.remove(at: index)
      }
      ranges.insert(joined, at: index)
    }
  }
}
