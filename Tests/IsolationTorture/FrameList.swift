// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Frames, each a word: the page that it is mapped at, and 1 more; 0 while it is free.
final class FrameList: Sendable {
  private static let count = 2048
  private let owners = WordTable(count)
  private let free: Mutex<[UInt64]>

  /// So many, from the first one on, are on no list.
  init(lasting: Int) { free = Mutex(Array(UInt64(lasting)..<UInt64(Self.count))) }

  /// A frame for a page; nil where all are taken.
  func take(for page: UInt64) -> UInt64? {
    guard let frame = free.withLock({ $0.popLast() }) else { return nil }
    own(frame, page)
    return frame
  }

  func own(_ frame: UInt64, _ page: UInt64) { owners.store(Int(frame), page + 1) }
  func disown(_ frame: UInt64) { owners.store(Int(frame), 0) }
  func isOwn(_ frame: UInt64, _ page: UInt64) -> Bool { owners.load(Int(frame)) == page + 1 }

  /// The frame may be used again.
  func give(_ frame: UInt64) {
    disown(frame)
    free.withLock { $0.append(frame) }
  }
}
