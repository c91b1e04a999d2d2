// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// What has been invalidated of late: a generation that counts the flushes, and the ranges of the
/// last ones.
///
///     table[page] = newFrame
///     log.append(page..<page + 1)  // after the change
///     coordinator.send(flush, to: coordinator.cpus)
///
/// The handler of `flush` has its CPU's ``TranslationCache`` catch up: it drops the ranges between
/// its own generation and this one, or everything if it cannot know them all. So a pending flush
/// needs no argument and no queue: it is a CPU whose generation lags.
///
/// ``AddressSpace`` does all of this by itself. A log of one's own is for translations that are not
/// pages: routes, handles, names.
///
/// After the TLB generations of Linux (arch/x86/mm/tlb.c, `mm->context.tlb_gen`), which remember no
/// ranges: there a CPU that lags by two flushes everything.
///
/// - Progress: as each member says
/// - Context: any thread
/// - Allocates: at creation
public final class FlushLog: Sendable {
  @usableFromInline let ring: FlushRing
  private let memory: MappedMemory
  private let writers = Lock(0)

  /// A log that remembers the last `ranges` flushes, rounded up to a power of two: 32 bytes each.
  ///
  /// - Parameters:
  ///   - ranges: how many flushes, 1 to 1 048 576; another number ends the process with a sentence.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Throws: `outOfMemory`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public init(
    ranges: Int = 64, file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) {
    if ranges < 1 || ranges > 1 << 20 {
      misuse("a flush log cannot remember \(ranges) ranges: it takes 1 to 1048576", file, line)
    }
    let slots = ranges.roundedUpToPowerOfTwo
    memory = try MappedMemory(byteCount: FlushRing.byteCount(ranges: slots))
    ring = FlushRing(initializing: memory.address, ranges: slots)
  }

  /// How many pages are dropped one by one before dropping everything is cheaper: Linux's figure for
  /// `tlb_single_page_flush_ceiling`. The benchmarks print what it costs here.
  public static let standardCeiling = 33

  /// How many flushes there have been. It never goes back.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var generation: UInt64 { withExtendedLifetime(self) { ring.currentGeneration() } }

  /// Adds a flush, and returns its generation. What it is about has been changed before.
  ///
  /// An empty range counts as a flush of nothing.
  ///
  /// - Parameter pages: the numbers that have changed.
  /// - Returns: the generation of this flush: 1 for the first, and always growing.
  /// - Progress: blocking, for as long as another thread appends
  /// - Context: any thread, outside handlers
  /// - Allocates: never
  @discardableResult
  public func append(_ pages: Range<UInt64>) -> UInt64 {
    writers.withLock { _ in ring.append(first: pages.lowerBound, end: pages.upperBound) }
  }

  /// Adds a flush of everything, and returns its generation.
  ///
  /// - Progress: blocking, for as long as another thread appends
  /// - Context: any thread, outside handlers
  /// - Allocates: never
  @discardableResult
  public func appendAll() -> UInt64 { append(0..<UInt64.max) }
}

extension Int {
  /// The least power of two that is not less.
  var roundedUpToPowerOfTwo: Int {
    self <= 1 ? 1 : 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount)
  }
}
