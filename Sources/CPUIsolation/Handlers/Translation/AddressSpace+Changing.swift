// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension AddressSpace {
  /// How a mapping ended.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public enum MapOutcome: Hashable, Sendable {
    /// The page is mapped. No flush is needed: what is not mapped is not cached.
    case mapped
    /// The page, or a part of it, is mapped already; the frame tells what to.
    case occupied(frame: UInt64)
    /// The page was unmapped, and not every CPU has dropped it: a CPU that has not would go on with
    /// the old frame.
    case retiring
  }

  /// Maps a page. What the frames hold was written before, and is seen by whoever finds them.
  ///
  ///     guard try space.map(7, to: frame) == .mapped else { … }
  ///
  /// A larger page has to begin at a multiple of its size, and its frames follow one another. A
  /// page that is `neverDeferred` may be looked up in early entry too; in exchange each change of
  /// it interrupts every CPU, and waits.
  ///
  /// A page outside the table, a frame of 2⁶¹ or more and a larger page that begins in between end
  /// the process with a sentence.
  ///
  /// - Parameters:
  ///   - page: the number of the page; of a larger one the first number.
  ///   - frame: what lookups answer for it, below 2⁶¹; of a larger page that for its first number.
  ///   - size: how many pages it takes.
  ///   - neverDeferred: whether each change of it interrupts every CPU, and waits.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: `.mapped`; `.occupied` if a part of it is mapped; `.retiring` if a CPU may still
  ///   use the old frame. Only the first has changed anything.
  /// - Throws: `outOfMemory` where the table would need more memory than it may have.
  /// - Progress: blocking, for as long as another thread changes the table
  /// - Context: any thread, outside handlers
  /// - Allocates: nodes of the table
  public func map(
    _ page: UInt64, to frame: UInt64, size: AddressSpace.PageSize = .base,
    neverDeferred: Bool = false,
    file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) -> MapOutcome {
    let site = CallSite(file, line)
    requirePages(from: page, size.pages, site)
    requireFrame(frame, size, site)
    if size.rawValue >= table.nodes.levels || page & (size.pages - 1) != 0 {
      misuse(
        "page \(page) cannot begin a \(size) page: that begins at a multiple of \(size.pages)",
        file, line)
    }
    switch try table.map(page, to: PageWord(frame: frame, neverDeferred: neverDeferred), size) {
    case .done: return .mapped
    case .mapped(let frame): return .occupied(frame: frame)
    case .retiring: return .retiring
    }
  }

  /// What a change did.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public struct Change: Hashable, Sendable {
    /// The frame before.
    public let previous: UInt64
    /// What became of the flush: `skipped` CPUs do not use their caches, and look before they do.
    public let report: Report<SendOutcome>
    /// How the wait for the flush ended, of a page that is never deferred; of any other, which is not
    /// waited for, `.settled`.
    public let outcome: WaitOutcome
  }

  /// Maps a page to another frame, for CPUs to see when they next enter kernel. Nil: it is not
  /// mapped.
  ///
  ///     space.change(7, to: copy)  // both are good to read for ever
  ///
  /// Both frames have to stay good: for how long nobody knows. To have the old one back, use
  /// `replace(_:with:)`. A page that is never deferred is changed at once: every CPU is
  /// interrupted, and waited for until the time is over.
  ///
  /// - Parameters:
  ///   - page: a mapped page of the base size; a part of a larger one ends the process with a
  ///     sentence.
  ///   - frame: below 2⁶¹.
  ///   - timeout: how long to wait at most for CPUs that are interrupted; nil waits for ever. Only
  ///     for a page that is never deferred.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: the frame before, and what became of the flush; nil if the page is not mapped.
  /// - Progress: blocking, for as long as another thread changes the table; for a page that is
  ///   never deferred until every CPU has run the flush
  /// - Context: any thread, outside handlers; in kernel it is a safe point
  /// - Allocates: never for CPUs below 128
  @discardableResult
  public func change(
    _ page: UInt64, to frame: UInt64, timeout: Duration? = nil, file: StaticString = #fileID,
    line: UInt = #line
  ) -> Change? {
    guard let old = exchange(page, frame, CallSite(file, line)) else { return nil }
    if old.isNeverDeferred {
      let ticket = coordinator.forLibrary.sendWithTicket(
        flushRangeWork, to: coordinator.cpus, urgency: .immediate, file: file, line: line)
      let outcome = ticket.wait(until: .executed, timeout: timeout, file: file, line: line)
      return Change(previous: old.frame, report: ticket.report, outcome: outcome)
    }
    let report = coordinator.forLibrary.send(
      flushRangeWork, to: coordinator.cpus, urgency: urgency, file: file, line: line,
      where: core.mustBeTold)
    return Change(previous: old.frame, report: report, outcome: .settled)
  }

  /// Maps a page to another frame, and has the old one back when every CPU has dropped it. Nil: it
  /// is not mapped.
  ///
  /// - Parameters:
  ///   - page: a mapped page of the base size; a part of a larger one ends the process with a
  ///     sentence.
  ///   - frame: below 2⁶¹.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: what gives the old frame back when every CPU has dropped it; nil if the page is not
  ///   mapped.
  /// - Progress: blocking, for as long as another thread changes the table
  /// - Context: any thread, outside handlers; in kernel it is a safe point
  /// - Allocates: a word
  public func replace(
    _ page: UInt64, with frame: UInt64, file: StaticString = #fileID, line: UInt = #line
  ) -> AddressSpace.Retirement? {
    guard let old = exchange(page, frame, CallSite(file, line)) else { return nil }
    return acknowledge(
      [Retired(page: page, size: .base, frame: old.frame, keepsPage: true)],
      isUrgent: old.isNeverDeferred, file, line)
  }

  private func exchange(_ page: UInt64, _ frame: UInt64, _ site: CallSite) -> PageWord? {
    requirePages(from: page, 1, site)
    requireFrame(frame, .base, site)
    return table.asWriter {
      var old: PageWord? = nil
      table.forEachEntry(in: page..<page + 1) { _, size, word, entry in
        guard word.isPresent else { return }
        if size != .base {
          misuse(
            "page \(page) is part of a \(size) page, which is changed by unmapping it",
            site.file, site.line)
        }
        core.publish(page..<page + 1) {
          PageTableNodes.write(word.changed(to: frame), to: entry)
        }
        old = word
      }
      return old
    }
  }

  /// Unmaps the pages of a range that are mapped, and flushes: each CPU drops them before its next
  /// lookup, and none is disturbed.
  ///
  ///     var old = space.unmap(0..<512)
  ///     old.wait { page, frame in free(frame) }
  ///
  /// A range that cuts a larger page ends the process with a sentence.
  ///
  /// - Parameters:
  ///   - pages: numbers of pages of this address space; those that are not mapped are passed over.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: what gives the frames back when every CPU has dropped them.
  /// - Progress: blocking, for as long as another thread changes the table
  /// - Context: any thread, outside handlers; in kernel it is a safe point
  /// - Allocates: two words per page that was mapped
  public func unmap(
    _ pages: Range<UInt64>, file: StaticString = #fileID, line: UInt = #line
  ) -> AddressSpace.Retirement {
    let site = CallSite(file, line)
    requirePages(pages, site)
    var retired: [Retired] = []
    var isUrgent = false
    table.asWriter {
      _ = core.publish(pages) { retire(pages, &retired, &isUrgent, site) }
    }
    return acknowledge(retired, isUrgent: isUrgent, file, line)
  }

  /// Marks the entries of a range. The caller is the only writer.
  func retire(
    _ pages: Range<UInt64>, _ retired: inout [Retired], _ isUrgent: inout Bool, _ site: CallSite
  ) {
    table.forEachEntry(in: pages) { page, size, word, entry in
      guard word.isPresent else { return }
      if page < pages.lowerBound || page + size.pages > pages.upperBound {
        misuse("pages \(pages) cut the \(size) page that begins at \(page)", site.file, site.line)
      }
      PageTableNodes.write(word.retired, to: entry)
      retired.append(Retired(page: page, size: size, frame: word.frame, keepsPage: false))
      if word.isNeverDeferred { isUrgent = true }
    }
  }

  /// Sends the flush of something that is freed: to every CPU, also one that does not use its
  /// cache, since its current section may still use what it looked up before.
  func acknowledge(
    _ retired: [Retired], isUrgent: Bool, all: Bool = false, _ file: StaticString, _ line: UInt
  ) -> AddressSpace.Retirement {
    let ticket = coordinator.forLibrary.sendWithTicket(
      all ? flushAllWork : flushRangeWork, to: coordinator.cpus,
      urgency: isUrgent ? .immediate : urgency, file: file, line: line)
    return AddressSpace.Retirement(self, retired, ticket, goal: isUrgent ? .executed : .covered)
  }

  /// Has every CPU drop everything before its next lookup.
  ///
  ///     space.flushAll().wait(until: .covered)
  ///
  /// The ticket tells when it has taken effect.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: the ticket of the flush.
  /// - Progress: blocking, for as long as another thread changes the table
  /// - Context: any thread, outside handlers; in kernel it is a safe point
  /// - Allocates: never for CPUs below 128
  @discardableResult
  public func flushAll(file: StaticString = #fileID, line: UInt = #line) -> Ticket {
    table.asWriter { _ = core.publish(0..<UInt64.max) {} }
    return coordinator.forLibrary.sendWithTicket(
      flushAllWork, to: coordinator.cpus, urgency: urgency, file: file, line: line)
  }

  // MARK: Checks

  func requirePages(_ pages: Range<UInt64>, _ site: CallSite) {
    if pages.upperBound > table.nodes.span {
      misuse(
        "there are no pages \(pages): this address space has 0..<\(table.nodes.span)", site.file,
        site.line)
    }
  }

  /// The same of so many pages, whose end need not be a number.
  private func requirePages(from first: UInt64, _ count: UInt64, _ site: CallSite) {
    let end = first.addingReportingOverflow(count)
    requirePages(first..<(end.overflow ? .max : end.partialValue), site)
  }

  private func requireFrame(_ frame: UInt64, _ size: AddressSpace.PageSize, _ site: CallSite) {
    if frame > PageWord.maximumFrame - size.pages {
      misuse("frame \(frame) does not fit into 61 bits", site.file, site.line)
    }
  }
}
