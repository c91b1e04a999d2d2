// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// A ring of events that overwrites its oldest: what one CPU, or all threads that are no CPUs, have
/// recorded last.
///
/// Every event has one slot: a stamp, a time and its words. A position counts the events since the
/// ring began, and its low bits say which slot. Writers never wait: who meets a slot that another
/// writer has not finished gives its event up, and the gap in the positions tells.
///
/// The stamp makes a slot a sequence lock of its own:
///
///     63                                          8 7      1 0
///     ┌────────────────────────────────────────────┬────────┬──────┐
///     │ position                                   │ words  │ busy │
///     └────────────────────────────────────────────┴────────┴──────┘
///
/// - A CPU's own ring has one thread, and its signal handler in between: it takes positions by an
///   addition that is whole for a signal, and marks slots by plain stores.
/// - The shared ring takes them by a locked addition and claims slots by compare-exchange, since a
///   writer may sleep between the two while others go once round.
///
/// - Source: the ring buffer of Linux's tracing keeps pages and commits nested writers in order;
///   one slot an event needs neither.
// Sendable: an address of memory in which every word is atomic.
@safe
struct TraceRing: @unchecked Sendable {
  /// A line with the next position, and after it the slots.
  let base: Address
  /// One less than the number of slots, a power of two.
  let mask: UInt64
  /// Words of an event's payload that a slot has room for.
  let payloadWords: Int
  /// Whether several threads write.
  let isShared: Bool

  /// The bytes of a ring of `events` slots, a power of two.
  static func byteCount(events: Int, payloadWords: Int) -> Int {
    let bytes = cacheLineStride + events * (payloadWords + headerWords) * 8
    return (bytes + cacheLineStride - 1) / cacheLineStride * cacheLineStride
  }

  /// The stamp and the time.
  private static var headerWords: Int { 2 }
  private static var busy: UInt64 { 1 }
  private static var positionShift: UInt64 { 8 }
  /// The most words that a stamp can tell.
  static var maximumWords: Int { 127 }

  private var next: Place<SharedWord> {
    // Safety: the ring's memory begins with it.
    unsafe Place(base)
  }

  @inline(__always)
  private func slot(_ position: UInt64) -> Table<SharedWord> {
    // Safety: there are as many slots as the mask lets a position be.
    unsafe Table<SharedWord>(base + cacheLineStride)
      .dropping(Int(truncatingIfNeeded: position & mask) &* (payloadWords &+ Self.headerWords))
  }

  /// Records an event. False: its slot was not free, and the event is lost.
  ///
  /// Wait-free, without a locked instruction in a CPU's own ring.
  @inline(__always)
  func write(_ payload: Table<UInt64>, words: Int, at time: UInt64) -> Bool {
    let position: UInt64
    if isShared {
      position = next.value.wrappingAdd(1, ordering: .relaxed).oldValue
    } else {
      position = next.addBetweenSignals(1)
    }
    let slot = slot(position)
    let old = slot[0].load(ordering: .relaxed)
    // Somebody is at it, or somebody who came round later was faster.
    if old & Self.busy != 0 || old >> Self.positionShift > position { return false }
    let claimed = position &<< Self.positionShift | Self.busy
    if isShared {
      guard
        slot[0].compareExchange(
          expected: old, desired: claimed, successOrdering: .relaxed, failureOrdering: .relaxed
        ).exchanged
      else { return false }
    } else {
      slot[0].store(claimed, ordering: .relaxed)
    }
    // Release fence — ring:B. The mark comes before the words: a reader that saw one of the new
    // words sees, after its own fence, that the stamp has changed. Pairs with ring:E.
    releaseFence()
    slot[1].store(time, ordering: .relaxed)
    for index in 0..<words {
      slot[Self.headerWords &+ index].store(payload[index], ordering: .relaxed)
    }
    // Release — ring:P. The words come before the stamp that says they are there. Pairs with ring:R.
    slot[0].store(
      position &<< Self.positionShift | UInt64(truncatingIfNeeded: words) &<< 1,
      ordering: .releasing)
    return true
  }
}

extension TraceRing {
  /// What a reader found at a position.
  enum Finding {
    /// The event: its time, and so many words in the buffer.
    case event(time: UInt64, words: Int)
    /// The event was given up, is being written, or has been overwritten.
    case lost
  }

  /// How many events have been recorded or given up so far.
  var end: UInt64 {
    // Relaxed: an event that we do not see yet counts as lost.
    next.value.load(ordering: .relaxed)
  }

  /// The oldest position that may still be there, of a ring that ends at `end`.
  func start(of end: UInt64) -> UInt64 { end > mask ? end &- mask &- 1 : 0 }

  /// Copies the event at a position, while writers go on.
  func read(_ position: UInt64, into buffer: Table<UInt64>) -> Finding {
    let slot = slot(position)
    // Acquire — ring:R. The words of the stamp that we see are there. Pairs with ring:P.
    let stamp = slot[0].load(ordering: .acquiring)
    let words = Int(truncatingIfNeeded: stamp >> 1 & 127)
    guard stamp & Self.busy == 0, stamp >> Self.positionShift == position, words > 0,
      words <= payloadWords
    else { return .lost }
    let time = slot[1].load(ordering: .relaxed)
    for index in 0..<words {
      buffer[index] = slot[Self.headerWords + index].load(ordering: .relaxed)
    }
    // Acquire fence — ring:E. If one of the words was of a later writer, the look at the stamp sees
    // its mark. Pairs with ring:B.
    acquireFence()
    guard slot[0].load(ordering: .relaxed) == stamp else { return .lost }
    return .event(time: time, words: words)
  }
}
