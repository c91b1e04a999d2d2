// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
public import Synchronization

/// A thread's line in a domain: the slots of its scopes, and what it has retired.
///
///     0 … 12  slots     protected addresses; 0 is free
///         13  batch     what this thread has retired and no scan has taken; while the thread writes
///                       it, the thread's mark
///         14  holders   the line in which this thread last found a slot for a holder
///         15  retired   how many objects this thread has retired
///
/// Line 0 is that of all threads without a number; its first slot is never free.
@safe @usableFromInline
struct HazardLine {
  @usableFromInline let words: Table<SharedAddress>

  @inlinable @inline(__always)
  init(_ words: Table<SharedAddress>) { self.words = words }

  var batch: Place<SharedAddress> { words.place(13) }
  var holders: Place<SharedAddress> { words.place(14) }
  var retired: Place<SharedWord> {
    // Safety: the last word of the line is a count.
    unsafe Place(words.place(15).address)
  }

  /// What stands in a slot that nobody may use; no object lies there, and it is no wildcard.
  static let blocked: UInt = 2
}

// MARK: - The batch

extension HazardLine {
  /// Puts the calling thread's mark in the place of the batch, and returns the batch's address, or
  /// 0; nil if the line is that of all threads without a number, and another one is writing.
  ///
  /// The mark is odd: a pass that meets it knows that there are objects which it has not found.
  func takeBatch() -> UInt? {
    let mark = UInt(UInt32(bitPattern: CurrentThread.knownID)) << 1 | 1
    if HazardThread.number == 0 {
      let seen = batch.value.load(ordering: .relaxed)
      if seen & 1 != 0 { return nil }
      // Acquire and release — hazardBatch:T, as below.
      let isOurs = batch.value.compareExchange(
        expected: seen, desired: mark, successOrdering: .acquiringAndReleasing,
        failureOrdering: .relaxed
      ).exchanged
      return isOurs ? seen : nil
    }
    // Acquire and release — hazardBatch:T. Exactly one thread has a batch; and who sees the mark sees
    // that its thread has the number. Pairs with hazardBatch:P and hazardBatch:T.
    let seen = batch.value.exchange(mark, ordering: .acquiringAndReleasing)
    // A mark was left by a thread that ended while it wrote.
    return seen & 1 == 0 ? seen : 0
  }

  /// Puts a batch in the place of the mark, or 0 for none.
  func putBatch(_ address: UInt) {
    // Release — hazardBatch:P. What the batch holds is seen by whoever takes it; and who sees none
    // sees it among those that have been handed over. Pairs with hazardBatch:T.
    batch.value.store(address, ordering: .releasing)
  }

  /// Takes the batch for a pass; its thread's id where that is writing.
  func takeBatchForPass() -> (batch: HazardBatch?, writer: Int32?) {
    // Acquire — hazardBatch:T, as above.
    var seen = batch.value.load(ordering: .acquiring)
    while seen != 0 {
      if seen & 1 != 0 { return (nil, Int32(truncatingIfNeeded: seen >> 1)) }
      // Acquire — hazardBatch:T, as above.
      let (exchanged, original) = batch.value.compareExchange(
        expected: seen, desired: 0, successOrdering: .acquiring, failureOrdering: .acquiring)
      if exchanged { break }
      seen = original
    }
    return (HazardBatch(address: seen), nil)
  }
}
