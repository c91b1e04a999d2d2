// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// One pass at a time.
extension HazardScanner {
  private static var ownMark: UInt64 {
    UInt64(cpi_fork_generation() &+ 1) << 32 | UInt64(UInt32(bitPattern: CurrentThread.knownID))
  }

  /// Whether the calling thread is making a pass: it runs a reclaimer.
  var isOwn: Bool { lock.load(ordering: .relaxed) == Self.ownMark }

  /// Makes the body the only one that touches what a pass uses; nil if somebody else does.
  func withLock<Result>(_ body: () -> Result) -> Result? {
    let mark = Self.ownMark
    let holder = lock.load(ordering: .relaxed)
    // A holder from before a fork is not in this process.
    let isLost = holder != 0 && holder >> 32 < mark >> 32
    guard holder == 0 || isLost else { return nil }
    // Acquire — hazardScan:A. Pairs with hazardScan:R.
    let isOurs = lock.compareExchange(
      expected: holder, desired: mark, successOrdering: .acquiring, failureOrdering: .relaxed
    ).exchanged
    guard isOurs else { return nil }
    if isLost { forgetLists() }
    let result = body()
    // Release — hazardScan:R. Pairs with hazardScan:A.
    lock.store(0, ordering: .releasing)
    return result
  }
}
