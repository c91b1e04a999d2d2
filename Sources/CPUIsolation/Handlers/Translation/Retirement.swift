// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// A frame that was mapped at a page, and may still be in somebody's cache.
struct Retired: Sendable {
  var page: UInt64
  var size: AddressSpace.PageSize
  var frame: UInt64
  /// The page has another frame already, and is not to be given free.
  var keepsPage: Bool
}

extension AddressSpace {
  /// What was unmapped or replaced, until every CPU has dropped it.
  ///
  ///     var old = space.unmap(pages)
  ///     …
  ///     if old.poll({ page, frame in free(frame) }) { … }  // now, and not before
  ///
  /// Until then the pages cannot be mapped again, and nobody but this value knows the frames: it is
  /// the only way to have them back. A CPU has dropped them if it has run the flush, or is outside
  /// kernel with the flush pending, or has gone. Where the flush was refused, by a closed coordinator
  /// or while the space was being closed, only the last of these counts. A value that is thrown away
  /// leaves its pages unusable and its frames lost, which is safe.
  ///
  /// A grace period would not do in its place: a CPU that declares a quiescent state passes it with
  /// the flush still pending.
  ///
  /// - Progress: as each member says
  /// - Context: any thread
  /// - Allocates: never
  public struct Retirement: ~Copyable, Sendable {
    private let space: AddressSpace
    private var retired: [Retired]
    private let goal: Ticket.Goal
    /// What became of the flush, and who has not run it.
    public let ticket: Ticket

    init(_ space: AddressSpace, _ retired: [Retired], _ ticket: Ticket, goal: Ticket.Goal) {
      self.space = space
      self.retired = retired
      self.ticket = ticket
      self.goal = goal
    }

    /// How many mappings were taken away and have not been given back.
    public var count: Int { retired.count }

    /// The CPUs that may still use the frames.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never for CPUs below 128
    public var stragglers: CPUMask {
      var left = untold
      for cpu in ticket.report.covered
      where !TranslationCore.hasDropped(ticket.state(of: cpu), mayBeCovered: goal == .covered) {
        left.insert(cpu)
      }
      return left
    }

    /// The CPUs that a refused flush has not reached, and whose threads are still there. No run will
    /// come: that one is outside kernel now says nothing about what it does after its next entry.
    private var untold: CPUMask {
      guard ticket.report.refusal != nil else { return CPUMask() }
      let slots = space.coordinator.core.slots
      return CPUMask(
        space.coordinator.cpus.subtracting(ticket.report.covered).filter {
          // Acquire — detach:R. What its thread did with the frames comes before whoever has them
          // next. Pairs with detach:R.
          slots[$0].state.isOwned.load(ordering: .acquiring) != 0
        })
    }

    /// Gives the frames back if every CPU has dropped them, once; tells whether that is so.
    ///
    /// `release` gets the first page of each mapping, and its first frame.
    ///
    /// - Parameter release: called for each mapping, in this call.
    /// - Returns: whether the frames have been given back, now or before.
    /// - Progress: blocking, for as long as another thread changes the table
    /// - Context: any thread, outside handlers
    /// - Allocates: as `release`
    public mutating func poll(_ release: (_ page: UInt64, _ frame: UInt64) -> Void) -> Bool {
      guard stragglers.isEmpty else { return false }
      finish(release)
      return true
    }

    /// Waits until every CPU has dropped the frames, and gives them back; or until the time is over.
    ///
    /// A caller that is a CPU serves its own work meanwhile. Isolated CPUs in user are not waited
    /// for. A flush that was refused is not waited for either: the answer is `.closed`, at once, with the
    /// CPUs that are still there.
    ///
    /// - Parameters:
    ///   - timeout: how long to wait at most; nil waits for ever, and zero looks once.
    ///   - file: the caller's file, for messages and traces.
    ///   - line: the caller's line.
    ///   - release: called for each mapping, in this call, if the answer is `.settled`.
    /// - Returns: `.settled` when that has happened; else why not, and the CPUs that held it up.
    /// - Progress: blocking
    /// - Context: any thread, outside handlers
    /// - Allocates: as `release`
    @discardableResult
    public mutating func wait(
      timeout: Duration? = nil, file: StaticString = #fileID, line: UInt = #line,
      _ release: (_ page: UInt64, _ frame: UInt64) -> Void
    ) -> WaitOutcome {
      let outcome = ticket.wait(until: goal, timeout: timeout, file: file, line: line)
      guard outcome == .settled else { return outcome }
      let untold = untold
      if !untold.isEmpty { return .closed(untold) }
      finish(release)
      return .settled
    }

    private mutating func finish(_ release: (_ page: UInt64, _ frame: UInt64) -> Void) {
      let table = space.table
      table.asWriter {
        for old in retired where !old.keepsPage {
          table.forEachEntry(in: old.page..<old.page + 1) { page, size, word, entry in
            guard word.isRetiring, page == old.page, size == old.size else { return }
            PageTableNodes.write(.nothing, to: entry)
          }
        }
      }
      for old in retired { release(old.page, old.frame) }
      retired = []
    }
  }
}
