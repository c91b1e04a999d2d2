// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// Whether the reclaimer of this process looks after a domain, and how many batches have been begun:
/// in one word, so that neither a batch nor the reclaimer's rest is overlooked.
///
///     bits  0 … 31  the fork generation of the process whose reclaimer does, and one; 0 is none
///          32 … 63  batches that have been begun
///
/// - If the addition of a thread that retires (`hazardAlarm:B`) comes before the reclaimer's load
///   (`hazardAlarm:L`), the pass after it finds the batch.
/// - If it comes between that and the compare-exchange by which the reclaimer rests, that fails.
/// - If it comes later, the thread sees that there is no reclaimer, and rings.
struct HazardAlarm: ~Copyable {
  private let word = SharedWord(0)

  init() {}

  private static let oneBatch: UInt64 = 1 << 32
  private static let watcher: UInt64 = oneBatch - 1

  /// What the low half says while this process's reclaimer looks.
  private static var present: UInt64 { UInt64(cpi_fork_generation() &+ 1) }

  /// Counts a batch that is in its place; whether the reclaimer has to be told.
  func batchBegan() -> Bool {
    // Release — hazardAlarm:B. After the batch is where a pass finds it. Pairs with hazardAlarm:L.
    let before = word.wrappingAdd(Self.oneBatch, ordering: .releasing).oldValue
    return before & Self.watcher != Self.present
  }

  /// What a pass that follows finds at least; for `rest`.
  var batches: UInt64 {
    // Acquire — hazardAlarm:L. Before the looks at the lines. Pairs with hazardAlarm:B.
    word.load(ordering: .acquiring)
  }

  /// Says that this process's reclaimer looks from now on, or none. The caller holds its lock.
  func setWatched(_ isWatched: Bool) {
    // Relaxed — the lock orders those who change this half, and the others need their batch alone.
    let before = word.load(ordering: .relaxed) & Self.watcher
    word.wrappingAdd((isWatched ? Self.present : 0) &- before, ordering: .relaxed)
  }

  /// Says that none looks any more, unless a batch has been begun since; what the word is then, or
  /// nil. The caller holds the lock.
  func rest(since batches: UInt64) -> UInt64? {
    let resting = batches & ~Self.watcher
    return word.compareExchange(
      expected: batches, desired: resting, successOrdering: .relaxed, failureOrdering: .relaxed
    ).exchanged ? resting : nil
  }

  /// Whether a batch has been begun since the word was this, and nobody looks: by an isolated CPU,
  /// which does not ring.
  func isCalling(since resting: UInt64) -> Bool {
    let now = word.load(ordering: .relaxed)
    return now & Self.watcher != Self.present && now != resting
  }
}
