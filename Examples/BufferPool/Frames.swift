// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// The frames of the pool, and what a reader checks.
///
/// A frame carries the page that it holds, how often it was filled, and words that follow from the
/// page. A free frame is poisoned. A reader that came by a translation which is no longer true
/// finds another page, or poison.
// Sendable: memory that every access to is a relaxed atomic one; who may use which frame when is
// what the pools are about.
@safe
final class Frames: @unchecked Sendable {
  static let words = 8
  private static let poison: UInt64 = 0xdead_dead_dead_dead

  let count: Int
  private let base: UnsafeMutablePointer<Atomic<UInt64>>

  init(count: Int) {
    self.count = count
    unsafe base = .allocate(capacity: count * Self.words)
    for word in 0..<count * Self.words { unsafe (base + word).initialize(to: Atomic(Self.poison)) }
  }

  deinit { unsafe base.deallocate() }

  private static func content(_ page: UInt64, _ word: Int) -> UInt64 {
    page &* 0x9e37_79b9_7f4a_7c15 ^ UInt64(truncatingIfNeeded: word)
  }

  /// Reads a page into a frame, as from a disk.
  func fill(_ frame: Int, with page: UInt64) {
    let first = unsafe base + frame * Self.words
    unsafe first[0].store(page, ordering: .relaxed)
    unsafe first[1].store(first[1].load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    for word in 2..<Self.words {
      unsafe first[word].store(Self.content(page, word), ordering: .relaxed)
    }
  }

  func poison(_ frame: Int) {
    let first = unsafe base + frame * Self.words
    unsafe first[0].store(Self.poison, ordering: .relaxed)
    for word in 2..<Self.words { unsafe first[word].store(Self.poison, ordering: .relaxed) }
  }

  /// Whether the frame holds the page, whole, from the beginning of the look to its end.
  @inline(__always)
  func holds(_ page: UInt64, in frame: Int) -> Bool {
    let first = unsafe base + frame &* Self.words
    let generation = unsafe first[1].load(ordering: .relaxed)
    var difference = unsafe first[0].load(ordering: .relaxed) ^ page
    for word in 2..<Self.words {
      difference |= unsafe first[word].load(ordering: .relaxed) ^ Self.content(page, word)
    }
    return unsafe difference | (first[1].load(ordering: .relaxed) ^ generation) == 0
  }
}

/// A pool that readers look pages up in while somebody evicts them.
protocol Pool: AnyObject, Sendable {
  /// Runs a reader until told to stop.
  func read(_ reader: Int, until stop: StopFlag) -> Tally
  /// Takes a page's frame away, and gives it back when no reader can be using it.
  func evict(_ page: UInt64) -> Int?
  /// Makes a page readable.
  func load(_ page: UInt64, into frame: Int)
}

/// What a reader did.
struct Tally: Sendable {
  var lookups: UInt64 = 0
  /// Lookups that came by a frame of another page.
  var stale: UInt64 = 0
  /// Pages that were in no frame.
  var misses: UInt64 = 0
}

/// Xorshift: which page is asked for next.
struct PageSequence {
  private var state: UInt64
  private let pages: UInt64

  init(seed: Int, pages: Int) {
    state = 0x2545_f491_4f6c_dd1d ^ UInt64(seed + 1) << 20
    self.pages = UInt64(pages)
  }

  @inline(__always)
  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return ((state & 0xffff_ffff) &* pages) >> 32
  }
}

final class StopFlag: Sendable {
  private let isRaised = Atomic<Bool>(false)

  @inline(__always) var isSet: Bool { isRaised.load(ordering: .relaxed) }
  func set() { isRaised.store(true, ordering: .relaxed) }
}
