// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// The memory that pages are mapped to. A frame says what it is: the page that it holds, which
/// version of it, and words that follow from both. A free frame is poisoned.
// Sendable: memory of its own in which every word is atomic, and relaxed: that nobody reads a frame
// while it is written is what the demonstration is about. Each list of free frames is one
// housekeeper's, and used by its thread alone.
@safe
final class Frames: @unchecked Sendable {
  static let words = 8
  static let poison: UInt64 = 0xdead_dead_dead_dead
  private static let mixer: UInt64 = 0x9e37_79b9_7f4a_7c15

  private let base: UnsafeMutablePointer<Atomic<UInt64>>
  private let housekeepers: Int
  /// The one that became free last is handed out first.
  private let free: UnsafeMutablePointer<[UInt64]>

  /// So many frames for each housekeeper, all of them free.
  init(perHousekeeper count: Int, housekeepers: Int) {
    let words = count * housekeepers * Self.words
    unsafe base = .allocate(capacity: words)
    for word in 0..<words { unsafe (base + word).initialize(to: Atomic(Self.poison)) }
    self.housekeepers = housekeepers
    unsafe free = .allocate(capacity: housekeepers)
    for index in 0..<housekeepers {
      let first = UInt64(index * count)
      unsafe (free + index).initialize(to: Array(first..<first + UInt64(count)))
    }
  }

  deinit {
    unsafe free.deinitialize(count: housekeepers)
    unsafe free.deallocate()
    unsafe base.deallocate()
  }

  // MARK: The housekeeper

  /// Hands a frame out, filled. There are as many as a housekeeper can need.
  func take(for page: UInt64, version: UInt64, by housekeeper: Int) -> UInt64 {
    guard let frame = unsafe free[housekeeper].popLast() else {
      fatalError("housekeeper \(housekeeper) has no free frame")
    }
    let words = unsafe base + Int(frame) * Self.words
    unsafe words[0].store(page, ordering: .relaxed)
    unsafe words[1].store(version, ordering: .relaxed)
    for word in 2..<Self.words {
      unsafe words[word].store(Self.content(page, version, word), ordering: .relaxed)
    }
    return frame
  }

  /// Poisons a frame, and has it handed out next.
  func giveBack(_ frame: UInt64, by housekeeper: Int) {
    let words = unsafe base + Int(frame) * Self.words
    for word in 0..<Self.words { unsafe words[word].store(Self.poison, ordering: .relaxed) }
    unsafe free[housekeeper].append(frame)
  }

  // MARK: The isolated CPU

  /// What a frame says of itself.
  @inline(__always)
  func read(_ frame: UInt64) -> Contents {
    let words = unsafe base + Int(truncatingIfNeeded: frame) &* Self.words
    let page = unsafe words[0].load(ordering: .relaxed)
    let version = unsafe words[1].load(ordering: .relaxed)
    var difference: UInt64 = 0
    for word in 2..<Self.words {
      difference |=
        unsafe words[word].load(ordering: .relaxed) ^ Self.content(page, version, word)
    }
    return Contents(page: page, version: version, isWhole: difference == 0)
  }

  struct Contents {
    let page: UInt64
    let version: UInt64
    /// Whether the other words are those of this page in this version.
    let isWhole: Bool
  }

  @inline(__always)
  private static func content(_ page: UInt64, _ version: UInt64, _ word: Int) -> UInt64 {
    (page &* mixer) ^ (version &* 31) ^ UInt64(truncatingIfNeeded: word)
  }
}
